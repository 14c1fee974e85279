// SPDX-License-Identifier: Apache-2.0

package stats

import (
	"math"
	"math/rand/v2"
	"testing"
)

// TestMedianInterval compares with the table of ranks for 95% that textbooks print (6: 1 and 6, 10: 2 and 9, 20: 6 and 15).
func TestMedianInterval(t *testing.T) {
	for n, ranks := range map[int][2]float64{6: {1, 6}, 9: {2, 8}, 10: {2, 9}, 20: {6, 15}} {
		var xs []float64
		for i := range n {
			xs = append(xs, float64(n-i))
		}
		if low, high := MedianInterval(xs, 0.95); low != ranks[0] || high != ranks[1] {
			t.Errorf("%d values: %g to %g, want %v", n, low, high, ranks)
		}
	}
	for n := range FewestForMedian {
		if low, high := MedianInterval(make([]float64, n), 0.95); !math.IsInf(low, -1) || !math.IsInf(high, 1) {
			t.Errorf("%d values: %g to %g", n, low, high)
		}
	}
}

func TestMedianIntervalCovers(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	const runs = 4000
	covered := 0
	for range runs {
		xs := make([]float64, 15)
		for i := range xs {
			xs[i] = rng.ExpFloat64()
		}
		if low, high := MedianInterval(xs, 0.95); low <= math.Ln2 && math.Ln2 <= high {
			covered++
		}
	}
	if share := float64(covered) / runs; share < 0.945 || share > 0.985 { // exactly 0.9648 by the binomial
		t.Errorf("covered %g", share)
	}
}
