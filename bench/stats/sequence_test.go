// SPDX-License-Identifier: Apache-2.0

package stats

import (
	"math"
	"math/rand/v2"
	"testing"
)

// TestSequenceCoversAtAllLooks looks after each block, and counts an experiment as covered only if each look was.
func TestSequenceCoversAtAllLooks(t *testing.T) {
	const runs = 4000
	check := func(name string, blocks int, f noise, least float64) {
		t.Run(name, func(t *testing.T) {
			got := share(runs, rand.New(rand.NewPCG(1, 2)), func(rng *rand.Rand) bool { return covers(f, rng, blocks) })
			t.Logf("covered at all of %d looks: %.3f", blocks, got)
			if got < least-margin(least, runs) {
				t.Errorf("covered %.3f, want %.3f", got, least)
			}
		})
	}
	check("normal", 60, normal, 0.95)
	check("normal, many looks", 500, normal, 0.95)
	check("t with 3 degrees of freedom", 60, studentT3, 0.95)
	check("A/A with slow trials", 60, slowdowns, 0.95)
	check("lognormal, skewness 0.8", 60, lognormal(0.25), 0.95)
	// Known limits, which the doc comment tells of.
	check("lognormal, skewness 1.8", 60, lognormal(0.5), 0.92)
	check("lognormal, skewness 6", 60, lognormal(1), 0.77)
}

func covers(f noise, rng *rand.Rand, blocks int) bool {
	s := NewSequence(Confidence)
	for range blocks {
		s.Add(f(rng))
		if low, high := s.Interval(); low > 0 || high < 0 {
			return false
		}
	}
	return true
}

// TestSequenceStopsOnTheFirstFind is the false alarms of whoever stops as soon as p is low: 5% with P, far more with a test for one look.
func TestSequenceStopsOnTheFirstFind(t *testing.T) {
	const runs, blocks = 1000, 40
	always := share(runs, rand.New(rand.NewPCG(3, 4)), func(rng *rand.Rand) bool {
		s := NewSequence(Confidence)
		for range blocks {
			s.Add(normal(rng))
		}
		return s.P() <= 0.05
	})
	once := share(runs, rand.New(rand.NewPCG(3, 4)), func(rng *rand.Rand) bool {
		xs := noise(normal).draw(rng, blocks)
		for n := 6; n <= blocks; n++ {
			if n <= 12 && SignFlip(xs[:n], 0) <= 0.05 {
				return true
			}
		}
		return false
	})
	t.Logf("false alarms: %.3f with P at %d looks, %.3f with the sign-flip test at 7", always, blocks, once)
	if always > 0.05+margin(0.05, runs) {
		t.Errorf("%.3f false alarms, want 0.05", always)
	}
	if once < 0.08 {
		t.Errorf("a test for one look had %.3f false alarms: then there is no need for the sequence", once)
	}
}

func TestSequenceFindsThreePercent(t *testing.T) {
	const runs, blocks = 500, 20
	found := share(runs, rand.New(rand.NewPCG(5, 6)), func(rng *rand.Rand) bool {
		s := NewSequence(Confidence)
		for range blocks {
			s.Add(math.Log(1.03) + 0.02*rng.NormFloat64())
		}
		low, _ := s.Interval()
		return low > 0
	})
	if found < 0.95 {
		t.Errorf("3%% with 2%% of noise found in %.3f of 20 blocks", found)
	}
}

func TestSequenceByHand(t *testing.T) {
	s := NewSequence(Confidence)
	for i, x := range []float64{1, 2, 3, 4} {
		s.Add(x)
		if low, high := s.Interval(); !math.IsInf(low, -1) || !math.IsInf(high, 1) || !math.IsInf(s.Width(), 1) {
			t.Errorf("after %d values: [%v, %v], want all", i+1, low, high)
		}
	}
	s.Add(5)
	// n = 5: k = (√6/0.05)^(2/5) = 4.7442, t² = 4·(k−1)/(1−k/6) = 71.547; mean 3, standard error √(2.5/5).
	low, high := s.Interval()
	if want := math.Sqrt(71.547 * 0.5); math.Abs(high-3-want) > 1e-2 || math.Abs(3-low-want) > 1e-2 {
		t.Errorf("[%v, %v], want 3 ± %v", low, high, want)
	}
	// t² = 9/0.5 = 18: B = 6^(−1/2)·((1+18/4)/(1+18/24))^(5/2) = 7.15
	if want := math.Sqrt(6) / math.Pow(5.5/1.75, 2.5); math.Abs(s.P()-want) > 1e-9 {
		t.Errorf("p = %v, want %v", s.P(), want)
	}
}

// TestSequenceIntervalIsItsTest: P of values moved by a bound of their interval is α.
func TestSequenceIntervalIsItsTest(t *testing.T) {
	xs := noise(normal).draw(rand.New(rand.NewPCG(7, 8)), 9)
	s := NewSequence(Confidence)
	for _, x := range xs {
		s.Add(x)
	}
	low, _ := s.Interval()
	moved := NewSequence(Confidence)
	for _, x := range xs {
		moved.Add(x - low)
	}
	if p := math.Exp(-moved.evidence()); math.Abs(p-0.05) > 1e-9 {
		t.Errorf("p = %v at the bound, want 0.05", p)
	}
}

func TestSequenceWithoutNoise(t *testing.T) {
	s := NewSequence(Confidence)
	for range 6 {
		s.Add(0.5)
	}
	if low, high := s.Interval(); low != 0.5 || high != 0.5 || s.P() > 0.01 {
		t.Errorf("[%v, %v], p %v", low, high, s.P())
	}
}

func TestSequenceTellsNothingAfterAValueThatIsNone(t *testing.T) {
	for _, bad := range []float64{math.NaN(), math.Inf(1), math.Inf(-1)} {
		s := NewSequence(Confidence)
		for _, x := range []float64{1, 2, 3, bad, 4, 5, 6, 7} {
			s.Add(x)
		}
		if low, high := s.Interval(); !math.IsInf(low, -1) || !math.IsInf(high, 1) || s.P() != 1 {
			t.Errorf("after %v: [%v, %v], p %v", bad, low, high, s.P())
		}
	}
}
