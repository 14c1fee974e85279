// SPDX-License-Identifier: Apache-2.0

package dwarf

import (
	"math/rand/v2"
	"slices"
	"testing"
)

// randomSpans are spans below an address, in the order that flatten sorts them into.
func randomSpans(r *rand.Rand, n int, below uint64) []span {
	var spans []span
	for i := range n {
		lo := r.Uint64N(below)
		spans = append(spans, span{lo, lo + 1 + r.Uint64N(below-lo), int32(i)})
	}
	flatten(nil, spans)
	return spans
}

// randomLines are sequences with rows that begin where they do.
func randomLines(r *rand.Rand, n int, below uint64) *lineRows {
	l := &lineRows{}
	for _, s := range randomSpans(r, n, below) {
		first := int32(len(l.rows))
		for off := uint64(0); s.lo+off < s.hi; off += 1 + r.Uint64N(20) {
			l.rows = append(l.rows, row{uint32(off), r.Uint32N(3), r.Uint32()})
		}
		l.sequences = append(l.sequences, sequence{s.lo, s.hi, first, int32(len(l.rows))})
	}
	l.order()
	return l
}

// painted says of each address below one what it belongs to, by painting spans over those that lie around them.
func painted(scopes []span, lines *lineRows, below uint64) []place {
	places := slices.Repeat([]place{nothing}, int(below))
	for _, s := range scopes {
		for pc := s.lo; pc < s.hi; pc++ {
			places[pc].scope = s.owner
		}
	}
	for _, s := range lines.spans {
		q := lines.sequences[s.owner]
		for _, r := range lines.rows[q.first:q.last] {
			for pc := q.lo + uint64(r.off); pc < q.hi; pc++ {
				places[pc].file, places[pc].line = r.file, r.line
			}
		}
	}
	return places
}

// TestPlaces asks for each address in ascending order, and then in any.
func TestPlaces(t *testing.T) {
	const below = 5000
	r := rand.New(rand.NewPCG(1, 2))
	var w packer
	for _, n := range []int{0, 1, 2, 10, 300} {
		scopes, lines := randomSpans(r, n, below/2), randomLines(r, n, below)
		want := painted(scopes, lines, below)
		p := w.pack(flatten(nil, scopes), lines)
		for pc := range uint64(below) {
			if got := *p.find(pc); got != want[pc] {
				t.Fatalf("%d spans, %d: %v, want %v", n, pc, got, want[pc])
			}
		}
		for range 10 * below {
			pc := r.Uint64N(below)
			if got := *p.find(pc); got != want[pc] {
				t.Fatalf("%d spans, any order, %d: %v, want %v", n, pc, got, want[pc])
			}
		}
		for _, pc := range []uint64{below, ^uint64(0)} {
			if got := *p.find(pc); got != nothing {
				t.Errorf("%d spans, %#x: %v, want nothing", n, pc, got)
			}
		}
	}
}

// TestPlacesApart: stretches may be as long as there are addresses.
func TestPlacesApart(t *testing.T) {
	const end = ^uint64(0)
	spans := []span{{1, end, 0}, {1 << 63, end - 1, 1}}
	var w packer
	p := w.pack(flatten(nil, spans), &lineRows{})
	for _, tc := range []struct {
		pc   uint64
		want int32
	}{{0, noScope}, {1, 0}, {1<<63 - 1, 0}, {1 << 63, 1}, {end - 2, 1}, {5, 0}, {end, noScope}} {
		if got := p.find(tc.pc).scope; got != tc.want {
			t.Errorf("%#x: scope %d, want %d", tc.pc, got, tc.want)
		}
	}
}
