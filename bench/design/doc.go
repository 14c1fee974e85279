// SPDX-License-Identifier: Apache-2.0

// Package design says which settings of several factors to try, and what their results say of each factor. All of it is pure.
//
// Words, as in the design of experiments: a factor is something that can be set, its levels are the values that are tried, and the first of them is
// its reference, the value that it has now. A setting is one level of each factor. A main effect is what a level changes against the reference,
// on the average of the other factors; an interaction is what two levels together change beyond the product of both. Two effects that the
// settings can't tell apart are aliases.
//
// Each block tries every setting once, so an effect is a contrast within a block: a weighted sum of the logarithms of its results, whose
// weights add up to 0. What slows a whole block cancels, and contrasts of blocks are values that [stats.Sequence] takes.
//
//	design.go   factors to settings: all of them, a fraction, or one factor at a time
//	term.go     the effects that the settings can tell, as contrasts
//	effect.go   results to effects, and whether they are more than chance
//	best.go     effects to the setting to recommend
package design
