// SPDX-License-Identifier: Apache-2.0

// Package walk follows the copy of a user stack by unwind tables, as the program in the kernel follows the stack itself (bpf/unwind.bpf.h). The
// kernel sends a copy where a stack was walked before the tables of its code were there; here it is walked when they are.
package walk

import (
	"encoding/binary"

	"github.com/assaylab/assay/bpf"
	"github.com/assaylab/assay/profiler/unwind"
)

// Find gives the rule for an address; false when no code is there. A rule that is CFAFramePointer has a bpf.UnwindReason in its Aux.
type Find func(pc uint64) (unwind.Rule, bool)

// Machine is what a copy was taken on.
type Machine int

// Machines.
const (
	AMD64 Machine = iota
	ARM64
)

// MachineOf is the machine of an architecture by the name that Go has for it.
func MachineOf(arch string) Machine {
	if arch == "arm64" {
		return ARM64
	}
	return AMD64
}

// Result is the stack that a copy holds.
type Result struct {
	Frames []uint64 // leaf first
	End    bpf.StackEnd
	Reason bpf.UnwindReason // why it is a guess, or broken
	Fault  int              // the frame with that reason
}

// Registers of x86-64 as DWARF numbers them.
const (
	rax = 0
	rcx = 2
	rbx = 3
	rdi = 5
)

const word = 8 // bytes

// walker is where a walk is.
type walker struct {
	Result
	copy    *bpf.Copy
	machine Machine

	pc, sp, fp, lr uint64
	rdi            uint64 // known in the innermost frame, as is lr
	rbx            func() (uint64, bool)
	landing        landing
	exact          bool // pc is of the instruction itself, no return address
	innermost      bool // all registers are known
}

// Stack walks the stack of a copy.
func Stack(c *bpf.Copy, m Machine, find Find) Result {
	w := walker{
		copy: c, machine: m, pc: c.PC, sp: c.SP, fp: c.FP, lr: c.LR, rdi: c.Registers[rdi],
		exact: c.Exact, innermost: true,
	}
	w.rbx = func() (uint64, bool) { return c.Registers[rbx], true }
	w.End, w.Frames = bpf.UserCut, []uint64{c.PC}
	for w.step(find) {
	}
	return w.Result
}

// step goes from the last frame to that of its caller; false when the walk is over.
func (w *walker) step(find Find) bool {
	pc := w.pc
	if !w.exact {
		pc-- // a return address may lie behind the last instruction of its function: a call that never returns
	}
	r, ok := find(pc)
	if !ok {
		return w.broken(bpf.UnwindNoMapping)
	}
	if w.overtaken(r.CFA) {
		return w.land(false)
	}
	switch r.CFA {
	case unwind.CFAEnd:
		return w.whole()
	case unwind.CFACloned:
		if !w.innermost {
			return w.broken(bpf.UnwindUnsupported)
		}
		if w.copy.Registers[rax] == 0 {
			return w.whole()
		}
		r.CFA = unwind.CFASP
	case unwind.CFASignal:
		return w.leaveSignal() && w.add()
	case unwind.CFAFramePointer:
		return w.byFramePointer(bpf.UnwindReason(r.Aux))
	case unwind.CFAUnsupported:
		return w.broken(bpf.UnwindUnsupported)
	case unwind.CFALanding:
		return w.aboutToLand(r)
	}
	return w.byRule(r)
}

func (w *walker) whole() bool {
	w.End = bpf.UserWhole
	return false
}

// broken ends the walk at the last frame; but where it was led by guesses, the first of these is to blame.
func (w *walker) broken(why bpf.UnwindReason) bool {
	w.End = bpf.UserBroken
	w.blame(why)
	return false
}

func (w *walker) blame(why bpf.UnwindReason) {
	if w.Reason == 0 {
		w.Reason, w.Fault = why, len(w.Frames)-1
	}
}

// read reads a word of the stack.
func (w *walker) read(addr uint64, to *uint64) bool {
	at := addr - w.copy.SP
	if addr%word != 0 || at > uint64(len(w.copy.Stack)) || uint64(len(w.copy.Stack))-at < word {
		return false
	}
	*to = binary.LittleEndian.Uint64(w.copy.Stack[at:])
	return true
}

// unsigned is an address less its pointer authentication code.
func (w *walker) unsigned(pc uint64) uint64 {
	if w.machine == ARM64 {
		pc &= 1<<48 - 1
	}
	return pc
}

// add adds the frame that pc is in.
func (w *walker) add() bool {
	w.pc = w.unsigned(w.pc)
	if len(w.Frames) == bpf.MaxFrames {
		return false
	}
	if w.pc == 0 {
		return w.whole()
	}
	at := w.pc
	if w.exact {
		at++ // readers look at the byte before a return address
	}
	w.Frames = append(w.Frames, at)
	return true
}

// leaveSignal takes the registers from where the kernel has put them for a signal handler.
func (w *walker) leaveSignal() bool {
	sp := w.sp
	var ok bool
	if w.machine == AMD64 {
		// struct ucontext: flags, link, stack (40 bytes), then r8 to r15, rdi, rsi, rbp, rbx, rdx, rax, rcx, rsp, rip
		sp += 40
		w.rbx = w.saved(sp + 11*word)
		ok = w.read(sp+8*word, &w.rdi) && w.read(sp+10*word, &w.fp) && w.read(sp+15*word, &w.sp) && w.read(sp+16*word, &w.pc)
	} else {
		// struct siginfo (128 bytes); struct ucontext as far as x0 (176), behind the fault address (8): x0 to x30, sp, pc
		sp += 128 + 176 + 8
		ok = w.read(sp+29*word, &w.fp) && w.read(sp+30*word, &w.lr) && w.read(sp+31*word, &w.sp) && w.read(sp+32*word, &w.pc)
	}
	if !ok {
		return w.broken(bpf.UnwindUnreadable)
	}
	w.exact, w.innermost, w.landing.sp = true, true, 0
	return true
}

// byFramePointer is the step of code that no table describes.
func (w *walker) byFramePointer(why bpf.UnwindReason) bool {
	if why == 0 {
		why = bpf.UnwindNoRow
	}
	if why != bpf.UnwindByFP {
		w.blame(why)
	}
	fp := w.fp
	if fp == 0 {
		return w.whole()
	}
	if fp < w.sp && why != bpf.UnwindByFP {
		return w.broken(bpf.UnwindAstray)
	}
	if !w.read(fp+word, &w.pc) || !w.read(fp, &w.fp) {
		return w.broken(bpf.UnwindUnreadable)
	}
	w.sp, w.rbx, w.exact, w.innermost = fp+2*word, lost, false, false
	return w.add()
}

// byRule is the step by a rule of a table.
func (w *walker) byRule(r unwind.Rule) bool {
	cfa, ok := w.frameAddress(r)
	if !ok {
		return w.broken(bpf.UnwindUnsupported)
	}
	if cfa < w.sp || cfa == w.sp && !w.innermost {
		return w.broken(bpf.UnwindAstray)
	}
	fp := w.fp
	if !w.returnAddress(r, cfa) || !w.framePointer(r, cfa, fp) {
		return w.broken(bpf.UnwindUnreadable)
	}
	w.findBX(r, cfa)
	if r.FP != unwind.FPSame {
		w.landing.sp = 0
	}
	w.sp, w.innermost = cfa, false
	w.exact = r.RA == unwind.RALanding || r.RA == unwind.RAInRCX
	return w.add()
}

// How far before its CFA struct _Unwind_Context of libgcc says where the frame pointer and the return address are saved, by their numbers in DWARF.
var contexts = map[Machine]struct{ fp, ra uint64 }{
	AMD64: {(18 - 6) * word, (18 - 16) * word},
	ARM64: {(98 - 29) * word, (98 - 30) * word},
}

// landing is where libgcc goes on, and how many frames there were before it.
type landing struct {
	pc, sp uint64 // sp 0: nowhere
	frames int
}

// aboutToLand is the step of libgcc when it is about to go on where an exception is caught. It makes its own frame that of who is called by who
// catches, by copying registers one by one, the return address last of those that we need; in the end, it may be where to go on. When a
// frame between that has to be found by a frame pointer which is the other's already can't be found any more, the stack is that of who catches.
func (w *walker) aboutToLand(r unwind.Rule) bool {
	base, at := w.fp, contexts[w.machine]
	if w.machine == ARM64 {
		base = w.sp
	}
	record, context, cfa := base+words(r.FPOffset), base+words(r.CFAOffset), base+words(r.Aux)
	var fp, pc, atFP, atPC, savedFP, goesOn uint64
	l := landing{frames: len(w.Frames)}
	if !w.read(record, &fp) || !w.read(record+word, &pc) || !w.read(context-at.fp, &atFP) || !w.read(context-at.ra, &atPC) ||
		!w.read(context, &l.sp) || !w.read(context+word, &goesOn) || !w.read(atFP, &savedFP) || !w.read(atPC, &l.pc) {
		return w.broken(bpf.UnwindUnreadable)
	}
	if base < w.sp || l.sp < cfa {
		return w.broken(bpf.UnwindAstray)
	}
	landed := r.RA == unwind.RALanding && w.unsigned(pc) == goesOn
	if landed {
		l.pc = pc
	}
	w.landing, w.sp, w.fp = l, cfa, fp
	if pc == l.pc {
		return w.land(landed)
	}
	if fp != savedFP || atFP == record {
		w.landing.sp = 0 // not copied yet
	}
	w.pc, w.rbx, w.exact, w.innermost = pc, lost, false, false
	return w.add()
}

// land goes on where libgcc is about to.
func (w *walker) land(exact bool) bool {
	w.pc, w.sp, w.rbx, w.exact, w.innermost = w.landing.pc, w.landing.sp, lost, exact, false
	w.Frames, w.landing.sp = w.Frames[:w.landing.frames], 0
	return w.add()
}

// overtaken says whether a frame is found by the frame pointer, but that may be of who catches an exception.
func (w *walker) overtaken(how unwind.CFA) bool {
	if w.sp >= w.landing.sp {
		return false
	}
	switch how {
	case unwind.CFAFP, unwind.CFAFPFar, unwind.CFADerefFP, unwind.CFALanding, unwind.CFAFramePointer:
		return true
	}
	return false
}

func words(n int16) uint64 { return uint64(int64(n) * word) }

// frameAddress is the CFA by a rule; false where it is not to be had.
func (w *walker) frameAddress(r unwind.Rule) (cfa uint64, ok bool) {
	offset := words(r.CFAOffset)
	switch r.CFA {
	case unwind.CFASP:
		cfa = w.sp + offset
	case unwind.CFAFP:
		cfa = w.fp + offset
	case unwind.CFASPFar:
		cfa = w.sp + offset + words(r.Aux)<<16
	case unwind.CFAFPFar:
		cfa = w.fp + offset + words(r.Aux)<<16
	case unwind.CFAPLT:
		cfa = w.sp + word
		if w.pc&15 >= uint64(r.Aux) {
			cfa += word
		}
	case unwind.CFAReg:
		if cfa = w.register(r.Aux); cfa != 0 {
			cfa += offset
		}
	case unwind.CFAIndexed:
		if len(w.Frames) == 1 && w.read(w.sp+offset+w.register(r.Aux&0xff)*word, &cfa) {
			cfa += words(r.Aux >> 8)
		}
	case unwind.CFADerefSP, unwind.CFADerefFP:
		at := w.sp
		if r.CFA == unwind.CFADerefFP {
			at = w.fp
		}
		if w.read(at+offset, &cfa) {
			cfa += words(r.Aux)
		}
	}
	return cfa, cfa != 0
}

// register is one of the frame by its number in DWARF, 0 where it is not known.
func (w *walker) register(number int16) uint64 {
	if number == rbx {
		value, _ := w.rbx()
		return value
	}
	if len(w.Frames) > 1 || number < 0 || int(number) >= len(w.copy.Registers) {
		return 0
	}
	return w.copy.Registers[number]
}

func (w *walker) saved(at uint64) func() (uint64, bool) {
	return func() (v uint64, ok bool) {
		ok = w.read(at, &v)
		return v, ok
	}
}

func lost() (uint64, bool) { return 0, false }

// findBX notes where RBX of the caller is.
func (w *walker) findBX(r unwind.Rule, cfa uint64) {
	near := r.CFA == unwind.CFASP || r.CFA == unwind.CFAFP
	switch {
	case r.CFA == unwind.CFAPLT, near && r.Aux == 0:
	case !near || r.Aux == unwind.BXLost:
		w.rbx = lost
	default:
		w.rbx = w.saved(cfa + words(r.Aux))
	}
}

func (w *walker) returnAddress(r unwind.Rule, cfa uint64) bool {
	ra := r.RA
	if ra == unwind.RALanding {
		ra = unwind.RAAtCFA
		if w.machine == ARM64 {
			ra = unwind.RAInLR
		}
	}
	switch ra {
	case unwind.RAAtCFA:
		at := cfa - word
		if w.machine == ARM64 {
			at = cfa + words(r.Aux)
		}
		return w.read(at, &w.pc)
	case unwind.RAInLR:
		w.pc = w.lr
		return w.innermost
	case unwind.RAInRDI:
		w.pc = w.rdi
		return w.innermost
	case unwind.RAInRCX:
		w.pc = w.copy.Registers[rcx]
		return len(w.Frames) == 1 && w.pc != 0
	}
	return false
}

// framePointer takes that of the caller; fp is that of the frame.
func (w *walker) framePointer(r unwind.Rule, cfa, fp uint64) bool {
	switch r.FP {
	case unwind.FPAtCFA:
		return w.read(cfa+words(r.FPOffset), &w.fp)
	case unwind.FPAtFP:
		return w.read(fp+words(r.FPOffset), &w.fp)
	case unwind.FPUndefined:
		w.fp = 0
	}
	return true
}
