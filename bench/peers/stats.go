// SPDX-License-Identifier: Apache-2.0

package main

import (
	"math/rand/v2"
	"slices"
)

// A Summary is what rounds of a metric come to.
type Summary struct {
	Median float64   `json:"median"`
	Min    float64   `json:"min"`
	Max    float64   `json:"max"`
	Values []float64 `json:"values"` // in the order of the rounds
}

func summarize(xs []float64) Summary {
	return Summary{Median: median(xs), Min: slices.Min(xs), Max: slices.Max(xs), Values: xs}
}

// median of xs, which has at least one value and is left as it is.
func median(xs []float64) float64 {
	sorted := slices.Sorted(slices.Values(xs))
	n := len(sorted)
	return (sorted[(n-1)/2] + sorted[n/2]) / 2
}

const (
	resamples = 2000
	tail      = 0.025 // on each side of the interval
)

// bootstrapMedian is the 95% interval of the median of xs by the percentile bootstrap (Efron, 1979). Where each x is a ratio within a
// round, the rounds are drawn and so the pairs stay together. With fewer than six rounds it is no wider than the values themselves.
func bootstrapMedian(xs []float64, rng *rand.Rand) (low, high float64) {
	medians := make([]float64, resamples)
	drawn := make([]float64, len(xs))
	for i := range medians {
		for j := range drawn {
			drawn[j] = xs[rng.IntN(len(xs))]
		}
		medians[i] = median(drawn)
	}
	slices.Sort(medians)
	cut := int(tail * resamples)
	return medians[cut], medians[resamples-1-cut]
}
