// SPDX-License-Identifier: Apache-2.0

package arrivals

import (
	"math"
	"slices"
	"testing"
	"time"
)

const ms = time.Millisecond

// TestExact checks schedules whose every time is known.
func TestExact(t *testing.T) {
	check := func(name string, s Schedule, want ...time.Duration) {
		t.Helper()
		if got := slices.Collect(s); !slices.Equal(got, want) {
			t.Errorf("%s: got %v, want %v", name, got, want)
		}
		if got := slices.Collect(s); !slices.Equal(got, want) {
			t.Errorf("%s, walked again: got %v, want %v", name, got, want)
		}
	}
	check("constant", Until(Constant(4), time.Second), 0, 250*ms, 500*ms, 750*ms)
	check("constant of thirds", Until(Constant(3), time.Second), 0, 333333333, 666666667)
	check("cut at once", Until(Constant(4), 0))
	// t²/2 = n over 4 s: √2n.
	check("ramp from 0", Ramp(0, 1, time.Second*2), 0)
	check("ramp from 0 to 4", Ramp(0, 4, 2*time.Second), 0, time.Second, 1414213562, 1732050808)
	// 4t − t² = n: t = 2 − √(4 − n).
	check("ramp down to 0", Ramp(4, 0, 2*time.Second), 0, 267949192, 585786438, time.Second)
	check("flat ramp", Ramp(4, 4, time.Second), 0, 250*ms, 500*ms, 750*ms)
	check("nothing", Ramp(0, 0, time.Second))
	check("steps", Steps(Step{2, time.Second}, Step{0, time.Second}, Step{4, time.Second / 2}), 0, 500*ms, 2000*ms, 2250*ms)
	check("half and half", Steps(Step{1, 1500 * ms}, Step{2, time.Second}), 0, time.Second, 1750*ms, 2250*ms)
	check("tenths", Steps(Step{0.1, time.Second}, Step{0.2, time.Second}, Step{0.7, time.Second}, Step{1, time.Second}), 0, 3*time.Second)
	check("trace", Trace([]time.Duration{5 * ms, 6 * ms, 6 * ms, 9 * ms}, 2), 0, ms/2, ms/2, 2*ms)
	check("empty trace", Trace(nil, 1))
}

// TestCounts checks how many arrivals there are in long schedules: rounding must not add up.
func TestCounts(t *testing.T) {
	check := func(name string, s Schedule, want int) {
		t.Helper()
		n, last := 0, time.Duration(0)
		for at := range s {
			if at < last {
				t.Fatalf("%s: arrival %d comes at %v, before the one before it at %v", name, n, at, last)
			}
			n, last = n+1, at
		}
		if n != want {
			t.Errorf("%s: %d arrivals, want %d", name, n, want)
		}
	}
	check("constant", Until(Constant(3e5/7), 7*time.Second), 300000)
	check("ramp", Ramp(1000, 100000, 3*time.Second), 151500)
	check("ramp down", Ramp(100000, 0, 3*time.Second), 150000)
	check("steps", Steps(slices.Repeat([]Step{{0.1, time.Second}, {1e3, 100 * ms}}, 100)...), 10010)
}

// TestPoisson checks that gaps are exponential: their mean, their spread and the share of those longer than the mean, each within six
// standard errors, which is wrong once in 10⁸ seeds.
func TestPoisson(t *testing.T) {
	const n, rate = 100000, 500.0
	var gaps []float64
	last := time.Duration(0)
	for at := range Poisson(rate, 7) {
		gaps = append(gaps, (at-last).Seconds()*rate)
		last = at
		if len(gaps) == n {
			break
		}
	}
	var sum, squares, longer float64
	for _, g := range gaps {
		sum += g
		squares += (g - 1) * (g - 1)
		if g > 1 {
			longer++
		}
	}
	check := func(name string, got, want, deviation float64) {
		t.Helper()
		if bound := 6 * deviation / math.Sqrt(n); math.Abs(got-want) > bound {
			t.Errorf("%s of the gaps is %v, want %v ± %v", name, got, want, bound)
		}
	}
	share := 1 / math.E
	check("mean", sum/n, 1, 1)
	check("variance", squares/n, 1, math.Sqrt(8)) // the fourth central moment is 9
	check("share over the mean", longer/n, share, math.Sqrt(share*(1-share)))
}

// TestSeed checks that a seed is all that decides.
func TestSeed(t *testing.T) {
	first := func(seed uint64) []time.Duration { return slices.Collect(Until(Poisson(100, seed), time.Second)) }
	if !slices.Equal(first(1), first(1)) {
		t.Error("the same seed gave two schedules")
	}
	if slices.Equal(first(1), first(2)) {
		t.Error("two seeds gave the same schedule")
	}
}

func TestParseSteps(t *testing.T) {
	got, err := ParseSteps("100@2s, 0@500ms,2.5@1m")
	want := []Step{{100, 2 * time.Second}, {0, 500 * ms}, {2.5, time.Minute}}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("got %v, %v; want %v", got, err, want)
	}
	for _, bad := range []string{"", "100", "100@", "@2s", "x@2s", "-1@2s", "NaN@2s", "Inf@2s", "100@0s", "100@2s,"} {
		if got, err := ParseSteps(bad); err == nil {
			t.Errorf("%q: got %v, want an error", bad, got)
		}
	}
}
