// SPDX-License-Identifier: Apache-2.0

package unwind

// Expressions of DWARF are programs for a stack machine. Those in call frame information come from a handful of sources, so their
// forms are recognised; the others, which a walk in the kernel could not run anyway, are said to be unsupported.

// Operations (DWARF 5, section 7.7.1).
const (
	opDeref      = 0x06
	opAnd        = 0x1a
	opMul        = 0x1e
	opPlus       = 0x22
	opPlusUconst = 0x23
	opShl        = 0x24
	opGe         = 0x2a
	opLit0       = 0x30
	opLit31      = 0x4f
	opBreg0      = 0x70
	opBreg31     = 0x8f
)

// breg reads DW_OP_bregN.
func breg(c *cursor) (reg uint64, off int64, ok bool) {
	op := c.byte()
	if op < opBreg0 || op > opBreg31 {
		return 0, 0, false
	}
	return uint64(op - opBreg0), c.sleb(), true
}

// cfaOf recognises the expressions of a CFA:
//
//	bregN off, deref                      gcc, after it aligned the stack of a function anew
//	bregN off, deref, plus_uconst add     hand-written assembly that keeps the old stack pointer in memory
//	bregSP off, bregN 0, 8 mul, plus, deref, plus_uconst add   the same behind an array of N words
//	bregSP off, bregPC 0, 15 and, add ge, 3 shl, plus     PLT: 8 more behind the push of its second instruction
func cfaOf(expression []byte) cfaRule {
	c := cursor{b: expression}
	reg, off, ok := breg(&c)
	if !ok {
		return cfaRule{how: cfaExpression}
	}
	r := cfaRule{how: cfaDeref, reg: reg, off: off}
	if r.index, ok = index(c); ok {
		r.how = cfaIndexed
		breg(&c)
		c.take(indexTail)
	}
	if c.byte() != opDeref {
		return pltOf(expression)
	}
	if len(c.b) > 0 {
		switch op := c.byte(); {
		case op == opPlusUconst:
			r.add = int64(c.uleb())
		case op >= opLit0 && op <= opLit31 && c.byte() == opPlus:
			r.add = int64(op - opLit0)
		default:
			return cfaRule{how: cfaExpression}
		}
	}
	if c.bad || len(c.b) > 0 {
		return cfaRule{how: cfaExpression}
	}
	return r
}

// indexTail is how many operations follow the register of an index.
const indexTail = 3

// index recognises bregN 0, 8 mul, plus at the begin of what is left.
func index(c cursor) (reg uint64, ok bool) {
	reg, off, ok := breg(&c)
	return reg, ok && off == 0 && string(c.take(indexTail)) == string([]byte{opLit0 + 8, opMul, opPlus})
}

func pltOf(expression []byte) cfaRule {
	c := cursor{b: expression}
	reg, off, _ := breg(&c)
	pc, zero, ok := breg(&c)
	want := []byte{opLit0 + 15, opAnd, 0, opGe, opLit0 + 3, opShl, opPlus}
	if !ok || pc != amd64.ra || zero != 0 || len(c.b) != len(want) {
		return cfaRule{how: cfaExpression}
	}
	threshold := c.b[2]
	want[2] = threshold
	if string(c.b) != string(want) || threshold < opLit0 || threshold > opLit0+15 {
		return cfaRule{how: cfaExpression}
	}
	return cfaRule{how: cfaPLT, reg: reg, off: off, add: int64(threshold - opLit0)}
}

// savedAt recognises bregN off: where gcc saved a register of a function that aligned its stack anew.
func savedAt(expression []byte) saved {
	c := cursor{b: expression}
	reg, off, ok := breg(&c)
	if !ok || c.bad || len(c.b) > 0 {
		return saved{how: elsewhere}
	}
	return saved{how: atRegister, reg: reg, off: off}
}
