// SPDX-License-Identifier: Apache-2.0

package dwarf

import (
	"debug/dwarf"
	"sort"
)

const (
	maxUnits = 1 << 20

	unitType      = 0x02 // DW_UT_type
	unitSkeleton  = 0x04
	unitSplit     = 0x05
	unitSplitType = 0x06
)

// Attributes that debug/dwarf doesn't name.
const (
	attrMIPSLinkageName dwarf.Attr = 0x2007
	attrGNUDwoName      dwarf.Attr = 0x2130
	attrGNUDwoID        dwarf.Attr = 0x2131
	attrGNURangesBase   dwarf.Attr = 0x2132
	attrGNUAddrBase     dwarf.Attr = 0x2133
)

// unit is a compilation unit, or a part of one that others share, with the attributes of its root entry.
type unit struct {
	encoding
	file     *file
	kind     uint8
	off      uint64 // of the header in .debug_info
	dies     uint64 // of the root entry
	end      uint64
	abbrevAt uint64
	dwoID    uint64

	linesVersion uint8 // of its line table, once that was read

	low, high, ranges        value
	lines                    value // offset in .debug_line
	name, dir, dwoName       value
	strBase, addrBase, rBase uint64 // in .debug_str_offsets, .debug_addr, and .debug_rnglists or .debug_ranges
}

// readUnits reads on through the headers of units and their root entries until it has all that begin up to an offset.
func (f *file) readUnits(through uint64) error {
	if f.unread > through || f.unread >= f.info.size || f.unitsErr != nil {
		return f.unitsErr
	}
	c := newCursor(f.info, recordChunk)
	for f.unread <= through && f.unread < f.info.size && f.unitsErr == nil {
		f.unitsErr = f.readUnit(c)
	}
	return f.unitsErr
}

// allUnits is an offset behind all units.
const allUnits = ^uint64(0)

// readUnit reads the next header.
func (f *file) readUnit(c *cursor) error {
	c.seek(f.unread, f.info.size)
	u := f.readHeader(c)
	if c.err != nil {
		return c.err
	}
	f.unread = u.end
	if u.version < 2 || u.version > 5 || u.addrSize != 8 || u.kind == unitType || u.kind == unitSplitType {
		return nil // a unit that we can't read, or of types, has no code for us
	}
	if f.roots {
		if err := u.readRoot(c); err != nil {
			return err
		}
	}
	if len(f.units) == maxUnits {
		return f.info.badf(u.end, "more than %d units", maxUnits)
	}
	f.units = append(f.units, &u)
	return nil
}

// readHeader reads the header of a unit: length, version, abbreviations and size of addresses; from DWARF 5 on in another order
// and with a kind.
func (f *file) readHeader(c *cursor) unit {
	u := unit{file: f, off: c.off()}
	u.end, u.is64 = c.initialLength()
	version := c.u16()
	u.version = uint8(min(version, 255))
	if version >= 5 {
		u.kind, u.addrSize = c.u8(), c.u8()
		u.abbrevAt = c.word(u.is64)
	} else {
		u.abbrevAt = c.word(u.is64)
		u.addrSize = c.u8()
	}
	switch u.kind {
	case unitSkeleton, unitSplit:
		u.dwoID = c.u64()
	case unitType, unitSplitType:
		c.skip(8)
		c.word(u.is64)
	}
	u.dies = c.off()
	return u
}

// readRoot reads what the root entry says of the unit.
func (u *unit) readRoot(c *cursor) error {
	u.defaults()
	c.seek(u.dies, u.end)
	code := c.uleb()
	if code == 0 || c.err != nil {
		return c.err
	}
	a, err := u.rootAbbrev(code)
	switch {
	case err != nil:
		return err
	case a == nil:
		return u.file.info.badf(u.dies, "no abbreviation %d", code)
	}
	for _, s := range a.specs {
		u.setRoot(s.attr, c.read(s.form, s.implicit, u.encoding))
	}
	return c.err
}

// rootAbbrev finds the abbreviation of the root entry, which is among the first of a unit's own table. A table that the unit before has too
// is read as a whole, once.
func (u *unit) rootAbbrev(code uint64) (found *abbrev, err error) {
	f := u.file
	if n := len(f.units); n > 0 && f.units[n-1].abbrevAt == u.abbrevAt {
		table, err := f.abbrevsOf(u)
		if err != nil {
			return nil, err
		}
		return table.get(code), nil
	}
	err = f.eachAbbrev(u.abbrevAt, &f.rootsLeft, func(n uint64, a *abbrev) bool {
		if n == code {
			found = a // its specs are read before others are
		}
		return found == nil
	})
	return found, err
}

// defaults sets where the unit's parts of tables begin when its root entry doesn't say so: behind a header, or for the GNU form
// of split units at the very start.
func (u *unit) defaults() {
	if u.version < 5 {
		return
	}
	u.strBase, u.addrBase, u.rBase = 8, 8, 12
	if u.is64 {
		u.strBase, u.addrBase, u.rBase = 16, 16, 20
	}
}

func (u *unit) setRoot(attr dwarf.Attr, v value) {
	switch attr {
	case dwarf.AttrLowpc:
		u.low = v
	case dwarf.AttrHighpc:
		u.high = v
	case dwarf.AttrRanges:
		u.ranges = v
	case dwarf.AttrStmtList:
		u.lines = v
	case dwarf.AttrName:
		u.name = v
	case dwarf.AttrCompDir:
		u.dir = v
	case dwarf.AttrDwoName, attrGNUDwoName:
		u.dwoName = v
	case attrGNUDwoID:
		u.dwoID = v.u
	case dwarf.AttrStrOffsetsBase:
		u.strBase = v.u
	case dwarf.AttrAddrBase, attrGNUAddrBase:
		u.addrBase = v.u
	case dwarf.AttrRnglistsBase, attrGNURangesBase:
		u.rBase = v.u
	}
}

// string reads a string of an attribute.
func (u *unit) string(v value) (string, error) {
	f := u.file
	switch v.form {
	case 0:
		return "", nil
	case formString:
		return f.info.cstring(v.u)
	case formStrp:
		return f.str.cstring(v.u)
	case formLineStrp:
		return f.lineStr.cstring(v.u)
	case formLineInline:
		return f.line.cstring(v.u)
	case formStrpSup, formGNUStrpAlt:
		alt, err := f.alternate()
		if err != nil {
			return "", err
		}
		return alt.str.cstring(v.u)
	case formStrx, formStrx1, formStrx2, formStrx3, formStrx4, formGNUStrIndex:
		off, err := f.indexed(f.strOffsets, u.strBase, v.u, uint64(u.offsetSize()))
		if err != nil {
			return "", err
		}
		return f.str.cstring(off)
	}
	return "", f.info.badf(u.off, "string of form %#x", uint16(v.form))
}

// indexed is the number with an index in a table of a section.
func (f *file) indexed(s *section, base, index, size uint64) (uint64, error) {
	if index > s.size/size || base > s.size {
		return 0, s.badf(base, "index %d", index)
	}
	return s.word(base+index*size, size)
}

// address reads an address of an attribute.
func (u *unit) address(v value) (uint64, error) {
	switch v.form {
	case formAddr:
		return v.u, nil
	case formAddrx, formAddrx1, formAddrx2, formAddrx3, formAddrx4, formGNUAddrIndex:
		return u.file.indexed(u.file.addr, u.addrBase, v.u, 8)
	}
	return 0, u.file.info.badf(u.off, "address of form %#x", uint16(v.form))
}

// refAlt marks a reference into the alternate file.
const refAlt = 1 << 63

// reference is the offset in .debug_info that an attribute refers to; false when it refers to a type unit or nothing.
func (u *unit) reference(v value) (uint64, bool) {
	switch v.form {
	case formRef1, formRef2, formRef4, formRef8, formRefUdata:
		return u.off + v.u, v.u < u.end-u.off
	case formRefAddr:
		return v.u, v.u < refAlt
	case formRefSup4, formRefSup8, formGNURefAlt:
		return v.u | refAlt, v.u < refAlt
	}
	return 0, false
}

// unitAt is the unit around an offset in .debug_info, nil if there is none.
func (f *file) unitAt(off uint64) (*unit, error) {
	if err := f.readUnits(off); err != nil {
		return nil, err
	}
	i := sort.Search(len(f.units), func(i int) bool { return f.units[i].end > off })
	if i == len(f.units) || off < f.units[i].dies {
		return nil, nil
	}
	return f.units[i], nil
}
