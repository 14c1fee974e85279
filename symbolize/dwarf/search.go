// SPDX-License-Identifier: Apache-2.0

package dwarf

import "sort"

// after is the first of n values in ascending order that is behind an address, as behind tells; n when none is. hint is what it was for the
// address that was asked for before: those of a profile come in ascending order, and most lie near the one before.
func after(n, hint int, behind func(i int) bool) int {
	lo, hi := 0, n // the result is in lo…hi
	if hint <= n && (hint == 0 || !behind(hint-1)) {
		lo, hi = hint, hint
		for step := 1; hi < n && !behind(hi); step *= 2 {
			lo, hi = hi+1, hi+step
		}
		hi = min(hi, n)
	}
	if lo == hi {
		return lo
	}
	return lo + sort.Search(hi-lo, func(i int) bool { return behind(lo + i) })
}
