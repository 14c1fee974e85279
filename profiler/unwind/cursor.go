// SPDX-License-Identifier: Apache-2.0

package unwind

import "encoding/binary"

// cursor reads numbers from bytes. Once something was missing it gives zeros, and bad stays true.
type cursor struct {
	b   []byte
	bad bool
}

// take gives the next n bytes.
func (c *cursor) take(n uint64) []byte {
	if n > uint64(len(c.b)) {
		c.b, c.bad = nil, true
		return nil
	}
	b := c.b[:n]
	c.b = c.b[n:]
	return b
}

// number reads an unsigned number of 1, 2, 4 or 8 bytes.
func (c *cursor) number(size uint64) uint64 {
	b := c.take(size)
	if b == nil {
		return 0
	}
	switch size {
	case 1:
		return uint64(b[0])
	case 2:
		return uint64(binary.LittleEndian.Uint16(b))
	case 4:
		return uint64(binary.LittleEndian.Uint32(b))
	}
	return binary.LittleEndian.Uint64(b)
}

func (c *cursor) byte() byte {
	if len(c.b) == 0 {
		c.bad = true
		return 0
	}
	v := c.b[0]
	c.b = c.b[1:]
	return v
}

// uleb reads an unsigned LEB128 number; what doesn't fit in 64 bits is bad.
func (c *cursor) uleb() uint64 {
	var v uint64
	for shift := 0; ; shift += 7 {
		b := c.byte()
		if shift > 63 || shift == 63 && b > 1 {
			c.bad = true
		}
		if c.bad {
			return 0
		}
		v |= uint64(b&0x7f) << shift
		if b < 0x80 {
			return v
		}
	}
}

// sleb reads a signed LEB128 number.
func (c *cursor) sleb() int64 {
	var v int64
	for shift := 0; ; {
		b := c.byte()
		if shift > 63 {
			c.bad = true
		}
		if c.bad {
			return 0
		}
		v |= int64(b&0x7f) << shift
		shift += 7
		if b < 0x80 {
			if shift < 64 && b&0x40 != 0 {
				v |= -1 << shift
			}
			return v
		}
	}
}

// cstring reads up to a zero byte.
func (c *cursor) cstring() []byte {
	for i, b := range c.b {
		if b == 0 {
			s := c.b[:i]
			c.b = c.b[i+1:]
			return s
		}
	}
	c.b, c.bad = nil, true
	return nil
}
