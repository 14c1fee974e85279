// SPDX-License-Identifier: Apache-2.0

package stats

import (
	"math"
	"math/bits"
	"math/rand/v2"
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
