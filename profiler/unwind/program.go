// SPDX-License-Identifier: Apache-2.0

package unwind

import "errors"

const maxRemembered = 64 // states

// saved says where a register of the caller is.
type saved struct {
	how savedHow
	reg uint64 // for inRegister and atRegister
	off int64  // bytes
}

type savedHow uint8

const (
	unspecified savedHow = iota // as the ABI has it: the CFA for the stack pointer, itself for all others
	same
	undefined
	atCFA      // in memory at CFA + off
	isCFA      // CFA + off itself
	inRegister // in reg
	atRegister // in memory at reg + off
	elsewhere  // by an expression that is not kept
)

// cfaRule is how the CFA is computed.
type cfaRule struct {
	how        cfaHow
	reg, index uint64
	off, add   int64 // bytes
}

type cfaHow uint8

const (
	cfaUnknown    cfaHow = iota
	cfaRegister          // reg + off
	cfaDeref             // what lies at reg + off, + add
	cfaIndexed           // what lies at reg + off + 8 * index, + add
	cfaPLT               // reg + off, 8 more where the low bits of the address are at least add
	cfaExpression        // an expression that is not kept
)

// state is a row of the table that DWARF describes: of its columns, those that a walk needs.
type state struct {
	cfa            cfaRule
	fp, sp, ra, bx saved
}

// program runs call frame instructions.
type program struct {
	frames *frames
	cie    *cie
	state  state
	loc    uint64 // vaddr that the state holds from
	throws bool   // it says where a register is that is saved for who catches alone, __builtin_eh_return

	remembered []state
}

var errInstruction = errors.New("malformed call frame instruction")

// run runs instructions; advance is called when the location moves on to a vaddr, with p.loc and p.state as they were until
// there. It is nil for the instructions of a CIE, which have no location.
func (p *program) run(instructions []byte, advance func(to uint64) error) error {
	c := cursor{b: instructions}
	for len(c.b) > 0 {
		if err := p.frames.step(); err != nil {
			return err
		}
		op := c.byte()
		to, moves := p.location(op, &c)
		if !moves && !p.common(op, &c) && !p.register(op, &c) {
			return errInstruction
		}
		if c.bad || moves && (advance == nil || to < p.loc) {
			return errInstruction
		}
		if moves && to > p.loc {
			if err := advance(to); err != nil {
				return err
			}
			p.loc = to
		}
	}
	return nil
}

// location runs the instructions that move the location.
func (p *program) location(op byte, c *cursor) (to uint64, ok bool) {
	delta := uint64(0)
	switch {
	case op>>6 == 1: // DW_CFA_advance_loc
		delta = uint64(op & 0x3f)
	case op == 0x01: // DW_CFA_set_loc
		return pointer(p.cie.pointers&ehFormat, c, 0), p.cie.pointers&ehApplication == 0
	case op == 0x02: // DW_CFA_advance_loc1
		delta = c.number(1)
	case op == 0x03: // DW_CFA_advance_loc2
		delta = c.number(2)
	case op == 0x04: // DW_CFA_advance_loc4
		delta = c.number(4)
	case op == 0x1d: // DW_CFA_MIPS_advance_loc8
		delta = c.number(8)
	default:
		return 0, false
	}
	return p.loc + delta*p.cie.codeAlign, true
}

// common runs the instructions about the CFA and whole states.
func (p *program) common(op byte, c *cursor) bool {
	cfa := &p.state.cfa
	switch op {
	case 0x00: // DW_CFA_nop
	case 0x0a: // DW_CFA_remember_state
		if len(p.remembered) == maxRemembered {
			return false
		}
		p.remembered = append(p.remembered, p.state)
	case 0x0b: // DW_CFA_restore_state
		n := len(p.remembered) - 1
		if n < 0 {
			return false
		}
		p.state, p.remembered = p.remembered[n], p.remembered[:n]
	case 0x0c: // DW_CFA_def_cfa
		*cfa = cfaRule{how: cfaRegister, reg: c.uleb(), off: int64(c.uleb())}
	case 0x0d: // DW_CFA_def_cfa_register
		*cfa = cfaRule{how: cfaRegister, reg: c.uleb(), off: cfa.off}
	case 0x0e: // DW_CFA_def_cfa_offset
		cfa.off = int64(c.uleb())
	case 0x0f: // DW_CFA_def_cfa_expression
		*cfa = cfaOf(c.take(c.uleb()))
	case 0x12: // DW_CFA_def_cfa_sf
		*cfa = cfaRule{how: cfaRegister, reg: c.uleb(), off: c.sleb() * p.cie.dataAlign}
	case 0x13: // DW_CFA_def_cfa_offset_sf
		cfa.off = c.sleb() * p.cie.dataAlign
	case 0x2c, 0x2d: // DW_CFA_AARCH64_negate_ra_state(_with_pc), DW_CFA_GNU_window_save: a walk masks signatures always
	case 0x2e: // DW_CFA_GNU_args_size
		c.uleb()
	default:
		return false
	}
	return true
}

// register runs the instructions about one register.
func (p *program) register(op byte, c *cursor) bool {
	align := p.cie.dataAlign
	switch {
	case op>>6 == 2: // DW_CFA_offset
		p.set(uint64(op&0x3f), saved{how: atCFA, off: int64(c.uleb()) * align})
		return true
	case op>>6 == 3: // DW_CFA_restore
		p.restore(uint64(op & 0x3f))
		return true
	}
	reg := c.uleb()
	switch op {
	case 0x05: // DW_CFA_offset_extended
		p.set(reg, saved{how: atCFA, off: int64(c.uleb()) * align})
	case 0x06: // DW_CFA_restore_extended
		p.restore(reg)
	case 0x07: // DW_CFA_undefined
		p.set(reg, saved{how: undefined})
	case 0x08: // DW_CFA_same_value
		p.set(reg, saved{how: same})
	case 0x09: // DW_CFA_register
		p.set(reg, saved{how: inRegister, reg: c.uleb()})
	case 0x10: // DW_CFA_expression
		p.set(reg, savedAt(c.take(c.uleb())))
	case 0x11: // DW_CFA_offset_extended_sf
		p.set(reg, saved{how: atCFA, off: c.sleb() * align})
	case 0x14: // DW_CFA_val_offset
		p.set(reg, saved{how: isCFA, off: int64(c.uleb()) * align})
	case 0x15: // DW_CFA_val_offset_sf
		p.set(reg, saved{how: isCFA, off: c.sleb() * align})
	case 0x16: // DW_CFA_val_expression
		c.take(c.uleb())
		p.set(reg, saved{how: elsewhere})
	case 0x2f: // DW_CFA_GNU_negative_offset_extended
		p.set(reg, saved{how: atCFA, off: -int64(c.uleb()) * align})
	default:
		return false
	}
	return true
}

// column is where a state has a register, nil for those that aren't followed.
func (p *program) column(s *state, reg uint64) *saved {
	switch m := p.frames.mach; reg {
	case m.fp:
		return &s.fp
	case m.sp:
		return &s.sp
	case m.ra:
		return &s.ra
	case amd64RBX:
		if m == amd64 {
			return &s.bx
		}
	}
	return nil
}

func (p *program) set(reg uint64, s saved) {
	if reg == thrown && s.how == atCFA {
		p.throws = true
	}
	if column := p.column(&p.state, reg); column != nil {
		*column = s
	}
}

func (p *program) restore(reg uint64) {
	if column := p.column(&p.state, reg); column != nil {
		*column = *p.column(&p.cie.initial, reg)
	}
}
