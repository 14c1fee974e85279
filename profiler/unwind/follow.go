// SPDX-License-Identifier: Apache-2.0

package unwind

import (
	"encoding/binary"
	"slices"

	"golang.org/x/arch/x86/x86asm"
)

// Code that nothing describes (the C library musl, programs that don't unwind, assembly) can be followed: from the first instruction of
// a function, where the return address lies at the stack pointer, to its last, each instruction moves the stack pointer by what it
// says. The result is believed where it proves itself: all ways through the function end with the stack pointer back at the return
// address. Elsewhere the frame pointer has to do, which is a guess.

// place is how the stack looks before an instruction. Distances are in bytes below the CFA.
type place struct {
	sp      int64
	spLost  bool  // moved by a number that the instructions don't tell
	framed  bool  // RBP points into the frame,
	fp      int64 // there
	saved   int64 // where the RBP of the caller lies; 0 when it was not saved
	clobber bool  // RBP has another value, and was not saved
	end     bool  // the ABI's mark of the outermost frame: RBP is 0
	doubt   bool  // supposed, and not confirmed
}

var atEntry = place{sp: word}

// rule is the rule of a place; ok is false when it has none.
func (p *place) rule() (r Rule, ok bool) {
	switch {
	case p.doubt:
		return Rule{CFA: CFAFramePointer}, true
	case p.end:
		return Rule{CFA: CFAEnd}, true
	}
	r = Rule{CFA: CFASP, RA: RAAtCFA}
	distance := p.sp
	switch {
	case p.framed:
		r.CFA, distance = CFAFP, p.fp
	case p.spLost:
		return r, false
	}
	if r.CFAOffset, r.Aux, ok = amd64.far(distance); !ok {
		return r, false
	}
	switch {
	case p.saved != 0:
		r.FP = FPAtCFA
		r.FPOffset, ok = words(-p.saved)
	case p.clobber:
		r.FP = FPUndefined
	}
	return r, ok
}

// follower follows the instructions of one function, from the first to the last.
type follower struct {
	start, end uint64
	function   func(vaddr uint64) bool // whether a function may begin there
	labels     map[uint64]place        // of jumps forward
	supposed   map[uint64]place        // where no way was seen yet that leads there
	learnt     map[uint64]place        // from jumps back to what was supposed otherwise
	at         place
	reached    bool  // the instruction before leads on to the next
	called     bool  // and is a call, which may not return
	jumped     place // before the last jump to a place in a register
	jumps      bool  // there was one
	returns    int   // ways to end that prove something
	spans      []stay
	doubted    int // the first of spans that was supposed last
}

// stay is code through which the stack stays as it is.
type stay struct {
	extent
	place place
}

const (
	maxFunction = 64 << 10   // bytes
	maxFollows  = 16         // times that a function is followed, to learn where jumps back lead
	endbr64     = 0xfa1e0ff3 // an instruction that x86asm doesn't know; it does nothing
)

// follow gives the places of the function at start, each with a rule; false when its ends don't prove them. A jump to where function
// says that one may begin is such an end.
// What it gives is valid until the next call.
func (f *follower) follow(code []byte, start uint64, function func(vaddr uint64) bool) ([]stay, bool) {
	if len(code) > maxFunction {
		return nil, false
	}
	clear(f.learnt)
	for range maxFollows {
		known := len(f.learnt)
		clear(f.labels)
		clear(f.supposed)
		*f = follower{
			start: start, end: start + uint64(len(code)), function: function, labels: f.labels, supposed: f.supposed, learnt: f.learnt,
			at: atEntry, reached: true, spans: f.spans[:0],
		}
		proven := f.run(code)
		if len(f.learnt) == known {
			return f.spans, proven && f.returns > 0
		}
	}
	return nil, false
}

func newFollower() *follower {
	return &follower{labels: map[uint64]place{}, supposed: map[uint64]place{}, learnt: map[uint64]place{}}
}

func (f *follower) run(code []byte) bool {
	for pc := f.start; pc < f.end; {
		inst, err := decodeAMD64(code[pc-f.start:])
		if err != nil || !f.arrive(pc, inst.Op == x86asm.NOP) {
			return false
		}
		next := pc + uint64(inst.Len)
		if !f.reached { // padding
			pc = next
			continue
		}
		if _, ok := f.at.rule(); !ok {
			return false
		}
		f.say(pc, next)
		f.called = inst.Op == x86asm.CALL
		if !f.step(&inst, next) {
			if !f.at.doubt {
				return false
			}
			f.reached = false // what was supposed is wrong
		}
		pc = next
	}
	return true
}

// confirm says that what was supposed is right.
func (f *follower) confirm() {
	if f.at.doubt {
		for i := range f.spans[f.doubted:] {
			f.spans[f.doubted+i].place.doubt = false
		}
		f.at.doubt = false
	}
}

func decodeAMD64(code []byte) (x86asm.Inst, error) {
	if len(code) >= 4 && binary.LittleEndian.Uint32(code) == endbr64 {
		return x86asm.Inst{Op: x86asm.NOP, Len: 4}, nil
	}
	return x86asm.Decode(code, 64)
}

func (f *follower) say(start, end uint64) {
	if n := len(f.spans); n > 0 && n != f.doubted && f.spans[n-1].place == f.at {
		f.spans[n-1].end = end
		return
	}
	f.spans = append(f.spans, stay{extent{start, end}, f.at})
}

// arrive sets the place at an instruction from the ways that lead there; false when these differ.
func (f *follower) arrive(pc uint64, nop bool) bool {
	label, jumpedTo := f.labels[pc]
	delete(f.labels, pc)
	switch {
	case jumpedTo && (!f.reached || f.called):
		f.at = label
	case jumpedTo:
		return f.meet(label)
	case !f.reached && nop:
		return true
	case !f.reached:
		f.suppose(pc)
	}
	f.reached = true
	return true
}

// suppose sets the place at code to which no way was seen yet: a jump from further down leads there, or it is a case of a switch, or another
// function, or the landing pad of an exception.
func (f *follower) suppose(pc uint64) {
	f.doubted = len(f.spans)
	p, ok := f.learnt[pc]
	switch {
	case ok:
	case f.jumps:
		p = f.jumped
	default:
		p = atEntry
		p.doubt = true
	}
	f.supposed[pc] = p
	f.at = p
}

// meet joins another way that leads to the same instruction; false when they don't fit, though neither is in doubt.
func (f *follower) meet(label place) bool {
	was := f.at
	switch {
	case f.at.doubt && !label.doubt:
		was.doubt = false
		if was.merge(label) {
			f.confirm()
		}
		f.at = label
		return true
	case label.doubt:
		return true
	}
	return f.at.merge(label)
}

// merge joins two places; false when they differ.
func (p *place) merge(other place) bool {
	p.clobber = p.clobber || other.clobber
	other.clobber = p.clobber
	return *p == other
}

// step runs an instruction; false when what it does can't be told.
func (f *follower) step(inst *x86asm.Inst, next uint64) bool {
	switch inst.Op {
	case x86asm.RET:
		f.reached = false
		return f.ends()
	case x86asm.JMP:
		f.reached = false
		return f.jump(inst, next, true)
	case x86asm.UD2, x86asm.HLT, x86asm.INT:
		f.reached = inst.Op == x86asm.INT && inst.Args[0] != x86asm.Imm(3)
		return true
	case x86asm.CALL:
		return true
	}
	if inst.PCRel > 0 && isRelative(inst) {
		return f.jump(inst, next, false)
	}
	return f.at.step(inst)
}

func isRelative(inst *x86asm.Inst) bool {
	_, ok := inst.Args[0].(x86asm.Rel)
	return ok
}

// jump notes where a jump leads. Out of the function it is a call in place of a return, when the stack is as at the entry.
func (f *follower) jump(inst *x86asm.Inst, next uint64, always bool) bool {
	rel, ok := inst.Args[0].(x86asm.Rel)
	if !ok {
		f.jumped, f.jumps = f.at, true
		return true
	}
	target := next + uint64(int64(rel))
	if target < f.start || target >= f.end {
		if !f.function(target) {
			return false // into the midst of another: this is a part of it
		}
		if always && !f.jumps && !f.at.doubt {
			f.ends()
		}
		return true // perhaps to a part of this function that lies elsewhere
	}
	if target < next {
		return f.jumpBack(target)
	}
	to := f.at
	if before, ok := f.labels[target]; ok && !before.doubt {
		if to.doubt {
			return true
		}
		if !to.merge(before) {
			return false
		}
	}
	f.labels[target] = to
	return true
}

// ends says whether the return address is where it was at the entry.
func (f *follower) ends() bool {
	if !f.at.end && (f.at.sp != word || f.at.spLost || f.at.framed) {
		return false
	}
	f.confirm()
	f.returns++
	return true
}

// jumpBack checks what was supposed of the place there.
func (f *follower) jumpBack(target uint64) bool {
	p, ok := f.supposed[target]
	if !ok || f.at.doubt || p.merge(f.at) {
		return true
	}
	if _, twice := f.learnt[target]; twice {
		return false
	}
	f.learnt[target] = f.at
	return false
}

// step runs an instruction that leads to the next.
func (p *place) step(inst *x86asm.Inst) bool {
	switch inst.Op {
	case x86asm.PUSH:
		p.sp += word
		if inst.Args[0] == x86asm.RBP && p.saved == 0 && !p.framed && !p.clobber {
			p.saved = p.sp
		}
		return true
	case x86asm.PUSHFQ:
		p.sp += word
		return true
	case x86asm.POPFQ:
		p.sp -= word
		return true
	case x86asm.POP:
		return p.pop(inst)
	case x86asm.LEAVE:
		return p.leave()
	case x86asm.ENTER, x86asm.XCHG:
		return !touches(inst.Args[0], x86asm.RSP) && !touches(inst.Args[1], x86asm.RSP) &&
			!touches(inst.Args[0], x86asm.RBP) && !touches(inst.Args[1], x86asm.RBP) && inst.Op != x86asm.ENTER
	case x86asm.CMP, x86asm.TEST, x86asm.BT, x86asm.NOP:
		return true
	}
	switch {
	case touches(inst.Args[0], x86asm.RSP):
		return p.moveSP(inst)
	case touches(inst.Args[0], x86asm.RBP):
		return p.moveFP(inst)
	case inst.Op == x86asm.MOV && inst.Args[1] == x86asm.RBP:
		p.store(inst)
	}
	return true
}

// touches says whether an operand is a register or a part of it.
func touches(arg x86asm.Arg, reg x86asm.Reg) bool {
	r, ok := arg.(x86asm.Reg)
	if !ok {
		return false
	}
	if reg == x86asm.RSP {
		return r == x86asm.RSP || r == x86asm.ESP || r == x86asm.SP || r == x86asm.SPB
	}
	return r == x86asm.RBP || r == x86asm.EBP || r == x86asm.BP || r == x86asm.BPB
}

func (p *place) pop(inst *x86asm.Inst) bool {
	if touches(inst.Args[0], x86asm.RSP) {
		return false
	}
	if inst.Args[0] == x86asm.RBP {
		if p.saved != p.sp || p.spLost {
			p.clobber = p.saved == 0
		} else {
			p.saved, p.clobber = 0, false
		}
		p.framed = false
	}
	p.sp -= word
	return true
}

func (p *place) leave() bool {
	if !p.framed || p.saved != p.fp {
		return false
	}
	*p = place{sp: p.fp - word, end: p.end}
	return true
}

// store keeps the RBP of the caller in the frame: mov [rsp+n], rbp.
func (p *place) store(inst *x86asm.Inst) {
	m, ok := inst.Args[0].(x86asm.Mem)
	if ok && m.Base == x86asm.RSP && m.Index == 0 && p.saved == 0 && !p.framed && !p.clobber && !p.spLost && p.sp-m.Disp > 0 {
		p.saved = p.sp - m.Disp
	}
}

// moveSP is an instruction that sets RSP.
func (p *place) moveSP(inst *x86asm.Inst) bool {
	imm, constant := inst.Args[1].(x86asm.Imm)
	mem, _ := inst.Args[1].(x86asm.Mem)
	switch {
	case inst.Args[0] != x86asm.RSP:
		return false
	case inst.Op == x86asm.SUB && constant:
		p.sp += int64(imm)
	case inst.Op == x86asm.ADD && constant:
		p.sp -= int64(imm)
	case inst.Op == x86asm.AND || inst.Op == x86asm.SUB:
		p.spLost = true
	case inst.Op == x86asm.LEA && mem.Base == x86asm.RSP && mem.Index == 0:
		p.sp -= mem.Disp
	case inst.Op == x86asm.LEA && mem.Base == x86asm.RBP && mem.Index == 0 && p.framed:
		p.sp, p.spLost = p.fp-mem.Disp, false
	case inst.Op == x86asm.MOV && inst.Args[1] == x86asm.RBP && p.framed:
		p.sp, p.spLost = p.fp, false
	default:
		return false
	}
	return true
}

// moveFP is an instruction that sets RBP: to the frame, back to what it was, or to something else.
func (p *place) moveFP(inst *x86asm.Inst) bool {
	mem, _ := inst.Args[1].(x86asm.Mem)
	onStack := mem.Base == x86asm.RSP && mem.Index == 0 && !p.spLost
	whole := inst.Args[0] == x86asm.RBP
	switch {
	case inst.Op == x86asm.XOR && inst.Args[0] == inst.Args[1] && p.saved == 0 && !p.framed:
		p.end = true
	case whole && inst.Op == x86asm.MOV && inst.Args[1] == x86asm.RSP && p.saved != 0 && !p.spLost:
		p.framed, p.fp = true, p.sp
	case whole && inst.Op == x86asm.LEA && onStack && p.saved != 0:
		p.framed, p.fp = true, p.sp-mem.Disp
	case whole && inst.Op == x86asm.MOV && onStack && p.saved != 0 && p.sp-mem.Disp == p.saved:
		p.framed, p.saved = false, 0
	default:
		p.framed, p.clobber = false, p.saved == 0
	}
	return true
}

// functionsOf gives where functions begin in code at vaddr, sorted: at starts, where calls lead, and jumps from one function into
// another, if something ends before.
func functionsOf(code []byte, vaddr uint64, starts []uint64) []uint64 {
	type jump struct{ from, to uint64 }
	var jumps []jump
	starts = append(slices.Clone(starts), vaddr)
	for pc := 0; pc < len(code); {
		if code[pc] == 0 { // no code, most likely
			pc++
			continue
		}
		inst, err := decodeAMD64(code[pc:])
		if err != nil {
			pc++
			continue
		}
		pc += inst.Len
		rel, ok := inst.Args[0].(x86asm.Rel)
		target := int64(pc) + int64(rel)
		switch {
		case !ok || target <= 0 || target >= int64(len(code)):
		case inst.Op == x86asm.CALL:
			starts = append(starts, vaddr+uint64(target))
		case inst.Op == x86asm.JMP && (vaddr+uint64(target))%16 == 0 && slices.Contains(beforeFunctions, code[target-1]):
			jumps = append(jumps, jump{vaddr + uint64(pc) - 1, vaddr + uint64(target)})
		}
	}
	slices.Sort(starts)
	starts = slices.Compact(starts)
	known := len(starts)
	for _, j := range jumps {
		from, _ := slices.BinarySearch(starts[:known], j.from)
		to, _ := slices.BinarySearch(starts[:known], j.to)
		if from != to {
			starts = append(starts, j.to)
		}
	}
	slices.Sort(starts)
	return slices.Compact(starts)
}

// beforeFunctions are the last bytes of what can lie before a function: nop, int3, ret.
var beforeFunctions = []byte{0x90, 0x00, 0xcc, 0xc3}

// followCode lays out code at vaddr that has functions at starts and where its calls lead.
func (b *builder) followCode(code []byte, vaddr uint64, starts []uint64) error {
	end := vaddr + uint64(len(code))
	starts = functionsOf(code, vaddr, starts)
	function := func(target uint64) bool {
		_, ok := slices.BinarySearch(starts, target)
		return ok || target < vaddr || target >= end
	}
	for i, start := range starts {
		limit := end
		if i+1 < len(starts) {
			limit = starts[i+1]
		}
		body := code[start-vaddr : limit-vaddr]
		if pad := paddingOf(body); pad < len(body) {
			if err := b.followFunction(body[pad:], start+uint64(pad), function); err != nil {
				return err
			}
		}
	}
	return nil
}

func (b *builder) followFunction(code []byte, start uint64, function func(vaddr uint64) bool) error {
	spans, proven := b.follower.follow(code, start, function)
	if !proven {
		return b.layout.span(start, start+uint64(len(code)), Rule{CFA: CFAFramePointer})
	}
	for _, s := range spans {
		if r, ok := s.place.rule(); ok {
			if err := b.layout.span(s.start, s.end, r); err != nil {
				return err
			}
		}
	}
	return nil
}

// paddingOf counts the bytes before the first instruction that does something. Zeros are none.
func paddingOf(code []byte) int {
	for pc := 0; pc < len(code); {
		if code[pc] == 0 {
			pc++
			continue
		}
		inst, err := decodeAMD64(code[pc:])
		if err != nil || inst.Op != x86asm.NOP && (inst.Op != x86asm.INT || inst.Args[0] != x86asm.Imm(3)) {
			return pc
		}
		pc += inst.Len
	}
	return len(code)
}
