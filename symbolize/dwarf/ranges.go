// SPDX-License-Identifier: Apache-2.0

package dwarf

// maxRanges bounds one list of ranges, and all lists of one unit or index.
const maxRanges = 1 << 21

// Entries of .debug_rnglists (DWARF 5, 7.25).
const (
	rleEnd          = 0x00
	rleBasex        = 0x01
	rleStartxEndx   = 0x02
	rleStartxLength = 0x03
	rleOffsetPair   = 0x04
	rleBase         = 0x05
	rleStartEnd     = 0x06
	rleStartLength  = 0x07
)

// code is a stretch of addresses: low_pc and high_pc, or a list of ranges.
type code struct{ low, high, ranges value }

// each calls visit for the ranges of code, and says how many there were. A unit's base is its low_pc.
func (u *unit) each(k code, visit func(lo, hi uint64)) (int, error) {
	switch {
	case k.ranges.present():
		base := uint64(0)
		if u.low.present() {
			var err error
			if base, err = u.address(u.low); err != nil {
				return 0, err
			}
		}
		if u.version >= 5 {
			return u.eachRnglist(k.ranges, base, visit)
		}
		return u.eachRange(k.ranges.u, base, visit)
	case k.low.present() && k.high.present():
		lo, err := u.address(k.low)
		if err != nil {
			return 0, err
		}
		hi := lo + k.high.u
		switch k.high.form {
		case formAddr, formAddrx, formAddrx1, formAddrx2, formAddrx3, formAddrx4, formGNUAddrIndex:
			if hi, err = u.address(k.high); err != nil {
				return 0, err
			}
		}
		visit(lo, hi)
		return 1, nil
	}
	return 0, nil
}

// eachRange reads a list of .debug_ranges: pairs of offsets from base, up to a pair of zeros. A pair that starts with the largest address
// sets the base.
func (u *unit) eachRange(off, base uint64, visit func(lo, hi uint64)) (int, error) {
	c := u.file.cursor(u.file.ranges)
	c.seek(off+u.rangesBase(), u.file.ranges.size)
	for n := 0; n < maxRanges; n++ {
		lo, hi := c.u64(), c.u64()
		switch {
		case c.err != nil:
			return n, c.err
		case lo == 0 && hi == 0:
			return n + 1, nil
		case lo == ^uint64(0):
			base = hi
		default:
			visit(base+lo, base+hi)
		}
	}
	return maxRanges, u.file.ranges.badf(off, "more than %d ranges", maxRanges)
}

// rangesBase is what offsets of ranges in a split unit of the GNU form count from. In its skeleton they count from the start.
func (u *unit) rangesBase() uint64 {
	if u.file.split {
		return u.rBase
	}
	return 0
}

// eachRnglist reads a list of .debug_rnglists.
func (u *unit) eachRnglist(v value, base uint64, visit func(lo, hi uint64)) (int, error) {
	s, off := u.file.rnglists, v.u
	if v.form == formRnglistx {
		rel, err := u.file.indexed(s, u.rBase, v.u, uint64(u.offsetSize()))
		if err != nil {
			return 0, err
		}
		off = u.rBase + rel
	}
	c := u.file.cursor(s)
	c.seek(off, s.size)
	for n := 0; n < maxRanges; n++ {
		kind := c.u8()
		if kind == rleEnd || c.err != nil {
			return n + 1, c.err
		}
		if err := u.rangeEntry(c, kind, &base, visit); err != nil {
			return n, err
		}
	}
	return maxRanges, s.badf(off, "more than %d ranges", maxRanges)
}

func (u *unit) rangeEntry(c *cursor, kind uint8, base *uint64, visit func(lo, hi uint64)) (err error) {
	var lo, hi uint64
	switch kind {
	case rleBasex:
		*base, err = u.addressx(c.uleb())
		return err
	case rleBase:
		*base = c.u64()
		return nil
	case rleStartxEndx:
		if lo, err = u.addressx(c.uleb()); err == nil {
			hi, err = u.addressx(c.uleb())
		}
	case rleStartxLength:
		lo, err = u.addressx(c.uleb())
		hi = lo + c.uleb()
	case rleOffsetPair:
		lo, hi = *base+c.uleb(), *base+c.uleb()
	case rleStartEnd:
		lo, hi = c.u64(), c.u64()
	case rleStartLength:
		lo = c.u64()
		hi = lo + c.uleb()
	default:
		c.badf("range of kind %#x", kind)
	}
	if c.err == nil && err == nil {
		visit(lo, hi)
	}
	return err
}

func (u *unit) addressx(index uint64) (uint64, error) { return u.address(value{formAddrx, index}) }
