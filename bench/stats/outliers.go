// SPDX-License-Identifier: Apache-2.0

package stats

import (
	"math"
	"slices"
)

// farOut is how many standard deviations, estimated by the median absolute deviation, make an outlier.
const farOut = 3.5

// Outliers are the indices of values whose modified z-score, 0.6745·|x−median|/MAD, is above 3.5 (Iglewicz and Hoaglin, "How to Detect and
// Handle Outliers", 1993). They are for naming, not for dropping: a slow block is a thing that happened. Where half of the values are
// equal, MAD is 0 and there is no scale to call any of them far: none.
func Outliers(xs []float64) []int {
	if len(xs) < 3 {
		return nil
	}
	middle := Median(xs)
	deviations := make([]float64, len(xs))
	for i, x := range xs {
		deviations[i] = math.Abs(x - middle)
	}
	mad := Median(deviations)
	var far []int
	for i, d := range deviations {
		if mad > 0 && 0.6745*d/mad > farOut {
			far = append(far, i)
		}
	}
	return far
}

// Median of xs, which has one value at least and is left as it is; between the two in the middle where their number is even.
func Median(xs []float64) float64 {
	sorted := slices.Sorted(slices.Values(xs))
	n := len(sorted)
	return (sorted[(n-1)/2] + sorted[n/2]) / 2
}
