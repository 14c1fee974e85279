// SPDX-License-Identifier: Apache-2.0

package stats

import (
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"gonum.org/v1/gonum/stat"
)

func TestPairedByHand(t *testing.T) {
	e, err := Paired([]float64{2, 8, 3, 20, 4, 12, 7}, []float64{1, 2, 3, 10, 2, 3, 7}, 1)
	if err != nil {
		t.Fatal(err)
	}
	ratios := []float64{2, 4, 1, 2, 2, 4, 1}
	if want := stat.GeometricMean(ratios, nil); math.Abs(e.Ratio-want) > 1e-12 || math.Abs(e.Median-2) > 1e-12 || e.Blocks != 7 {
		t.Errorf("ratio %v, want %v; median %v, want 2", e.Ratio, want, e.Median)
	}
	if !(e.Low < e.FixedLow && e.FixedLow < e.Ratio && e.Ratio < e.FixedHigh && e.FixedHigh < e.High) {
		t.Errorf("the interval of many looks is to be the wider one: %+v", e)
	}
	if e.P != 8.0/128 { // all ups or all downs, where the two without a difference may have either sign
		t.Errorf("p = %v", e.P)
	}
}

// TestPairedTurnsOver: exchanging the arms turns the ratios over and changes nothing else.
func TestPairedTurnsOver(t *testing.T) {
	a, b := []float64{9, 12, 11, 10, 13, 9, 10}, []float64{10, 11, 11, 9, 10, 8, 9}
	e, err := Paired(a, b, 1)
	if err != nil {
		t.Fatal(err)
	}
	f, err := Paired(b, a, 1)
	if err != nil {
		t.Fatal(err)
	}
	if math.Abs(e.Ratio*f.Ratio-1) > 1e-12 || math.Abs(e.Low*f.High-1) > 1e-12 || e.P != f.P || math.Abs(e.AlwaysP-f.AlwaysP) > 1e-12 {
		t.Errorf("%+v and %+v", e, f)
	}
}

func TestPairedWarns(t *testing.T) {
	check := func(ratios []float64, want ...string) {
		t.Helper()
		ones := slices.Repeat([]float64{1}, len(ratios))
		e, err := Paired(ratios, ones, 1)
		if err != nil {
			t.Fatal(err)
		}
		if len(e.Warnings) != len(want) {
			t.Errorf("%v: warnings %q", ratios, e.Warnings)
			return
		}
		for i, w := range want {
			if !strings.Contains(e.Warnings[i], w) {
				t.Errorf("%v: warning %q, want %q in it", ratios, e.Warnings[i], w)
			}
		}
	}
	check([]float64{1.01, 0.98, 1.02, 0.99, 1.03, 1})
	check([]float64{1.1}, "1 blocks", "one block")
	check([]float64{1.1, 1.2, 1.15}, "6 blocks at least", "Student")
	check([]float64{1, 1, 1, 1, 1, 1, 1}, "all blocks are equal")
	check([]float64{1.01, 0.98, 1.02, 0.99, 1.03, 1, 1.01, 3, 0.99, 0.98}, "block 7;", "skewed")
}

func TestPairedRefuses(t *testing.T) {
	check := func(arm, baseline []float64, want string) {
		t.Helper()
		if _, err := Paired(arm, baseline, 1); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %q in it", err, want)
		}
	}
	check(nil, nil, "one at least")
	check([]float64{1, 2}, []float64{1}, "2 values of the arm and 1")
	check([]float64{1, 0}, []float64{1, 1}, "block 1: a value of 0")
	check([]float64{1}, []float64{-1}, "block 0: a value of -1")
	check([]float64{math.NaN()}, []float64{1}, "NaN")
	check([]float64{math.Inf(1)}, []float64{1}, "+Inf")
}

func TestHolm(t *testing.T) {
	check := func(ps, want []float64) {
		t.Helper()
		got := Holm(ps)
		for i := range want {
			if len(got) != len(want) || math.Abs(got[i]-want[i]) > 1e-12 {
				t.Fatalf("%v: %v, want %v", ps, got, want)
			}
		}
	}
	check(nil, nil)
	check([]float64{0.3}, []float64{0.3})
	check([]float64{0.01, 0.04, 0.03, 0.005}, []float64{0.03, 0.06, 0.06, 0.02})            // the usual textbook example: two of four at 5%
	check([]float64{0.01, 0.02, 0.03, 0.04, 0.05}, []float64{0.05, 0.08, 0.09, 0.09, 0.09}) // R: p.adjust(1:5/100, "holm")
	check([]float64{0.9, 0.8, 0.001}, []float64{1, 1, 0.003})                               // never above 1
	check([]float64{0.02, 0.02, 0.02}, []float64{0.06, 0.06, 0.06})                         // ties
	check([]float64{0.0001, 0.0004, 0.0019, 0.0095, 0.0201, 0.0278, 0.0298, 0.0344, 0.0459, 0.3240, 0.4262, 0.5719, 0.6528, 0.7590, 1},
		[]float64{0.0015, 0.0056, 0.0247, 0.114, 0.2211, 0.278, 0.278, 0.278, 0.3213, 1, 1, 1, 1, 1, 1}) // Benjamini and Hochberg 1995, table 1: Holm rejects 3
}

// TestDetectableIsFound plants what Detectable says and looks how often it is found.
func TestDetectableIsFound(t *testing.T) {
	const runs, sd = 2000, 0.02
	for _, n := range []int{6, 12, 30} {
		effect := math.Log1p(Detectable(sd, n, Confidence))
		found := share(runs, rand.New(rand.NewPCG(12, uint64(n))), func(rng *rand.Rand) bool {
			s := NewSequence(Confidence)
			for range n {
				s.Add(effect + sd*rng.NormFloat64())
			}
			low, _ := s.Interval()
			return low > 0
		})
		t.Logf("%d blocks: %.2f%% found in %.3f", n, 100*math.Expm1(effect), found)
		if math.Abs(found-Power) > margin(Power, runs) {
			t.Errorf("%d blocks: found %.3f, want %.2f", n, found, Power)
		}
	}
	if !math.IsInf(Detectable(sd, 4, Confidence), 1) || Detectable(0, 10, Confidence) != 0 {
		t.Error("nothing can be found in four blocks, all in blocks without noise")
	}
}

func TestOutliers(t *testing.T) {
	check := func(xs []float64, want ...int) {
		t.Helper()
		if got := Outliers(xs); !slices.Equal(got, want) {
			t.Errorf("%v: %v, want %v", xs, got, want)
		}
	}
	check(nil)
	check([]float64{1, 100})
	check([]float64{2, 3, 4, 5, 6})
	// Median 3.5, deviations 2.5 1.5 .5 .5 1.5 1.5: MAD 1.5, so far is above 3.5·1.5/0.6745 = 7.78.
	check([]float64{1, 2, 3, 4, 5, 11}) // MAD 1.5, 7.5 away
	check([]float64{1, 2, 3, 4, 5, 12}, 5)
	check([]float64{1, 1, 1, 1, 9}) // no scale
}

func TestMedianLeavesItsValues(t *testing.T) {
	xs := []float64{3, 1, 2, 10}
	if got := Median(xs); got != 2.5 || xs[0] != 3 {
		t.Errorf("%v of %v", got, xs)
	}
}
