// SPDX-License-Identifier: Apache-2.0

package unwind

import (
	"cmp"
	"encoding/binary"
	"slices"

	"golang.org/x/arch/x86/x86asm"
)

// Who throws an exception goes on, in the end, where it is caught. In libgcc, the functions that do so copy into their own frame what was saved
// for the frame of who catches, by the numbers of registers, and go there as if they returned (uw_install_context in gcc's unwind.inc,
// __builtin_eh_return in its code). Call frame information still says that the frame of their caller lies above them, but
// registers and the return address are another frame's by then. Where that one begins, the functions keep in their own, in a context.

// landing is such an end of a function: passages of its code, in order.
type landing struct {
	passages []passage
	cfa      int16 // words from the base to where the context has the CFA: from the frame pointer on x86-64, the stack pointer on arm64
	framed   Rule  // how the frame was last described while it had all that it saved
}

// passage is code that leaves a function for where an exception is caught.
type passage struct {
	extent // vaddr
	how    leaving
}

type leaving int

const (
	copying leaving = iota // frames between are dropped one register after the other
	jumping                // who catches is, or may be, in the place of the return address
	jumped                 // the last instruction of that, on arm64: where to go on is in the link register
)

const maxLanding = 16 << 10 // bytes of a function

// Struct _Unwind_Context has where registers are saved, by their numbers, of which there are 18 on x86-64 and 98 on arm64, then the CFA and the
// return address.
const (
	amd64ContextCFA = 18 * word
	arm64ContextCFA = 98 * word
)

// hook finds the call of _Unwind_DebugHook, between the copying and the jump, for debuggers. It is told by its arguments, the CFA and the return
// address of a context in the frame.
type hook struct {
	calls [2]uint64      // the last ones, vaddr
	loads map[int64]bool // of the frame since then, by their distance from the base; whether as the first argument
}

// call is told of each call. It gives where the CFA is, and the call before, which copies; false where it isn't that of the hook.
func (h *hook) call(vaddr uint64) (cfa int64, copies uint64, ok bool) {
	h.calls[0], h.calls[1] = h.calls[1], vaddr
	for off, first := range h.loads {
		if _, pair := h.loads[off+word]; first && pair {
			cfa, ok = off, h.calls[0] != 0
		}
	}
	clear(h.loads)
	return cfa, h.calls[0], ok
}

// findLandingAMD64 looks for the end of a function in its code. The jump begins with the store of where to go on.
func findLandingAMD64(code []byte, vaddr uint64) (l landing, ok bool) {
	h := hook{loads: map[int64]bool{}}
	var copies, jumps uint64
	var cfa int64
	hooked := false
	for at := 0; at < len(code); {
		inst, err := x86asm.Decode(code[at:], 64)
		if isShadowStack(code[at:]) {
			inst, err = x86asm.Inst{Len: shadowStackSize}, nil
		}
		if err != nil {
			at++
			continue
		}
		from := vaddr + uint64(at)
		at += inst.Len
		memory, _ := inst.Args[0].(x86asm.Mem)
		off, near := based(inst.Args[1], x86asm.RBP)
		switch {
		case inst.Op == x86asm.CALL:
			cfa, copies, hooked = h.call(from)
		case inst.Op == x86asm.MOV && near:
			h.loads[off] = inst.Args[0] == x86asm.RDI
		case inst.Op == x86asm.MOV && memory.Base == x86asm.RBP && memory.Index != 0 && memory.Disp == word && hooked:
			jumps = vaddr + uint64(at)
			l.passages = []passage{{extent{copies, jumps}, copying}}
			l.cfa, ok = words(cfa)
		case ok && inst.Op == x86asm.RET, ok && inst.Op == x86asm.JMP && isRegister(inst.Args[0]):
			l.passages = append(l.passages, passage{extent{jumps, vaddr + uint64(at)}, jumping})
			return l, true
		}
	}
	return landing{}, false
}

const shadowStackSize = 5 // bytes

// isShadowStack says whether code begins with rdsspq or incsspq, which x86asm doesn't know.
func isShadowStack(code []byte) bool {
	if len(code) < shadowStackSize || code[0] != 0xf3 || code[1]&0xf8 != 0x48 || code[2] != 0x0f {
		return false
	}
	operation := code[4] >> 3 // on a register
	return code[3] == 0x1e && operation == 0x19 || code[3] == 0xae && operation == 0x1d
}

func isRegister(arg x86asm.Arg) bool {
	_, ok := arg.(x86asm.Reg)
	return ok
}

// branch gives how far a B goes, in bytes.
func branch(inst uint32) (int, bool) {
	return int(int32(inst<<6)) >> 6 * armInstr, inst>>26 == 0x05
}

// isCall is about BL and BLR.
func isCall(inst uint32) bool { return inst>>26 == 0x25 || inst&0xfffffc1f == 0xd63f0000 }

// isBR is about BR.
func isBR(inst uint32) bool { return inst&0xfffffc1f == 0xd61f0000 }

// findLandingARM64 looks for the end of a function in its code. The jump begins behind the hook.
func findLandingARM64(code []byte, vaddr uint64) (landing, bool) {
	h := hook{loads: map[int64]bool{}}
	contexts := map[int64]bool{} // or other things of the frame whose address is taken, by their distance from the stack pointer
	for at := 0; at+armInstr <= len(code); at += armInstr {
		inst := binary.LittleEndian.Uint32(code[at:])
		number := int64(inst >> 10 & 0xfff)
		switch {
		case isCall(inst):
			off, copies, ok := h.call(vaddr + uint64(at))
			if !ok || !contexts[off-arm64ContextCFA] {
				continue
			}
			cfa, fits := words(off)
			jump, ends := followJump(code, vaddr, at+armInstr)
			if !fits || !ends {
				continue
			}
			l := landing{passages: append(jump, passage{extent{copies, vaddr + uint64(at) + armInstr}, copying}), cfa: cfa}
			slices.SortFunc(l.passages, func(a, b passage) int { return cmp.Compare(a.start, b.start) })
			return l, true
		case inst&0xffc003e0 == 0xf94003e0: // LDR Xt, [SP, #number]
			h.loads[number*word] = inst&31 == 0
		case inst&0xffc003e0 == 0x910003e0: // ADD Xd, SP, #number
			contexts[number] = true
		}
	}
	return landing{}, false
}

const maxBranches = 4

// followJump follows the code from where it is about to jump. It shares the end of the function with the ordinary return.
func followJump(code []byte, vaddr uint64, at int) (jump []passage, ends bool) {
	from := at
	add := func(to int, how leaving) {
		jump = append(jump, passage{extent{vaddr + uint64(from), vaddr + uint64(to)}, how})
		from = to
	}
	for branches := 0; at >= 0 && at+armInstr <= len(code) && branches <= maxBranches; at += armInstr {
		inst := binary.LittleEndian.Uint32(code[at:])
		distance, goes := branch(inst)
		switch {
		case inst == armRet:
			add(at, jumping)
			add(at+armInstr, jumped)
			return jump, true
		case isBR(inst): // the link register is that of who catches, as described
			add(at, jumping)
			return jump, true
		case goes:
			add(at+armInstr, jumping)
			at += distance - armInstr
			from = at + armInstr
			branches++
		}
	}
	return nil, false
}

// rule is that of a frame whose description is r, up to a vaddr where it may be another.
func (l *landing) rule(m *machine, r Rule, vaddr uint64) (Rule, uint64) {
	if m.isFramed(r) {
		l.framed = r
	}
	for _, s := range l.passages {
		switch {
		case vaddr < s.start:
			return r, s.start
		case vaddr < s.end && m == amd64:
			return l.leaveAMD64(r, s.how), s.end
		case vaddr < s.end:
			return l.leaveARM64(r, s.how), s.end
		}
	}
	return r, 1<<64 - 1
}

// isFramed says whether a frame has the frame pointer of its caller and the return address, one beside the other.
func (m *machine) isFramed(r Rule) bool {
	framed := Rule{CFA: CFAFP, CFAOffset: 2, RA: RAAtCFA, FP: FPAtCFA, FPOffset: -2, Aux: r.Aux}
	if m == arm64 {
		framed = Rule{CFA: CFASP, CFAOffset: r.CFAOffset, RA: RAAtCFA, FP: FPAtCFA, FPOffset: r.FPOffset, Aux: r.FPOffset + 1}
	}
	return r == framed
}

func (l *landing) leaveAMD64(r Rule, how leaving) Rule {
	framed := amd64.isFramed(r)
	switch {
	case how == copying && framed:
		return l.land(0, RAAtCFA)
	case how == jumping && framed:
		return Rule{CFA: CFADerefFP, CFAOffset: l.cfa, RA: RALanding, FP: FPAtFP}
	case how == jumping && r.RA == RAAtCFA:
		r.RA = RALanding
	}
	return r
}

func (l *landing) leaveARM64(r Rule, how leaving) Rule {
	empty := r == arm64.atEntry()
	switch {
	case how == copying && arm64.isFramed(r):
		return l.land(0, RAAtCFA)
	case how == jumping && arm64.isFramed(r):
		return l.land(0, RALanding)
	case how == jumping && empty && l.framed.CFA != CFANone:
		return l.land(l.framed.CFAOffset, RALanding) // what it had saved is still below the stack pointer
	case how == jumped && empty:
		r.RA = RALanding
	}
	return r
}

// land is the rule of a frame that was framed, for a base that lies so many words above where it was then.
func (l *landing) land(above int16, ra RA) Rule {
	own := l.framed.CFAOffset
	return Rule{CFA: CFALanding, CFAOffset: l.cfa - above, RA: ra, FPOffset: own + l.framed.FPOffset - above, Aux: own - above}
}
