// SPDX-License-Identifier: Apache-2.0

package dwarf

import (
	"cmp"
	"slices"
)

// hint says that addresses from lo to hi belong to the unit at an offset of .debug_info.
type hint struct{ lo, hi, unit uint64 }

// readHints reads .debug_aranges (DWARF 5, 6.1.2), which GCC writes: by it one unit can be found without reading all. Compilers may leave units out, so an
// address that it does not have is looked for in all of them. A section that can't be read gives no hints.
func (d *Data) readHints() error {
	s, err := d.main.openSection(".debug_aranges")
	if err != nil {
		return err
	}
	c := newCursor(s, streamChunk)
	for end := uint64(0); end < s.size && len(d.hints) < maxRanges; {
		c.seek(end, s.size)
		if end = d.readHintsOf(c); c.err != nil {
			d.hints = nil
			return nil
		}
	}
	slices.SortFunc(d.hints, func(a, b hint) int { return cmp.Or(cmp.Compare(a.lo, b.lo), cmp.Compare(b.unit, a.unit)) })
	return nil
}

// readHintsOf reads the addresses of one unit: length, version, offset of the unit, sizes of an address and of a segment, then pairs of address and
// length from a multiple of their size on, up to a pair of zeros.
func (d *Data) readHintsOf(c *cursor) (end uint64) {
	start := c.off()
	end, is64 := c.initialLength()
	version, unit, addrSize, segmentSize := c.u16(), c.word(is64), c.u8(), c.u8()
	if version != 2 || addrSize != 8 || segmentSize != 0 {
		return end
	}
	const pair = 16
	c.skip((pair - (c.off()-start)%pair) % pair)
	for c.err == nil && c.off()+pair <= end && len(d.hints) < maxRanges {
		lo, size := c.u64(), c.u64()
		if size > 0 && d.isCode(lo) {
			d.hints = append(d.hints, hint{lo, lo + size, unit})
		}
	}
	return end
}

// hinted are the tables of the unit that an address belongs to by the hints, nil if there is none. It need not say more of the address: assembly in
// a C file has neither function nor lines.
func (d *Data) hinted(pc uint64) (*unitTables, error) {
	d.lastHint = after(len(d.hints), d.lastHint, func(i int) bool { return d.hints[i].lo > pc })
	if d.lastHint == 0 {
		return nil, nil
	}
	h := d.hints[d.lastHint-1]
	if d.lastHint > 1 {
		h.lo = max(h.lo, d.hints[d.lastHint-2].hi)
	}
	if d.lastHint < len(d.hints) {
		h.hi = min(h.hi, d.hints[d.lastHint].lo)
	}
	if pc < h.lo || pc >= h.hi {
		return nil, nil // of two units that claim it, the index knows which is right
	}
	if d.main.readUnits(h.unit) != nil {
		return nil, nil // the index says why
	}
	at, ok := slices.BinarySearchFunc(d.main.units, h.unit, func(u *unit, off uint64) int { return cmp.Compare(u.off, off) })
	if !ok {
		return nil, nil
	}
	return d.sole(d.main.units[at], h.lo, h.hi)
}
