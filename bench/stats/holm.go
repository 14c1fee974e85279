// SPDX-License-Identifier: Apache-2.0

package stats

import "slices"

// Holm adjusts the p-values of a family of tests, in the order given: rejecting those below α errs in the whole family with a probability of
// α at most, however the tests depend on each other (Holm, "A simple sequentially rejective multiple test procedure", Scand. J. Statist. 6,
// 1979).
func Holm(ps []float64) []float64 {
	order := make([]int, len(ps))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int {
		switch {
		case ps[a] < ps[b]:
			return -1
		case ps[a] > ps[b]:
			return 1
		}
		return 0
	})
	adjusted := make([]float64, len(ps))
	least := 0.0
	for rank, i := range order {
		least = min(1, max(least, ps[i]*float64(len(ps)-rank)))
		adjusted[i] = least
	}
	return adjusted
}
