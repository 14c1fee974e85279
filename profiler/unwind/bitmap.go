// SPDX-License-Identifier: Apache-2.0

package unwind

import (
	"math/bits"
	"slices"
)

// bitmap is a set of offsets in a piece of code: a bit for each.
type bitmap []uint64

// reset empties the set, and makes room for offsets up to n.
func (b *bitmap) reset(n int) {
	size := n/64 + 1
	*b = slices.Grow((*b)[:0], size)[:size]
	clear(*b)
}

func (b bitmap) set(at uint32)      { b[at/64] |= 1 << (at % 64) }
func (b bitmap) unset(at uint32)    { b[at/64] &^= 1 << (at % 64) }
func (b bitmap) has(at uint32) bool { return b[at/64]>>(at%64)&1 != 0 }

// next gives the first offset from at on, limit when there is none below it.
func (b bitmap) next(at, limit uint32) uint32 {
	for at < limit {
		if rest := b[at/64] >> (at % 64); rest != 0 {
			return min(at+uint32(bits.TrailingZeros64(rest)), limit)
		}
		at = at&^63 + 64
	}
	return limit
}

// nextBoth is next for offsets that two sets have.
func (b bitmap) nextBoth(other bitmap, at, limit uint32) uint32 {
	for at < limit {
		if rest := (b[at/64] & other[at/64]) >> (at % 64); rest != 0 {
			return min(at+uint32(bits.TrailingZeros64(rest)), limit)
		}
		at = at&^63 + 64
	}
	return limit
}

// last gives the last offset before one, which has to have one before it.
func (b bitmap) last(before uint32) uint32 {
	at := before - 1
	rest := b[at/64] << (63 - at%64)
	for rest == 0 {
		at = at&^63 - 1
		rest = b[at/64]
	}
	return at - uint32(bits.LeadingZeros64(rest))
}

// clear empties the set from start to end.
func (b bitmap) clear(start, end uint32) {
	if start >= end {
		return
	}
	first, last := start/64, (end-1)/64
	head, tail := ^uint64(0)<<(start%64), ^uint64(0)>>(63-(end-1)%64)
	if first == last {
		b[first] &^= head & tail
		return
	}
	b[first] &^= head
	clear(b[first+1 : last])
	b[last] &^= tail
}
