// SPDX-License-Identifier: Apache-2.0

package unwind

import (
	"math/rand"
	"testing"
)

// TestBitmap compares with a slice of whether each offset is in the set.
func TestBitmap(t *testing.T) {
	const size = 300
	random := rand.New(rand.NewSource(1))
	for range 2000 {
		var all, other bitmap
		all.reset(size)
		other.reset(size)
		var want, both [size]bool
		for range random.Intn(20) {
			at := uint32(random.Intn(size))
			all.set(at)
			want[at] = true
			if random.Intn(2) == 0 {
				other.set(at)
				both[at] = true
			}
		}
		start, end := uint32(random.Intn(size)), uint32(random.Intn(size))
		next := func(set *[size]bool) uint32 {
			for at := start; at < end; at++ {
				if set[at] {
					return at
				}
			}
			return end
		}
		if got := all.next(start, end); start <= end && got != next(&want) {
			t.Fatalf("from %d to %d: %d, want %d", start, end, got, next(&want))
		}
		if got := all.nextBoth(other, start, end); start <= end && got != next(&both) {
			t.Fatalf("both from %d to %d: %d, want %d", start, end, got, next(&both))
		}
		for last := int(start) - 1; last >= 0; last-- {
			if want[last] {
				if got := all.last(start); got != uint32(last) {
					t.Fatalf("before %d: %d, want %d", start, got, last)
				}
				break
			}
		}
		all.clear(start, end)
		for at := range uint32(size) {
			if got := all.has(at); got != (want[at] && (at < start || at >= end)) {
				t.Fatalf("%d, after %d to %d were cleared: %v", at, start, end, got)
			}
		}
	}
}
