// SPDX-License-Identifier: Apache-2.0

package stats

import (
	"math"
	"slices"

	"gonum.org/v1/gonum/stat/distuv"
)

// FewestForMedian is how many values it takes for an interval of their median at [Confidence].
const FewestForMedian = 6

// MedianInterval returns the interval of order statistics that holds the median of the distribution of xs with at least a confidence, whatever
// its shape: how many of n values are below the median is binomial (David and Nagaraja, Order Statistics, section 7.1). With too few values for
// any such interval, for 95% below [FewestForMedian], it is all numbers.
func MedianInterval(xs []float64, confidence float64) (low, high float64) {
	sorted := slices.Sorted(slices.Values(xs))
	below := distuv.Binomial{N: float64(len(xs)), P: 0.5}
	k := 0 // values to leave out at each end
	for len(xs) > 0 && below.CDF(float64(k)) <= (1-confidence)/2 {
		k++
	}
	if k == 0 {
		return math.Inf(-1), math.Inf(1)
	}
	return sorted[k-1], sorted[len(xs)-k]
}
