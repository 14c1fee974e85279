// SPDX-License-Identifier: Apache-2.0

package main

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestSummarize(t *testing.T) {
	for _, c := range []struct {
		in   []float64
		want Summary
	}{
		{[]float64{3}, Summary{Median: 3, Min: 3, Max: 3}},
		{[]float64{3, 1, 2}, Summary{Median: 2, Min: 1, Max: 3}},
		{[]float64{4, 1, 3, 2}, Summary{Median: 2.5, Min: 1, Max: 4}},
		{[]float64{-1, 100, -2}, Summary{Median: -1, Min: -2, Max: 100}},
	} {
		c.want.Values = slices.Clone(c.in)
		if diff := cmp.Diff(c.want, summarize(c.in)); diff != "" {
			t.Errorf("summarize(%v) (-want +got):\n%s", c.in, diff)
		}
	}
}

func TestBootstrapOfEqualValuesIsAPoint(t *testing.T) {
	low, high := bootstrapMedian([]float64{2, 2, 2, 2}, source())
	if low != 2 || high != 2 {
		t.Errorf("[%v, %v], want [2, 2]", low, high)
	}
}

// The interval has to hold the true median in about 95 of 100 experiments. The percentile bootstrap of a median of 25 holds it in
// 93 to 97 of 100; 400 experiments with a probability of 0.93 to 0.97 fall outside 0.88 to 0.995 less than once in 10,000 times, and the seed is fixed.
func TestBootstrapCoversTheMedian(t *testing.T) {
	rng := source()
	const experiments = 400
	covered := 0
	for range experiments {
		xs := make([]float64, 25)
		for i := range xs {
			xs[i] = rng.ExpFloat64() // its median is ln 2
		}
		if low, high := bootstrapMedian(xs, rng); low <= 0.6931 && 0.6931 <= high {
			covered++
		}
	}
	if share := float64(covered) / experiments; share < 0.88 || share > 0.995 {
		t.Errorf("covers the median in %.3f of the experiments, want about 0.95", share)
	}
}

func source() *rand.Rand { return rand.New(rand.NewPCG(1, 2)) }
