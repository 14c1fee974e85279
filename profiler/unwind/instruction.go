// SPDX-License-Identifier: Apache-2.0

package unwind

import (
	"math"

	"golang.org/x/arch/x86/x86asm"
)

// instruction is what one does to the stack.
type instruction struct {
	at   uint32 // offset in the code
	size uint8  // bytes
	kind kind
	arg  int32
}

func (i *instruction) next() uint32 { return i.at + uint32(i.size) }

type kind uint8

const (
	other     kind = iota // nothing
	bad                   // no instruction
	nop                   // it does nothing at all
	system                // calls the kernel
	ret                   // returns
	stop                  // never goes on
	call                  // calls
	callTo                // calls the code arg bytes behind it
	jumpTo                // goes there
	branchTo              // goes there or on
	jump                  // goes to where a register or memory says
	push                  // pushes
	pushFP                // pushes the frame pointer
	pop                   // pops
	popFP                 // pops the frame pointer
	leave                 // sets the stack pointer to the frame pointer, and pops that
	moveSP                // adds arg to the stack pointer
	alignSP               // subtracts from it what can't be told
	spFromFP              // sets it to frame pointer + arg
	spUnknown             // sets it to something else
	fpFromSP              // sets the frame pointer to stack pointer + arg
	saveFP                // stores it at stack pointer + arg
	loadFP                // loads it from there
	zeroFP                // sets it to 0
	fpUnknown             // sets it to something else
)

// endbr64 is where an indirect branch may lead to, which x86asm doesn't know. It does nothing, but is no padding: functions begin with it.
const endbr64 = "\xf3\x0f\x1e\xfa"

func decodeOne(code []byte) instruction {
	zeros := 0 // no code, most likely
	for zeros < min(len(code), math.MaxUint8) && code[zeros] == 0 {
		zeros++
	}
	if zeros > 1 || zeros == len(code) { // one alone adds one byte to another
		return instruction{kind: nop, size: uint8(zeros)}
	}
	if len(code) >= len(endbr64) && string(code[:len(endbr64)]) == endbr64 {
		return instruction{kind: other, size: uint8(len(endbr64))}
	}
	if i, ok := decodeFast(code); ok {
		return i
	}
	return decodeSlow(code)
}

func decodeSlow(code []byte) instruction {
	inst, err := x86asm.Decode(code, 64)
	if err != nil {
		return instruction{kind: bad, size: 1}
	}
	i := instruction{size: uint8(inst.Len)}
	var arg int64
	i.kind, arg = kindOf(&inst)
	if arg < math.MinInt32 || arg > math.MaxInt32 {
		return instruction{kind: bad, size: uint8(inst.Len)}
	}
	i.arg = int32(arg)
	return i
}

func kindOf(inst *x86asm.Inst) (kind, int64) {
	first := inst.Args[0]
	switch inst.Op {
	case x86asm.RET:
		return ret, 0
	case x86asm.UD2, x86asm.HLT:
		return stop, 0
	case x86asm.INT:
		if first == x86asm.Imm(3) {
			return stop, 0
		}
		return other, 0
	case x86asm.NOP:
		return nop, 0
	case x86asm.SYSCALL:
		return system, 0
	case x86asm.PUSH:
		if first == x86asm.RBP {
			return pushFP, 0
		}
		return push, 0
	case x86asm.PUSHFQ:
		return push, 0
	case x86asm.POP:
		return kindOfPop(first), 0
	case x86asm.POPFQ:
		return pop, 0
	case x86asm.LEAVE:
		return leave, 0
	case x86asm.ENTER:
		return spUnknown, 0
	case x86asm.CMP, x86asm.TEST, x86asm.BT:
		return other, 0
	}
	if rel, ok := first.(x86asm.Rel); ok {
		return kindOfJump(inst.Op), int64(rel)
	}
	switch inst.Op {
	case x86asm.CALL:
		return call, 0
	case x86asm.JMP:
		return jump, 0
	}
	return kindOfMove(inst)
}

func kindOfPop(first x86asm.Arg) kind {
	switch {
	case first == x86asm.RBP:
		return popFP
	case part(first, x86asm.RSP):
		return spUnknown
	}
	return pop
}

func kindOfJump(op x86asm.Op) kind {
	switch op {
	case x86asm.CALL:
		return callTo
	case x86asm.JMP:
		return jumpTo
	}
	return branchTo
}

// kindOfMove is for instructions whose first operand is where the result goes.
func kindOfMove(inst *x86asm.Inst) (kind, int64) {
	first, second := inst.Args[0], inst.Args[1]
	switch {
	case part(first, x86asm.RSP):
		return kindOfSP(inst)
	case part(first, x86asm.RBP):
		return kindOfFP(inst)
	case inst.Op == x86asm.XCHG && part(second, x86asm.RSP):
		return spUnknown, 0
	case inst.Op == x86asm.XCHG && part(second, x86asm.RBP):
		return fpUnknown, 0
	case inst.Op == x86asm.MOV && second == x86asm.RBP:
		if off, ok := based(first, x86asm.RSP); ok {
			return saveFP, off
		}
	}
	return other, 0
}

func kindOfSP(inst *x86asm.Inst) (kind, int64) {
	second := inst.Args[1]
	imm, constant := second.(x86asm.Imm)
	onSP, ok := based(second, x86asm.RSP)
	onFP, okFP := based(second, x86asm.RBP)
	switch {
	case inst.Args[0] != x86asm.RSP:
	case inst.Op == x86asm.SUB && constant:
		return moveSP, -int64(imm)
	case inst.Op == x86asm.ADD && constant:
		return moveSP, int64(imm)
	case inst.Op == x86asm.LEA && ok:
		return moveSP, onSP
	case inst.Op == x86asm.AND || inst.Op == x86asm.SUB:
		return alignSP, 0
	case inst.Op == x86asm.LEA && okFP:
		return spFromFP, onFP
	case inst.Op == x86asm.MOV && second == x86asm.RBP:
		return spFromFP, 0
	}
	return spUnknown, 0
}

func kindOfFP(inst *x86asm.Inst) (kind, int64) {
	first, second := inst.Args[0], inst.Args[1]
	onSP, ok := based(second, x86asm.RSP)
	switch {
	case inst.Op == x86asm.XOR && first == second:
		return zeroFP, 0
	case first != x86asm.RBP:
	case inst.Op == x86asm.MOV && second == x86asm.RSP:
		return fpFromSP, 0
	case inst.Op == x86asm.LEA && ok:
		return fpFromSP, onSP
	case inst.Op == x86asm.MOV && ok:
		return loadFP, onSP
	}
	return fpUnknown, 0
}

// based gives the distance of a place in memory from where a register points.
func based(arg x86asm.Arg, reg x86asm.Reg) (int64, bool) {
	m, ok := arg.(x86asm.Mem)
	return int64(int32(m.Disp)), ok && m.Base == reg && m.Index == 0 // x86asm doesn't extend the sign of 32 bits
}

// part says whether an operand is RSP or RBP, or the lower half of it or less.
func part(arg x86asm.Arg, reg x86asm.Reg) bool {
	r, ok := arg.(x86asm.Reg)
	if !ok {
		return false
	}
	if reg == x86asm.RSP {
		return r == x86asm.RSP || r == x86asm.ESP || r == x86asm.SP || r == x86asm.SPB
	}
	return r == x86asm.RBP || r == x86asm.EBP || r == x86asm.BP || r == x86asm.BPB
}
