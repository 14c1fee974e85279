// SPDX-License-Identifier: Apache-2.0

package stats

import (
	"math"
	"math/rand/v2"
)

// A noise draws log ratios of arms that don't differ: its mean is 0.
type noise func(*rand.Rand) float64

func normal(rng *rand.Rand) float64 { return rng.NormFloat64() }

// studentT3 has tails so heavy that its skewness and kurtosis are not defined.
func studentT3(rng *rand.Rand) float64 {
	sum := 0.0
	for range 3 {
		z := rng.NormFloat64()
		sum += z * z
	}
	return rng.NormFloat64() / math.Sqrt(sum/3)
}

// lognormal is skewed to the right.
func lognormal(sigma float64) noise {
	return func(rng *rand.Rand) float64 { return math.Exp(sigma*rng.NormFloat64()) - math.Exp(sigma*sigma/2) }
}

// slowdowns is the log ratio of two arms alike, each with a long tail of slow trials.
func slowdowns(rng *rand.Rand) float64 {
	trial := func() float64 { return math.Log(1 + 0.05*math.Exp(rng.NormFloat64())) }
	return trial() - trial()
}

func (f noise) draw(rng *rand.Rand, n int) []float64 {
	xs := make([]float64, n)
	for i := range xs {
		xs[i] = f(rng)
	}
	return xs
}

// share is how many of runs are true. Each run has the same generator.
func share(runs int, rng *rand.Rand, run func(*rand.Rand) bool) float64 {
	n := 0
	for range runs {
		if run(rng) {
			n++
		}
	}
	return float64(n) / float64(runs)
}

// margin is three standard errors of a share simulated runs times.
func margin(share float64, runs int) float64 { return 3 * math.Sqrt(share*(1-share)/float64(runs)) }
