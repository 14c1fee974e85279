// SPDX-License-Identifier: Apache-2.0

package stats

import (
	"math"
	"math/rand/v2"
	"testing"

	"golang.org/x/perf/benchmath"
	"gonum.org/v1/gonum/stat"
	"gonum.org/v1/gonum/stat/distuv"
)

func TestSignFlipByHand(t *testing.T) {
	check := func(want float64, xs ...float64) {
		t.Helper()
		if got := SignFlip(xs, 1); got != want {
			t.Errorf("%v: p = %v, want %v", xs, got, want)
		}
	}
	check(1)
	check(1, 5)
	check(2.0/8, 1, 2, 3)
	check(4.0/8, -1, 2, 3) // |sum| of at least 4: ±6, ±4
	check(1, 1, -1)
	check(1, 0, 0, 0, 0)
	check(2.0/64, 1, 1, 1, 1, 1, 1)
	check(2.0/64, -0.1, -0.2, -0.3, -0.4, -0.5, -0.6)
}

// darwin is the difference in height, in eighths of an inch, between crossed and self-fertilised plants of a pair. Fisher (1935, section 21)
// counted 1,726 of 32,768 flips with a sum as high in absolute value: 5.267%.
var darwin = []float64{49, -67, 8, 16, 6, 23, 28, 41, 14, 29, 56, 24, 75, 60, -48}

func TestSignFlipIsFishers(t *testing.T) {
	if got, want := SignFlip(darwin, 1), 1726.0/32768; got != want {
		t.Errorf("p = %v, want %v", got, want)
	}
}

func TestSignFlipDrawnIsNearExact(t *testing.T) {
	xs := noise(normal).draw(rand.New(rand.NewPCG(2, 3)), 16)
	for i := range xs {
		xs[i] += 0.4
	}
	exact := SignFlip(xs, 1)
	drawn := someFlips(xs, math.Abs(sum(xs))-1e-9, rand.New(rand.NewPCG(4, 5)))
	if math.Abs(exact-drawn) > margin(exact, flips) {
		t.Errorf("drawn %v, exact %v", drawn, exact)
	}
	again := noise(normal).draw(rand.New(rand.NewPCG(2, 3)), 70)
	if SignFlip(again, 1) != SignFlip(again, 1) {
		t.Error("the same seed gave another p")
	}
	for i := range again {
		again[i] = 1
	}
	if p := SignFlip(again, 1); p != 1.0/(flips+1) {
		t.Errorf("p = %v: never 0", p)
	}
}

func sum(xs []float64) float64 { return stat.Mean(xs, nil) * float64(len(xs)) }

// TestSignFlipIsNearStudent: with normal values both tests are about the same.
func TestSignFlipIsNearStudent(t *testing.T) {
	rng := rand.New(rand.NewPCG(6, 7))
	for range 50 {
		xs := noise(normal).draw(rng, 14)
		ratio := math.Abs(stat.Mean(xs, nil)) / stat.StdErr(stat.StdDev(xs, nil), 14)
		student := 2 * (1 - distuv.StudentsT{Mu: 0, Sigma: 1, Nu: 13}.CDF(ratio))
		if p := SignFlip(xs, 1); math.Abs(p-student) > 0.04 {
			t.Errorf("p = %.3f, Student's %.3f", p, student)
		}
	}
}

func TestSignFlipErrs(t *testing.T) {
	const runs = 3000
	for name, f := range map[string]noise{"normal": normal, "t3": studentT3, "A/A with slow trials": slowdowns} {
		got := share(runs, rand.New(rand.NewPCG(8, 9)), func(rng *rand.Rand) bool { return SignFlip(f.draw(rng, 10), 0) <= 0.05 })
		t.Logf("%s: %.3f false alarms", name, got)
		if math.Abs(got-0.05) > margin(0.05, runs) {
			t.Errorf("%s: %.3f false alarms, want 0.05", name, got)
		}
	}
}

// TestPairsSeeThroughDrift: blocks drift by 20%, the arm costs 3%. The test on pairs finds it, benchstat's test on all values together doesn't.
func TestPairsSeeThroughDrift(t *testing.T) {
	rng := rand.New(rand.NewPCG(10, 11))
	var arm, baseline []float64
	for i := range 12 {
		drift := 100 * (1 + 0.2*float64(i)/12)
		baseline = append(baseline, drift*math.Exp(0.01*rng.NormFloat64()))
		arm = append(arm, 1.03*drift*math.Exp(0.01*rng.NormFloat64()))
	}
	e, err := Paired(arm, baseline, 1)
	if err != nil {
		t.Fatal(err)
	}
	unpaired := benchmath.AssumeNothing.Compare(benchmath.NewSample(baseline, &benchmath.DefaultThresholds), benchmath.NewSample(arm, &benchmath.DefaultThresholds))
	if e.P > 0.01 || !e.Differs() || unpaired.P < 0.05 {
		t.Errorf("paired p %v, interval [%v, %v]; unpaired p %v", e.P, e.Low, e.High, unpaired.P)
	}
}

// TestSignFlipIntervalIsTheTest: just inside the interval SignFlip says that the mean may be there, just outside that it isn't.
func TestSignFlipIntervalIsTheTest(t *testing.T) {
	for name, xs := range map[string][]float64{
		"Darwin's plants": darwin,
		"six":             {1, 2, 4, 8, 16, 3},
		"heavy tails":     noise(studentT3).draw(rand.New(rand.NewPCG(3, 3)), 11),
	} {
		low, high := SignFlipInterval(xs, Confidence, 1)
		p := func(mean float64) float64 {
			moved := make([]float64, len(xs))
			for i, x := range xs {
				moved[i] = x - mean
			}
			return SignFlip(moved, 1)
		}
		const little = 1e-6
		if p(low+little) <= 0.05 || p(high-little) <= 0.05 {
			t.Errorf("%s: p = %v, %v inside [%v, %v]", name, p(low+little), p(high-little), low, high)
		}
		if p(low-little) > 0.05 || p(high+little) > 0.05 {
			t.Errorf("%s: p = %v, %v outside [%v, %v]", name, p(low-little), p(high+little), low, high)
		}
	}
	if low, high := SignFlipInterval(darwin[:5], Confidence, 1); !math.IsInf(low, -1) || !math.IsInf(high, 1) {
		t.Errorf("[%v, %v] of five values, which have no p below 0.06", low, high)
	}
}

// TestSignFlipIntervalByDraws: drawn subsets give about Student's interval where there are many normal values.
func TestSignFlipIntervalByDraws(t *testing.T) {
	xs := noise(normal).draw(rand.New(rand.NewPCG(9, 9)), 100)
	half := studentQuantile(len(xs), Confidence) * stat.StdErr(stat.StdDev(xs, nil), float64(len(xs)))
	low, high := SignFlipInterval(xs, Confidence, 1)
	if math.Abs(low-(stat.Mean(xs, nil)-half)) > 0.15*half || math.Abs(high-(stat.Mean(xs, nil)+half)) > 0.15*half {
		t.Errorf("[%v, %v] around %v, Student's is ±%v", low, high, stat.Mean(xs, nil), half)
	}
}

// TestFixedCovers: where the bootstrap is too narrow, as BCa's comment tells, both together are not.
func TestFixedCovers(t *testing.T) {
	const runs = 400
	for name, f := range map[string]noise{"normal": normal, "heavy tails": studentT3, "A/A with slow trials": slowdowns, "skewed": lognormal(0.5)} {
		got := share(runs, rand.New(rand.NewPCG(4, 4)), func(rng *rand.Rand) bool {
			low, high, _ := Fixed(f.draw(rng, 10), Confidence, rng.Uint64())
			return low <= 0 && 0 <= high
		})
		t.Logf("%s: covered %.3f", name, got)
		if got < 0.95-margin(0.95, runs) {
			t.Errorf("%s: covered %.3f", name, got)
		}
	}
}
