// SPDX-License-Identifier: Apache-2.0

// Package stats says what blocks of trials show, and how sure that is. All of it is pure functions: the same numbers and the same seed
// give the same answer.
//
// An effect is a ratio, arm over baseline within a block, so that what slows a whole block cancels. All computing is on logarithms of
// ratios, where twice as fast and half as fast are as far from nothing; their mean is the logarithm of the geometric mean of the ratios.
//
//	effect.go       ratios of pairs to one [Effect], with all of the below
//	sequence.go     an interval that may be looked at after each block: the rule for stopping
//	bootstrap.go    an interval for a number of blocks that was fixed before
//	permutation.go  a test of no difference, and the interval that comes of it
//	holm.go         p-values of many arms together
//	power.go        what was too small to be seen
//	outliers.go     blocks far from the others: counted, never dropped
package stats

// Confidence is that of each interval here, unless told otherwise.
const Confidence = 0.95
