// SPDX-License-Identifier: Apache-2.0

package main

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestSpread(t *testing.T) {
	for _, c := range []struct {
		in   []float64
		want spread
	}{
		{nil, spread{}},
		{[]float64{3}, spread{3, 3, 3}},
		{[]float64{3, 1, 2}, spread{2, 1, 3}},
		{[]float64{4, 1, 2, 3}, spread{2.5, 1, 4}},
	} {
		if d := cmp.Diff(c.want, spreadOf(c.in), cmp.AllowUnexported(spread{})); d != "" {
			t.Errorf("%v: %s", c.in, d)
		}
	}
}

func TestRatiosAreWithinRounds(t *testing.T) {
	if d := cmp.Diff([]float64{2, 0.5}, ratios([]float64{4, 3}, []float64{2, 6})); d != "" {
		t.Error(d)
	}
}
