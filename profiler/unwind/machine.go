// SPDX-License-Identifier: Apache-2.0

package unwind

import (
	"debug/elf"
	"math"
)

const (
	word   = 8 // bytes
	thrown = 0 // the register with the exception where it is caught: RAX, X0. Only __builtin_eh_return wants it saved before
)

// machine is what differs between instruction sets: the numbers that DWARF gives to registers.
type machine struct {
	elf        elf.Machine
	fp, sp, ra uint64
	syscall    []byte    // the instruction that asks the kernel
	sigreturn  signature // those that return from a signal handler
	pltHead    []byte    // how the code at the head of .plt begins: it pushes
	goCheck    []string  // how functions of Go begin
	landmarks  []landmark
	// findLanding looks for the end of a function that throws in its code.
	findLanding func(code []byte, vaddr uint64) (l landing, ok bool)
}

// signature is code that is looked for.
type signature struct {
	code []byte
	rare int // which of its bytes is rare in code
}

// landmark is code by which a rule is known from before bytes before it to after bytes behind its begin, where nothing describes it.
type landmark struct {
	signature
	before, after uint64
	rule          Rule
}

var (
	amd64 = &machine{elf: elf.EM_X86_64, fp: 6, sp: 7, ra: 16, syscall: []byte("\x0f\x05"), sigreturn: signature{[]byte("\x48\xc7\xc0\x0f\x00\x00\x00\x0f\x05"), 1}, pltHead: []byte("\xff\x35"), goCheck: []string{
		"\x49\x3b\x66\x10", // cmp rsp, [r14+16]
		"\x4c\x8d\x64\x24", // lea r12, [rsp-…]
		"\x55\x48\x89\xe5", // push rbp; mov rbp, rsp
	}, landmarks: []landmark{
		// __start_context of the GNU C library: mov rsp, rbx; mov rdi, [rsp]; test rdi, rdi. The function of makecontext returns to it,
		// so it is the outermost frame of the stack, and a walk asks for the byte before it.
		{signature{[]byte("\x48\x89\xdc\x48\x8b\x3c\x24\x48\x85\xff"), 2}, 1, 0, Rule{CFA: CFAEnd}},
	}, findLanding: findLandingAMD64}
	arm64 = &machine{elf: elf.EM_AARCH64, fp: 29, sp: 31, ra: 30, syscall: []byte("\x01\x00\x00\xd4"), sigreturn: signature{[]byte("\x68\x11\x80\xd2\x01\x00\x00\xd4"), 1}, pltHead: []byte("\xf0\x7b\xbf\xa9"), goCheck: []string{
		"\x90\x0b\x40\xf9", // ldr x16, [x28, #16]
	}, findLanding: findLandingARM64}
)

const (
	amd64RCX       = 2
	amd64RBX       = 3
	amd64RDI       = 5
	amd64Registers = 16
	// signalCFA is where the kernel saved RSP, above RSP as it is at the trampoline: struct ucontext of x86-64.
	signalCFA = 160
)

// initial is the state before the initial instructions.
func (m *machine) initial() state { return state{} }

// atEntry is the rule at the first instruction of a function.
func (m *machine) atEntry() Rule {
	if m == arm64 {
		return Rule{CFA: CFASP, RA: RAInLR}
	}
	return Rule{CFA: CFASP, CFAOffset: 1, RA: RAAtCFA}
}

// words turns bytes into words; false when that loses something.
func words(bytes int64) (int16, bool) {
	w := bytes / word
	return int16(w), bytes%word == 0 && w >= math.MinInt16 && w <= math.MaxInt16
}

// rule gives what a walk needs of a state. lostFP is true when the frame pointer of the caller is where no rule can say.
func (m *machine) rule(s *state, c *cie) (r Rule, lostFP bool) {
	switch {
	case c.otherRA:
		return unsupported(ReasonRA), false
	case s.ra.how == undefined:
		return Rule{CFA: CFAEnd}, false
	case c.signal:
		return m.signalRule(s), false
	}
	if r = m.cfa(&s.cfa); r.CFA == CFAUnsupported {
		return r, false
	}
	if why := m.returnAddress(&r, s); why != 0 {
		return unsupported(why), false
	}
	m.findBX(&r, s)
	return r, !m.framePointer(&r, s)
}

// signalRule is for the frames that CIEs mark as those of signals. The trampoline of the GNU C library says where each register
// lies in rt_sigframe, which the kernel's ABI says as well.
func (m *machine) signalRule(s *state) Rule {
	if m == amd64 && s.cfa != (cfaRule{how: cfaDeref, reg: m.sp, off: signalCFA}) {
		return unsupported(ReasonCFAExpression)
	}
	return Rule{CFA: CFASignal}
}

// cfa gives the rule for a CFA.
func (m *machine) cfa(c *cfaRule) Rule {
	var r Rule
	off, offOK := words(c.off)
	add, addOK := words(c.add)
	switch {
	case c.how == cfaRegister && (c.reg == m.sp || c.reg == m.fp):
		from := CFASP
		if c.reg == m.fp {
			from = CFAFP
		}
		offOK = m.reach(&r, from, c.off)
		off = r.CFAOffset
	case c.how == cfaRegister && m == amd64 && c.reg < amd64Registers:
		r.CFA, r.Aux = CFAReg, int16(c.reg)
	case c.how == cfaRegister:
		return unsupported(ReasonCFARegister)
	case c.how == cfaDeref && m == amd64 && c.reg == m.sp:
		r.CFA, r.Aux = CFADerefSP, add
	case c.how == cfaDeref && m == amd64 && c.reg == m.fp:
		r.CFA, r.Aux = CFADerefFP, add
	case c.how == cfaPLT && m == amd64 && c.reg == m.sp && c.off == word:
		r.CFA, r.Aux, addOK = CFAPLT, int16(c.add), true
	case c.how == cfaIndexed && m == amd64 && c.reg == m.sp && c.index < amd64Registers:
		r.CFA, r.Aux, addOK = CFAIndexed, int16(c.index)|add<<8, addOK && add >= 0 && add < 1<<7
	default:
		return unsupported(ReasonCFAExpression)
	}
	if !offOK || !addOK {
		return unsupported(ReasonOffset)
	}
	r.CFAOffset = off
	return r
}

// reach makes the CFA of r lie so many bytes from CFASP or CFAFP; false where no rule can say that.
func (m *machine) reach(r *Rule, from CFA, bytes int64) (ok bool) {
	r.CFA = from
	if r.CFAOffset, ok = words(bytes); ok || m != amd64 {
		return ok
	}
	w := bytes / word
	r.CFA, r.CFAOffset = from+CFASPFar-CFASP, int16(w)
	w = (w - int64(r.CFAOffset)) >> 16
	r.Aux = int16(w)
	return bytes%word == 0 && int64(r.Aux) == w
}

// near says whether r has room for where RBX is.
func (m *machine) near(r *Rule) bool { return m == amd64 && (r.CFA == CFASP || r.CFA == CFAFP) }

// loseBX completes the rule of code of which is not known what it does with RBX.
func (m *machine) loseBX(r *Rule) {
	if m.near(r) {
		r.Aux = BXLost
	}
}

// findBX completes r.
func (m *machine) findBX(r *Rule, s *state) {
	off, ok := words(s.bx.off)
	switch {
	case !m.near(r), s.bx.how == unspecified, s.bx.how == same:
	case s.bx.how == atCFA && ok && off < 0:
		r.Aux = off
	default:
		r.Aux = BXLost
	}
}

// returnAddress completes r, or says why it can't.
func (m *machine) returnAddress(r *Rule, s *state) Reason {
	if s.sp.how != unspecified && s.sp != (saved{how: isCFA}) {
		return ReasonSP
	}
	switch ra := &s.ra; {
	case m == amd64 && ra.how == atCFA && ra.off == -word:
		r.RA = RAAtCFA
	case m == amd64 && ra.how == inRegister && ra.reg == amd64RDI:
		r.RA = RAInRDI
	case m == amd64 && ra.how == inRegister && ra.reg == amd64RCX:
		r.RA = RAInRCX
	case m == arm64 && (ra.how == unspecified || ra.how == same):
		r.RA = RAInLR
	case m == arm64 && ra.how == atCFA:
		aux, ok := words(ra.off)
		if !ok {
			return ReasonOffset
		}
		r.RA, r.Aux = RAAtCFA, aux
	default:
		return ReasonRA
	}
	return 0
}

// framePointer completes r; false when the frame pointer is lost though it is saved.
func (m *machine) framePointer(r *Rule, s *state) bool {
	off, ok := words(s.fp.off)
	switch fp := &s.fp; {
	case fp.how == unspecified || fp.how == same:
		r.FP = FPSame
	case fp.how == atCFA && ok:
		r.FP, r.FPOffset = FPAtCFA, off
	case fp.how == atRegister && fp.reg == m.fp && m == amd64 && ok:
		r.FP, r.FPOffset = FPAtFP, off
	default:
		r.FP = FPUndefined
		return fp.how == undefined
	}
	return true
}
