// SPDX-License-Identifier: Apache-2.0

package stats

import (
	"math"

	"gonum.org/v1/gonum/stat/distuv"
)

// Power is the chance of finding a true effect that [Detectable] is told with.
const Power = 0.8

// Detectable is the smallest difference, as a ratio less 1, that n blocks with a standard deviation sd of the log ratio find with a chance
// of [Power], where to find is that the interval of a [Sequence] of a confidence at its last look leaves 1 out. So a report can say that less would have
// been missed (Bloom, "Minimum detectable effects", Evaluation Review 19, 1995, here with that interval's bound in place of Student's, and
// the chance from the noncentral t distribution). It is infinite where nothing can be found yet.
//
// sd is taken for the true one; estimated from n blocks it may be off by 1/√(2n), and the difference with it.
func Detectable(sd float64, n int, confidence float64) float64 {
	bound := criticalValue(n, 1-confidence)
	if math.IsInf(bound, 1) {
		return bound
	}
	return math.Expm1(noncentralityFor(Power, bound, n-1) * sd / math.Sqrt(float64(n)))
}

// noncentralityFor bisects for the true mean, in standard errors, at which t exceeds bound with a chance of power.
func noncentralityFor(power, bound float64, freedom int) float64 {
	spreads := chiQuantiles(freedom)
	low, high := 0.0, 4*bound+10
	for range 50 {
		middle := (low + high) / 2
		if chanceAbove(bound, middle, spreads) < power {
			low = middle
		} else {
			high = middle
		}
	}
	return high
}

// chanceAbove is the chance that a t statistic with a true mean of shift standard errors exceeds bound: that of the normal numerator,
// averaged over the estimated standard deviation.
func chanceAbove(bound, shift float64, spreads []float64) float64 {
	sum := 0.0
	for _, s := range spreads {
		sum += distuv.UnitNormal.CDF(shift - bound*s)
	}
	return sum / float64(len(spreads))
}

// chiQuantiles are evenly spaced quantiles of the estimated over the true standard deviation.
func chiQuantiles(freedom int) []float64 {
	const steps = 200
	squared := distuv.ChiSquared{K: float64(freedom)}
	quantiles := make([]float64, steps)
	for i := range quantiles {
		quantiles[i] = math.Sqrt(squared.Quantile((float64(i)+0.5)/steps) / float64(freedom))
	}
	return quantiles
}
