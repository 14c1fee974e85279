// SPDX-License-Identifier: Apache-2.0

package dwarf

import (
	"fmt"
	"io"

	"github.com/assaylab/assay/symbolize/internal/pager"
)

// section is a stretch of bytes: a section of a file, or the part of it that belongs to one unit of a package file. The zero
// section is empty.
type section struct {
	name string
	file pager.File
	base uint64 // offset in file
	size uint64
	// strings serves look-ups of strings and single numbers, that come in no order.
	strings *pager.Pager
}

func newSection(name string, f pager.File, base, size uint64) *section {
	return &section{name: name, file: f, base: base, size: size, strings: pager.New(f, base, size)}
}

// slice is a part of s.
func (s *section) slice(off, size uint64) (*section, error) {
	if off > s.size || size > s.size-off {
		return nil, s.badf(off, "part of %#x bytes in a section of %#x", size, s.size)
	}
	return newSection(s.name, s.file, s.base+off, size), nil
}

// FormatError says what is wrong with debug information and where.
type FormatError struct {
	Section string
	Off     uint64 // in the section
	Msg     string
}

func (e *FormatError) Error() string {
	return fmt.Sprintf("DWARF: %s at %s+%#x", e.Msg, e.Section, e.Off)
}

func (s *section) badf(off uint64, format string, args ...any) error {
	return &FormatError{Section: s.name, Off: off, Msg: fmt.Sprintf(format, args...)}
}

// cstring is the string at off.
func (s *section) cstring(off uint64) (string, error) {
	if off >= s.size {
		return "", s.badf(off, "string beyond the end")
	}
	var buf [256]byte
	b, err := s.strings.CString(buf[:0], off, maxString)
	return string(b), err
}

// word is the number of size 4 or 8 at off.
func (s *section) word(off uint64, size uint64) (uint64, error) {
	if off > s.size || size > s.size-off {
		return 0, s.badf(off, "number beyond the end")
	}
	if size == 4 {
		v, err := s.strings.Uint32(off)
		return uint64(v), err
	}
	return s.strings.Uint64(off)
}

// cursor reads a section forwards. The first error sticks: all reads after it give zero, so that it can be looked at once, at the
// end of a record.
type cursor struct {
	s    *section
	buf  []byte // bytes of the section from base on
	base uint64
	i    int // of the next byte in buf
	end  uint64
	err  error

	mem   []byte // behind buf
	chunk int
}

const (
	streamChunk = 64 << 10 // for what is read from end to end
	recordChunk = 4 << 10  // for a record here and there
)

func newCursor(s *section, chunk int) *cursor {
	return &cursor{s: s, end: s.size, chunk: chunk}
}

// off is the offset of the next byte.
func (c *cursor) off() uint64 { return c.base + uint64(c.i) }

// left is the number of bytes up to the end.
func (c *cursor) left() uint64 { return c.end - min(c.end, c.off()) }

// seek moves to off; reads stop at end.
func (c *cursor) seek(off, end uint64) {
	c.err = nil
	c.end = min(end, c.s.size)
	if off >= c.base && off-c.base <= uint64(len(c.buf)) {
		c.i = int(off - c.base)
		c.clip()
		return
	}
	c.base, c.i, c.buf = off, 0, nil
}

// seekOn moves to off, before the same end.
func (c *cursor) seekOn(off uint64) {
	if c.err == nil {
		c.seek(off, c.end)
	}
}

// clip takes from buf what lies behind the end.
func (c *cursor) clip() {
	if n := c.end - min(c.end, c.base); uint64(len(c.buf)) > n {
		c.buf = c.buf[:n]
		c.i = min(c.i, len(c.buf))
	}
}

func (c *cursor) fail(err error) {
	if c.err == nil {
		c.err = err
	}
	c.buf, c.base, c.i = nil, c.end, 0
}

func (c *cursor) badf(format string, args ...any) { c.fail(c.s.badf(c.off(), format, args...)) }

// need makes sure that buf has n more bytes.
func (c *cursor) need(n int) bool {
	if len(c.buf)-c.i >= n {
		return true
	}
	if c.err != nil {
		return false
	}
	off := c.off()
	if uint64(n) > c.left() {
		c.badf("unexpected end")
		return false
	}
	size := int(min(uint64(max(c.chunk, n)), c.end-off))
	if z, ok := c.s.file.(*inflated); ok {
		if b := z.inMemory(c.s.base+off, size); b != nil {
			c.base, c.i, c.buf = off, 0, b
			return true
		}
	}
	if cap(c.mem) < size {
		c.mem = make([]byte, size)
	}
	c.base, c.i, c.buf = off, 0, nil
	if err := c.s.file.ReadAt(c.mem[:size], c.s.base+off); err != nil {
		c.fail(fmt.Errorf("%s: %w", c.s.name, err))
		return false
	}
	c.buf = c.mem[:size]
	return true
}

func (c *cursor) u8() uint8 {
	if c.i >= len(c.buf) && !c.need(1) {
		return 0
	}
	v := c.buf[c.i]
	c.i++
	return v
}

// fixed reads a number of n bytes, 1 to 8.
func (c *cursor) fixed(n int) uint64 {
	if len(c.buf)-c.i < n && !c.need(n) {
		return 0
	}
	var v uint64
	for k, b := range c.buf[c.i : c.i+n] {
		v |= uint64(b) << (8 * k)
	}
	c.i += n
	return v
}

func (c *cursor) u16() uint16 { return uint16(c.fixed(2)) }
func (c *cursor) u32() uint32 {
	if len(c.buf)-c.i < 4 && !c.need(4) {
		return 0
	}
	b := c.buf[c.i : c.i+4]
	c.i += 4
	return uint32(b[0]) | uint32(b[1])<<8 | uint32(b[2])<<16 | uint32(b[3])<<24
}
func (c *cursor) u64() uint64 { return c.fixed(8) }

// word reads an offset: of 8 bytes in the 64-bit format, of 4 otherwise.
func (c *cursor) word(is64 bool) uint64 {
	if is64 {
		return c.u64()
	}
	return uint64(c.u32())
}

// uleb reads an unsigned LEB128. Bits above 64 are lost, as in other readers.
func (c *cursor) uleb() uint64 {
	if c.i < len(c.buf) {
		if b := c.buf[c.i]; b < 0x80 {
			c.i++
			return uint64(b)
		}
	}
	v, _ := c.leb()
	return v
}

// leb reads the groups of 7 bits of a LEB128, at most 10, and how many bits they are.
func (c *cursor) leb() (v uint64, bits uint) {
	for range 10 {
		b := c.u8()
		v |= uint64(b&0x7f) << bits
		bits += 7
		if b < 0x80 {
			return v, bits
		}
	}
	c.badf("number of more than 10 bytes")
	return 0, 0
}

func (c *cursor) sleb() int64 {
	v, bits := c.leb()
	if bits < 64 && bits > 0 && v&(1<<(bits-1)) != 0 {
		v |= ^uint64(0) << bits
	}
	return int64(v)
}

// skip passes over n bytes.
func (c *cursor) skip(n uint64) {
	if n <= uint64(len(c.buf)-c.i) {
		c.i += int(n)
		return
	}
	if c.err != nil {
		return
	}
	if n > c.left() {
		c.badf("record of %#x bytes ends behind its unit", n)
		return
	}
	c.base, c.i, c.buf = c.off()+n, 0, nil
}

// skipString passes over a string and the zero byte behind it.
func (c *cursor) skipString() {
	for c.u8() != 0 {
		continue
	}
}

// initialLength reads the length in front of a unit: 12 bytes in the 64-bit format, 4 otherwise. The unit ends at end.
func (c *cursor) initialLength() (end uint64, is64 bool) {
	n := uint64(c.u32())
	if n == 0xffffffff {
		n, is64 = c.u64(), true
	}
	if n > c.left() {
		if c.err == nil {
			c.fail(io.ErrUnexpectedEOF)
		}
		return 0, false
	}
	return c.off() + n, is64
}
