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

func TestBCaCovers(t *testing.T) {
	const runs, draws = 1000, 1000
	check := func(name string, n int, f noise, least, most float64) {
		t.Run(name, func(t *testing.T) {
			got := share(runs, rand.New(rand.NewPCG(1, uint64(n))), func(rng *rand.Rand) bool {
				xs := f.draw(rng, n)
				low, high := bcaBounds(xs, stat.Mean(xs, nil), resampledMeans(xs, draws, rng), Confidence)
				return low <= 0 && 0 <= high
			})
			t.Logf("%d blocks: covered %.3f", n, got)
			if got < least-margin(least, runs) || got > most {
				t.Errorf("covered %.3f, want %.2f to %.2f", got, least, most)
			}
		})
	}
	for _, n := range []int{12, 30} {
		check("normal", n, normal, 0.92, 0.98)
		check("lognormal, skewness 1.8", n, lognormal(0.5), 0.92, 0.98)
	}
	// Known limits, which the doc comment tells of.
	check("A/A with slow trials", 12, slowdowns, 0.90, 0.98)
	check("lognormal, skewness 6", 12, lognormal(1), 0.88, 0.98)
}

// TestBCaIsNearStudent: with normal values both are the same but for the luck of the draw.
func TestBCaIsNearStudent(t *testing.T) {
	xs := noise(normal).draw(rand.New(rand.NewPCG(9, 9)), 40)
	half := studentQuantile(40, Confidence) * stat.StdErr(stat.StdDev(xs, nil), 40)
	low, high, note := BCa(xs, Confidence, 1)
	if note != "" || math.Abs(high-low-2*half) > 0.15*half {
		t.Errorf("width %v, Student's %v; note %q", high-low, 2*half, note)
	}
	if l, h, _ := BCa(xs, Confidence, 1); l != low || h != high {
		t.Error("the same seed gave another interval")
	}
}

func TestBCaFollowsSkew(t *testing.T) {
	xs := []float64{0, 0.1, 0.2, 0.1, 0, 0.3, 0.2, 0.1, 2, 0.1, 0.4, 0.2}
	mean := stat.Mean(xs, nil)
	low, high, _ := BCa(xs, Confidence, 1)
	if high-mean < 1.5*(mean-low) {
		t.Errorf("[%v, %v] around %v: want the longer side where the tail is", low, high, mean)
	}
}

func TestAccelerationIsTheJackknife(t *testing.T) {
	xs := []float64{1, 2, 4, 8, 16, 3}
	left := make([]float64, len(xs))
	for i := range xs {
		left[i] = stat.Mean(slices.Concat(xs[:i], xs[i+1:]), nil)
	}
	middle, squares, cubes := stat.Mean(left, nil), 0.0, 0.0
	for _, l := range left {
		squares += math.Pow(middle-l, 2)
		cubes += math.Pow(middle-l, 3)
	}
	want := cubes / (6 * math.Pow(squares, 1.5))
	if got := acceleration(xs, stat.Mean(xs, nil)); math.Abs(got-want) > 1e-12 {
		t.Errorf("%v, want %v", got, want)
	}
}

func TestBCaWhereItCantWork(t *testing.T) {
	check := func(xs []float64, wantLow, wantHigh float64, wantNote string) {
		t.Helper()
		low, high, note := BCa(xs, Confidence, 1)
		if low != wantLow && math.Abs(low-wantLow) > 1e-3 || high != wantHigh && math.Abs(high-wantHigh) > 1e-3 || !strings.Contains(note, wantNote) {
			t.Errorf("%v: [%v, %v] %q", xs, low, high, note)
		}
	}
	check([]float64{1}, math.Inf(-1), math.Inf(1), "one block")
	check([]float64{2, 2, 2, 2, 2, 2, 2}, 2, 2, "no width")
	check([]float64{1, 2, 3}, 2-4.3027/math.Sqrt(3), 2+4.3027/math.Sqrt(3), "Student") // t of 2 degrees of freedom, from the tables
}
