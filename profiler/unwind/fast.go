// SPDX-License-Identifier: Apache-2.0

package unwind

import (
	"encoding/binary"
	"slices"
)

// Most instructions are of a few kinds that have nothing to do with the stack. They are decoded here, at ten times the speed of
// x86asm, which gets all that could move the stack pointer or change the frame pointer, but for plain pushes and pops.

// Opcodes of one byte, by what their ModRM byte means.
var (
	toRegister = []byte{0x03, 0x0b, 0x23, 0x2b, 0x33, 0x63, 0x8a, 0x8b, 0x8d} // add, or, and, sub, xor, movsxd, mov, lea
	toOperand  = []byte{0x01, 0x09, 0x21, 0x29, 0x31, 0x88, 0x89, 0xd1, 0xd3} // add, or, and, sub, xor, mov, shifts
	toNothing  = []byte{0x38, 0x39, 0x3a, 0x3b, 0x84, 0x85}                   // cmp, test
	withByte   = []byte{0x80, 0x83, 0xc0, 0xc1}                               // arithmetic and shifts, by a byte
)

// isLong says whether an opcode behind 0x0f is a conditional move, movzx, movsx or imul: all to a register.
func isLong(op byte) bool {
	return op&0xf0 == 0x40 || op == 0xb6 || op == 0xb7 || op == 0xbe || op == 0xbf || op == 0xaf
}

const (
	rexW       = 8    // of a REX prefix: eight bytes
	rexR, rexB = 4, 1 // the registers of ModRM are those from R8 on
	numberSP   = 4    // registers in ModRM
	numberFP   = 5
)

// decodeFast decodes an instruction of x86-64, false when it leaves that to x86asm.
func decodeFast(code []byte) (instruction, bool) {
	var rex byte
	prefix := 0
	if len(code) > 0 && code[0]&0xf0 == 0x40 {
		rex, prefix = code[0], 1
	}
	if len(code) < prefix+9 {
		return instruction{}, false
	}
	op, rest := code[prefix], code[prefix+1:]
	if prefix == 0 {
		if i, ok := decodeBranch(op, rest); ok {
			return i, true
		}
	}
	if op&0xf0 == 0x50 {
		return decodePush(op, rex, uint8(prefix+1))
	}
	if op&0xf8 == 0xb8 && rex&rexW == 0 && !isStack(op&7, rex&rexB) { // mov of four bytes
		return instruction{kind: other, size: uint8(prefix + 5)}, true
	}
	toReg, immediate := slices.Contains(toRegister, op), 0
	switch {
	case op == 0x0f && isLong(rest[0]):
		toReg, rest, prefix = true, rest[1:], prefix+1
	case toReg, slices.Contains(toOperand, op), slices.Contains(toNothing, op):
	case slices.Contains(withByte, op):
		immediate = 1
	case op == 0xc7 || op == 0x81: // mov, arithmetic with four bytes
		immediate = 4
	default:
		return instruction{}, false
	}
	modRM := rest[0]
	if op == 0xc7 && modRM>>3&7 != 0 { // xbegin
		return instruction{}, false
	}
	if modRM>>6 == 3 && isStack(modRM&7, rex&rexB) || (toReg || op == 0x89) && isStack(modRM>>3&7, rex&rexR) {
		return instruction{}, false
	}
	return instruction{kind: other, size: uint8(prefix + 1 + operandSize(rest) + immediate)}, true
}

// isStack says whether a number in ModRM means RSP or RBP.
func isStack(number, extended byte) bool {
	return extended == 0 && (number == numberSP || number == numberFP)
}

func decodeBranch(op byte, rest []byte) (instruction, bool) {
	near := int32(binary.LittleEndian.Uint32(rest))
	short := int32(int8(rest[0]))
	switch {
	case op == 0xc3:
		return instruction{kind: ret, size: 1}, true
	case op == 0xe8:
		return instruction{kind: callTo, size: 5, arg: near}, true
	case op == 0xe9:
		return instruction{kind: jumpTo, size: 5, arg: near}, true
	case op == 0xeb:
		return instruction{kind: jumpTo, size: 2, arg: short}, true
	case op&0xf0 == 0x70:
		return instruction{kind: branchTo, size: 2, arg: short}, true
	case op == 0x0f && rest[0]&0xf0 == 0x80:
		return instruction{kind: branchTo, size: 6, arg: int32(binary.LittleEndian.Uint32(rest[1:]))}, true
	}
	return instruction{}, false
}

func decodePush(op, rex byte, size uint8) (instruction, bool) {
	number := op & 7
	switch pushes := op&8 == 0; {
	case number == numberSP && rex&rexB == 0:
		return instruction{}, false
	case number == numberFP && rex&rexB == 0 && pushes:
		return instruction{kind: pushFP, size: size}, true
	case number == numberFP && rex&rexB == 0:
		return instruction{kind: popFP, size: size}, true
	case pushes:
		return instruction{kind: push, size: size}, true
	}
	return instruction{kind: pop, size: size}, true
}

// operandSize counts the bytes of ModRM and of what follows it: SIB and displacement.
func operandSize(b []byte) int {
	mod, size := b[0]>>6, 1
	if mod == 3 {
		return size
	}
	base := b[0] & 7
	if base == 4 { // SIB
		base, size = b[1]&7, 2
	}
	switch {
	case mod == 1:
		return size + 1
	case mod == 2, base == 5: // with mod 0: no base, or RIP
		return size + 4
	}
	return size
}
