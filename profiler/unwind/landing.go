// SPDX-License-Identifier: Apache-2.0

package unwind

import (
	"golang.org/x/arch/x86/x86asm"
)

// Who throws an exception goes on, in the end, where it is caught. In libgcc, the functions that do so copy into their own frame what was saved
// for the frame of who catches, the return address last, and go there as if they returned (uw_install_context in gcc's unwind.inc,
// __builtin_eh_return in its code). Call frame information still says that the frame of their caller lies above them, but
// registers and the return address are another frame's by then. Where that one begins, the functions keep in their own, in a context.

// landing is such an end of a function: copying, frames between are dropped one register after the other; from jumping on, who catches has
// been put in the place of the return address.
type landing struct {
	copying, jumping, end uint64 // vaddr
	cfa                   int16  // words from the frame pointer to where the context has the CFA
}

const (
	maxLanding = 16 << 10 // bytes of a function
	// Struct _Unwind_Context on x86-64 has where registers are saved, by their numbers, then the CFA and the return address.
	contextCFA = 18 * word
	contextRA  = contextCFA + word
)

// findLanding looks for the end of a function in its code. It is told by the two arguments of _Unwind_DebugHook, the CFA and the return
// address of a context, which is called between the copying and the jump for debuggers, and by the store of where to go on.
func findLanding(code []byte, vaddr uint64) (l landing, ok bool) {
	var calls [2]uint64             // the last ones
	loads := map[int64]x86asm.Arg{} // of the frame since then, by their distance from the frame pointer, and where to
	hooked := int64(0)
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
			calls[0], calls[1], hooked = calls[1], from, 0
			for off, to := range loads {
				if to == x86asm.RDI && loads[off+contextRA-contextCFA] != nil {
					hooked = off
				}
			}
			clear(loads)
		case inst.Op == x86asm.MOV && near:
			loads[off] = inst.Args[0]
		case inst.Op == x86asm.MOV && memory.Base == x86asm.RBP && memory.Index != 0 && memory.Disp == word && hooked != 0:
			w, fits := words(hooked)
			l, ok = landing{copying: calls[0], jumping: vaddr + uint64(at), cfa: w}, fits
		case ok && inst.Op == x86asm.RET, ok && inst.Op == x86asm.JMP && isRegister(inst.Args[0]):
			l.end = vaddr + uint64(at)
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

// rule is that of a frame whose description is r, up to a vaddr where it may be another.
func (l *landing) rule(r Rule, vaddr uint64) (Rule, uint64) {
	framed := r == Rule{CFA: CFAFP, CFAOffset: 2, RA: RAAtCFA, FP: FPAtCFA, FPOffset: -2, Aux: r.Aux}
	switch {
	case vaddr < l.copying:
		return r, l.copying
	case vaddr < l.jumping:
		if framed {
			r = Rule{CFA: CFALanding, CFAOffset: l.cfa, RA: RAAtCFA}
		}
		return r, l.jumping
	case vaddr >= l.end:
		return r, 1<<64 - 1
	case framed:
		r = Rule{CFA: CFADerefFP, CFAOffset: l.cfa, RA: RALanding, FP: FPAtFP}
	case r.RA == RAAtCFA:
		r.RA = RALanding
	}
	return r, l.end
}
