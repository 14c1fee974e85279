// SPDX-License-Identifier: Apache-2.0

package python

// Line is the line of an instruction, by its offset in bytes from the start of the bytecode; a negative one is before the first. It is
// 0 for an instruction without a line.
func (c *Code) Line(offset int) int {
	switch {
	case offset < 0:
		return c.FirstLine
	case c.minor < 10:
		return c.lineByLnotab(offset)
	case c.minor == 10:
		return c.lineByDeltas(offset)
	}
	return c.lineByLocations(offset)
}

// lineByLnotab reads co_lnotab (3.8, 3.9): pairs of bytes, how far to go in the code and, signed, in lines (Objects/lnotab_notes.txt).
func (c *Code) lineByLnotab(offset int) int {
	at, line := 0, c.FirstLine
	for t := c.lines; len(t) >= 2; t = t[2:] {
		at += int(t[0])
		if at > offset {
			break
		}
		line += int(int8(t[1]))
	}
	return line
}

// noLine is the step of lineByDeltas that gives no line.
const noLine = -128

// lineByDeltas reads co_linetable of 3.10 (PEP 626): pairs of bytes, how long a stretch of code is and, signed, the step in lines
// before it.
func (c *Code) lineByDeltas(offset int) int {
	end, line := 0, c.FirstLine
	for t := c.lines; len(t) >= 2; t = t[2:] {
		end += int(t[0])
		step := int(int8(t[1]))
		if step != noLine {
			line += step
		}
		if end > offset {
			if step == noLine {
				return 0
			}
			return line
		}
	}
	return 0
}

// Kinds of entries of a location table; lower ones are short forms on the same line (Objects/locations.md of 3.11).
const (
	locationOneLine0 = 10 // to 12: that many lines on, less 10
	locationOneLine2 = 12
	locationNoColumn = 13
	locationLong     = 14
	locationNone     = 15
	instructionSize  = 2
)

// lineByLocations reads co_linetable of 3.11 and later (PEP 657): entries that begin with a byte of bit 7, four bits of kind and three of
// length in instructions, less one.
func (c *Code) lineByLocations(offset int) int {
	end, line := 0, c.FirstLine
	for t := c.lines; len(t) > 0; {
		kind := int(t[0] >> 3 & 15)
		end += (int(t[0]&7) + 1) * instructionSize
		t = t[1:]
		switch {
		case kind >= locationOneLine0 && kind <= locationOneLine2:
			line += kind - locationOneLine0
		case kind == locationNoColumn || kind == locationLong:
			line += signedVarint(t)
		}
		if end > offset {
			if kind == locationNone {
				return 0
			}
			return line
		}
		for len(t) > 0 && t[0]&0x80 == 0 { // to the next entry: no other byte has bit 7
			t = t[1:]
		}
	}
	return 0
}

// signedVarint reads a number of six bits a byte, lowest first, bit 6 for more to come; its lowest bit is the sign.
func signedVarint(t []byte) int {
	v, shift := uint(0), 0
	for _, b := range t {
		v |= uint(b&0x3f) << shift
		shift += 6
		if b&0x40 == 0 || shift > 30 {
			break
		}
	}
	if v&1 != 0 {
		return -int(v >> 1)
	}
	return int(v >> 1)
}
