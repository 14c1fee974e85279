// SPDX-License-Identifier: Apache-2.0

package dwarf

import (
	"cmp"
	"encoding/binary"
	"slices"
)

// blockLen is how many stretches are written as differences from each other: one is found by reading them from the first on.
const blockLen = 32

// noFile is the number of no file, where the line of an address isn't known.
const noFile = 1<<32 - 1

// place is what an address belongs to.
type place struct {
	scope      int32 // the innermost, or noScope
	file, line uint32
}

// places says for each address of a unit what it belongs to. Each stretch of addresses that belong to the same is written as its length and
// what differs from the one before, in 3 to 4 bytes.
type places struct {
	starts []uint64 // of blocks
	begins []uint32 // of blocks in code
	code   []byte
	end    uint64 // of the last stretch

	// The stretch that was found last: addresses of a profile come in ascending order.
	at           place
	lo, hi       uint64
	block, begin int
	blockEnd     uint64
}

func (p *places) cost() int { return 128 + len(p.starts)*12 + len(p.code) }

// find is what an address belongs to; lent until the next call.
func (p *places) find(pc uint64) *place {
	if pc-p.lo < p.hi-p.lo {
		return &p.at
	}
	if pc < p.lo || pc >= p.blockEnd {
		p.seek(pc)
	}
	for pc >= p.hi && p.hi < p.blockEnd {
		p.next()
	}
	return &p.at
}

// seek moves to the start of the block of an address; to a stretch of nothing before the first and behind the last.
func (p *places) seek(pc uint64) {
	p.block = after(len(p.starts), p.block, func(i int) bool { return p.starts[i] > pc })
	p.at = nothing
	switch {
	case p.block == 0 || pc >= p.end:
		p.lo, p.hi, p.blockEnd = pc, pc+1, pc+1
		return
	case p.block == len(p.starts):
		p.blockEnd = p.end
	default:
		p.blockEnd = p.starts[p.block]
	}
	p.at.file = 0
	p.begin = int(p.begins[p.block-1])
	p.lo = p.starts[p.block-1]
	p.hi = p.lo
}

// next reads the next stretch.
func (p *places) next() {
	p.lo, p.hi = p.hi, p.hi+p.uleb()
	line := p.uleb()
	p.at.line += uint32(unzigzag(line >> 1))
	if line&1 != 0 {
		p.at.scope += int32(unzigzag(p.uleb()))
		p.at.file += uint32(unzigzag(p.uleb()))
	}
}

func (p *places) uleb() uint64 {
	if b := p.code[p.begin]; b < 0x80 {
		p.begin++
		return uint64(b)
	}
	v, n := binary.Uvarint(p.code[p.begin:])
	p.begin += n
	return v
}

func zigzag(v int64) uint64   { return uint64(v<<1) ^ uint64(v>>63) }
func unzigzag(v uint64) int64 { return int64(v>>1) ^ -int64(v&1) }

// packer writes places, in memory that serves one unit after the other.
type packer struct {
	out     places
	written int    // stretches
	last    place  // that was written last in the block
	now     place  // which addresses belong to
	from    uint64 // on
	scopes  []segment
}

var nothing = place{noScope, noFile, 0}

// pack joins the segments of scopes, by address, and the rows of a line table.
func (w *packer) pack(scopes []segment, lines *lineRows) places {
	*w = packer{
		out: places{starts: w.out.starts[:0], begins: w.out.begins[:0], code: w.out.code[:0]},
		now: nothing, scopes: scopes,
	}
	lines.each(func(start uint64, r row) {
		w.scopesBefore(start)
		next := w.now
		next.file, next.line = r.file, r.line
		w.change(start, next)
	})
	w.scopesBefore(^uint64(0))
	return places{starts: slices.Clone(w.out.starts), begins: slices.Clone(w.out.begins), code: slices.Clone(w.out.code), end: w.from}
}

// scopesBefore takes the segments of scopes that start before an address.
func (w *packer) scopesBefore(addr uint64) {
	for len(w.scopes) > 0 && w.scopes[0].start < addr {
		next := w.now
		next.scope = w.scopes[0].owner
		w.change(w.scopes[0].start, next)
		w.scopes = w.scopes[1:]
	}
}

// change writes the stretch up to an address, from which on the next one counts.
func (w *packer) change(addr uint64, next place) {
	if next == w.now {
		return
	}
	if addr > w.from && (w.written > 0 || w.now != nothing) {
		w.write(addr - w.from)
	}
	w.from, w.now = addr, next
}

func (w *packer) write(size uint64) {
	if w.written%blockLen == 0 {
		w.out.starts = append(w.out.starts, w.from)
		w.out.begins = append(w.out.begins, uint32(len(w.out.code)))
		w.last = place{scope: noScope}
	}
	w.written++
	moved := uint64(0)
	if w.now.scope != w.last.scope || w.now.file != w.last.file {
		moved = 1
	}
	w.out.code = binary.AppendUvarint(w.out.code, size)
	w.out.code = binary.AppendUvarint(w.out.code, zigzag(int64(w.now.line)-int64(w.last.line))<<1|moved)
	if moved != 0 {
		w.out.code = binary.AppendUvarint(w.out.code, zigzag(int64(w.now.scope)-int64(w.last.scope)))
		w.out.code = binary.AppendUvarint(w.out.code, zigzag(int64(w.now.file)-int64(w.last.file)))
	}
	w.last = w.now
}

// span is a range of addresses that belongs to a scope or a sequence of rows, its owner.
type span struct {
	lo, hi uint64
	owner  int32
}

// segment says whose the addresses from start to that of the next one are; of noScope they are nobody's.
type segment struct {
	start uint64
	owner int32
}

// flatten cuts spans that lie in each other into segments that don't, which it appends. Where two overlap the one that begins later wins, and of
// two equal ones the inner, which has the higher number.
func flatten(segments []segment, spans []span) []segment {
	slices.SortFunc(spans, func(a, b span) int {
		return cmp.Or(cmp.Compare(a.lo, b.lo), cmp.Compare(b.hi, a.hi), cmp.Compare(a.owner, b.owner))
	})
	var open []span
	add := func(start uint64, owner int32) {
		if n := len(segments); n > 0 && segments[n-1].start == start {
			segments[n-1].owner = owner
			return
		}
		segments = append(segments, segment{start, owner})
	}
	closeUntil := func(addr uint64) {
		for len(open) > 0 && open[len(open)-1].hi <= addr {
			at := open[len(open)-1].hi
			for len(open) > 0 && open[len(open)-1].hi <= at {
				open = open[:len(open)-1]
			}
			owner := int32(noScope)
			if len(open) > 0 {
				owner = open[len(open)-1].owner
			}
			add(at, owner)
		}
	}
	for _, s := range spans {
		closeUntil(s.lo)
		add(s.lo, s.owner)
		open = append(open, s)
	}
	closeUntil(^uint64(0))
	return segments
}
