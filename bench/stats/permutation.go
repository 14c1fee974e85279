// SPDX-License-Identifier: Apache-2.0

package stats

import (
	"math"
	"math/bits"
	"math/rand/v2"
	"slices"
)

const (
	exactUpTo = 16     // values, for which all 65,536 sign flips are tried
	flips     = 19_999 // drawn above that, so that p is a multiple of 1/20,000
)

// SignFlip is the two-sided p-value of the test that log ratios are symmetric about 0, by flipping their signs (Fisher, "The Design of
// Experiments", 1935, section 21). Up to 16 values it is exact: the share of all flips whose sum is as far from 0, and so at least 2/2^n.
// Above, flips are drawn and p is (b+1)/(m+1), which keeps its level (Phipson and Smyth, "Permutation p-values should never be zero",
// Stat. Appl. Genet. Mol. Biol. 9, 2010). It is 1 for no values. It holds for one look only; see [Sequence.P] for many.
func SignFlip(xs []float64, seed uint64) float64 {
	sum, size := 0.0, 0.0
	for _, x := range xs {
		sum += x
		size += math.Abs(x)
	}
	bound := math.Abs(sum) - 1e-9*size // the same flip summed in another order must not count as nearer
	if len(xs) <= exactUpTo {
		return allFlips(xs, bound)
	}
	return someFlips(xs, bound, rand.New(rand.NewPCG(seed, 1)))
}

// allFlips goes through all flips by Gray code, one sign at a time, as few sums as can be.
func allFlips(xs []float64, bound float64) float64 {
	sum := 0.0
	signed := make([]float64, len(xs))
	for i, x := range xs {
		signed[i] = x
		sum += x
	}
	all := 1 << len(xs)
	far := 0
	for i := 1; ; i++ {
		if math.Abs(sum) >= bound {
			far++
		}
		if i == all {
			return float64(far) / float64(all)
		}
		flip := bits.TrailingZeros(uint(i))
		sum -= 2 * signed[flip]
		signed[flip] = -signed[flip]
	}
}

func someFlips(xs []float64, bound float64, rng *rand.Rand) float64 {
	far := 0
	for range flips {
		sum := 0.0
		var signs uint64
		for i, x := range xs {
			if i%64 == 0 {
				signs = rng.Uint64()
			}
			sum += math.Copysign(1, float64(signs&1)-0.5) * x
			signs >>= 1
		}
		if math.Abs(sum) >= bound {
			far++
		}
	}
	return float64(far+1) / (flips + 1)
}

// SignFlipInterval is all values of which [SignFlip] wouldn't say, at a confidence, that the mean of xs differs from them. Flipping the signs of
// some of xs, less a value, makes their sum as large or larger where the mean of those is no more than the value, so the bounds are quantiles of the means
// of subsets (Hartigan, "Using subsample values as typical values", JASA 64, 1969). It needs no scale: with noise that is symmetric it holds exactly,
// however long its tails are. It is infinite for fewer values than such a p needs, which at 95% are six.
func SignFlipInterval(xs []float64, confidence float64, seed uint64) (low, high float64) {
	var means []float64
	if len(xs) <= exactUpTo {
		means = allSubsetMeans(xs)
	} else {
		means = someSubsetMeans(xs, rand.New(rand.NewPCG(seed, 2)))
	}
	cut := int((1 - confidence) / 2 * float64(len(means)+1) * (1 + 1e-12)) // 0.025 is not a number of the machine's
	if cut < 1 {
		return math.Inf(-1), math.Inf(1)
	}
	slices.Sort(means)
	return means[cut-1], means[len(means)-cut]
}

// allSubsetMeans are the means of all subsets but the empty one, by Gray code.
func allSubsetMeans(xs []float64) []float64 {
	var means []float64
	in := make([]bool, len(xs))
	sum, count := 0.0, 0
	for i := 1; i < 1<<len(xs); i++ {
		next := bits.TrailingZeros(uint(i))
		if in[next] = !in[next]; in[next] {
			sum += xs[next]
			count++
		} else {
			sum -= xs[next]
			count--
		}
		means = append(means, sum/float64(count))
	}
	return means
}

// someSubsetMeans are the means of subsets that were drawn.
func someSubsetMeans(xs []float64, rng *rand.Rand) []float64 {
	var means []float64
	for len(means) < flips {
		sum, count := 0.0, 0
		var in uint64
		for i, x := range xs {
			if i%64 == 0 {
				in = rng.Uint64()
			}
			if in&1 == 1 {
				sum += x
				count++
			}
			in >>= 1
		}
		if count > 0 {
			means = append(means, sum/float64(count))
		}
	}
	return means
}
