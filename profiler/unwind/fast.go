// SPDX-License-Identifier: Apache-2.0

package unwind

import (
	"encoding/binary"
	"math"
	"sync"
)

// Nearly all instructions are decoded here, at thirty times the speed of x86asm, and nine in ten of them by tables alone (decodeQuick). What is
// rare is left to x86asm, and what does to the stack pointer something that is seldom done.

const (
	maxInstruction = 15   // bytes
	rexW           = 8    // of a REX prefix: eight bytes
	rexR, rexB     = 4, 1 // the registers of ModRM are those from R8 on
	numberSP       = 4    // registers in ModRM
	numberFP       = 5
)

// shape says what lies behind an opcode, and which operand comes first: that which is written to, if one is.
type shape uint8

const (
	fast     shape = 1 << iota
	operand        // ModRM, with SIB and displacement
	toReg          // first is the register in ModRM
	toRM           // first is the other operand of ModRM
	group          // ModRM is a part of the opcode
	withByte       // a byte follows
	withInt        // four bytes follow, two behind the prefix 0x66
)

// Prefixes by which opcodes behind 0x0f differ.
const (
	noPrefix = iota
	prefix66
	prefixF3
	prefixF2
	prefixFS // memory of the thread; opcodes don't differ
)

var (
	oneByte = shapes(map[shape]string{
		operand | toRM:             "\x00\x01\x08\x09\x10\x11\x18\x19\x20\x21\x28\x29\x30\x31\x88\x89",
		operand | toReg:            "\x02\x03\x0a\x0b\x12\x13\x1a\x1b\x22\x23\x2a\x2b\x32\x33\x63\x63\x8a\x8b\x8d\x8d",
		operand:                    "\x38\x3b\x84\x85",
		withByte:                   "\x04\x04\x0c\x0c\x14\x14\x1c\x1c\x24\x24\x2c\x2c\x34\x34\x3c\x3c\xa8\xa8\xb0\xb3",
		withInt:                    "\x05\x05\x0d\x0d\x15\x15\x1d\x1d\x25\x25\x2d\x2d\x35\x35\x3d\x3d\xa9\xa9",
		operand | toReg | withInt:  "\x69\x69",
		operand | toReg | withByte: "\x6b\x6b",
		operand | group | withByte: "\x80\x80\x83\x83\xc0\xc1\xc6\xc6",
		operand | group | withInt:  "\x81\x81\xc7\xc7",
		operand | group:            "\xd1\xd1\xd3\xd3\xd8\xd9\xdb\xdf\xf6\xf7\xfe\xff",
		fast:                       "\x98\x99",
	})
	twoByte = [...][256]shape{
		noPrefix: shapes(map[shape]string{
			operand | toReg:           "\x40\x4f\xaf\xaf\xb6\xb7\xbc\xbf",
			operand | toRM:            "\x90\x9f\xa5\xa5\xab\xab\xad\xad\xb0\xb1\xb3\xb3\xbb\xbb\xc0\xc1",
			operand | toRM | withByte: "\xa4\xa4\xac\xac",
			operand:                   "\x10\x11\x14\x15\x28\x29\x2e\x2f\x51\x5f\xa3\xa3",
			operand | withByte:        "\xc2\xc2\xc6\xc6",
			fast:                      "\xa2\xa2",
		}),
		prefix66: shapes(map[shape]string{
			operand | toRM:     "\x7e\x7e",
			operand:            "\x10\x11\x14\x15\x28\x29\x2e\x2f\x51\x51\x54\x6f\x74\x76\x7f\x7f\xd1\xd5\xd8\xe5\xe8\xef\xf1\xf6\xf8\xfe",
			operand | withByte: "\x70\x70\xc2\xc2\xc6\xc6",
		}),
		prefixF3: shapes(map[shape]string{
			operand | toReg:    "\x2c\x2d\xb8\xb8",
			operand:            "\x10\x11\x2a\x2a\x51\x53\x58\x5f\x6f\x6f\x7e\x7f\xe6\xe6",
			operand | withByte: "\x70\x70\xc2\xc2",
		}),
		prefixF2: shapes(map[shape]string{
			operand | toReg:    "\x2c\x2d",
			operand:            "\x10\x11\x2a\x2a\x51\x51\x58\x5a\x5c\x5f\xe6\xe6",
			operand | withByte: "\x70\x70\xc2\xc2",
		}),
	}
)

// shapes makes a table from the ranges of opcodes of each shape.
func shapes(opcodes map[shape]string) (table [256]shape) {
	for s, ranges := range opcodes {
		for i := 0; i < len(ranges); i += 2 {
			for op := int(ranges[i]); op <= int(ranges[i+1]); op++ {
				table[op] = s | fast
			}
		}
	}
	return table
}

// decodeFast decodes an instruction of x86-64, false when it leaves that to x86asm.
func decodeFast(code []byte) (instruction, bool) {
	if len(code) < maxInstruction {
		return instruction{}, false
	}
	prefix, n := noPrefix, 0
	switch code[0] {
	case 0x66, 0x2e:
		if i, ok := decodeNop(code); ok || code[0] == 0x2e {
			return i, ok
		}
		prefix, n = prefix66, 1
	case 0xf3:
		prefix, n = prefixF3, 1
	case 0xf2:
		prefix, n = prefixF2, 1
	case 0x64: // memory of the thread
		n = 1
	default:
		if i, ok := decodePlain(code); ok {
			return i, true
		}
	}
	var rex byte
	if code[n]&0xf0 == 0x40 {
		rex = code[n]
		n++
	}
	op := code[n]
	n++
	var s shape
	switch {
	case op == 0x0f:
		op = code[n]
		n++
		s = twoByte[prefix][op]
	case prefix > prefix66:
	case prefix == noPrefix && op&0xf0 == 0x50:
		return decodePush(op, rex, n)
	case prefix == noPrefix && op&0xf8 == 0xb8:
		return decodeConstant(op&7, rex, n)
	default:
		s = oneByte[op]
	}
	return decodeShape(s, op, rex, code, n)
}

// decodePlain decodes instructions that have neither prefixes nor ModRM, and nops.
func decodePlain(code []byte) (instruction, bool) {
	switch code[0] {
	case 0x70, 0x71, 0x72, 0x73, 0x74, 0x75, 0x76, 0x77, 0x78, 0x79, 0x7a, 0x7b, 0x7c, 0x7d, 0x7e, 0x7f:
		return instruction{kind: branchTo, size: 2, arg: int32(int8(code[1]))}, true
	case 0xe8:
		return instruction{kind: callTo, size: 5, arg: int32(binary.LittleEndian.Uint32(code[1:]))}, true
	case 0xe9:
		return instruction{kind: jumpTo, size: 5, arg: int32(binary.LittleEndian.Uint32(code[1:]))}, true
	case 0xeb:
		return instruction{kind: jumpTo, size: 2, arg: int32(int8(code[1]))}, true
	case 0xc3:
		return instruction{kind: ret, size: 1}, true
	case 0xc9:
		return instruction{kind: leave, size: 1}, true
	case 0xcc, 0xf4:
		return instruction{kind: stop, size: 1}, true
	case 0x68:
		return instruction{kind: push, size: 5}, true
	case 0x6a:
		return instruction{kind: push, size: 2}, true
	case 0x0f:
		switch {
		case code[1]&0xf0 == 0x80:
			return instruction{kind: branchTo, size: 6, arg: int32(binary.LittleEndian.Uint32(code[2:]))}, true
		case code[1] == 0x05:
			return instruction{kind: system, size: 2}, true
		}
		return decodeNop(code)
	case 0x90:
		return decodeNop(code)
	}
	return instruction{}, false
}

// decodeNop decodes a nop, with prefixes that make it longer.
func decodeNop(code []byte) (instruction, bool) {
	n := 0
	for n < 7 && (code[n] == 0x66 || code[n] == 0x2e) {
		n++
	}
	switch {
	case code[n] == 0x90:
		return instruction{kind: nop, size: uint8(n + 1)}, true
	case code[n] == 0x0f && code[n+1] == 0x1f && code[n+2]>>3&7 == 0:
		return instruction{kind: nop, size: uint8(n + 2 + operandSize(code[n+2:]))}, true
	}
	return instruction{}, false
}

// decodeConstant decodes a mov of four or eight bytes to a register.
func decodeConstant(number, rex byte, size int) (instruction, bool) {
	i := instruction{kind: other, size: uint8(size + 4)}
	if rex&rexW != 0 {
		i.size += 4
	}
	if !isStack(number, rex&rexB) {
		return i, true
	}
	i.kind = fpUnknown
	return i, number == numberFP
}

func decodePush(op, rex byte, size int) (instruction, bool) {
	i := instruction{kind: push, size: uint8(size)}
	number, pops := op&7, op&8 != 0
	switch {
	case isStack(number, rex&rexB) && number == numberSP:
		return i, false
	case isStack(number, rex&rexB) && pops:
		i.kind = popFP
	case isStack(number, rex&rexB):
		i.kind = pushFP
	case pops:
		i.kind = pop
	}
	return i, true
}

// decodeShape decodes an instruction of a shape, with code[n:] behind its opcode.
func decodeShape(s shape, op, rex byte, code []byte, n int) (instruction, bool) {
	i := instruction{kind: other}
	if s&operand != 0 {
		modRM := code[n]
		if s&group != 0 {
			s, i.kind = groupOf(s, op, modRM)
		}
		at := n + operandSize(code[n:])
		if touchesStack(s, op, rex, modRM) {
			i.kind, i.arg = stackKind(s, op, rex, modRM, code[n:])
			if i.kind == bad {
				return i, false
			}
		}
		n = at
	}
	switch {
	case s&withByte != 0:
		n++
	case s&withInt != 0 && code[0] == 0x66 && rex&rexW == 0:
		n += 2
	case s&withInt != 0:
		n += 4
	}
	i.size = uint8(n)
	return i, s != 0
}

// x87 has bits for the values of the register in ModRM that are instructions, from opcode 0xd8 on: with memory, and with registers.
var x87 = [8][2]byte{{0xff, 0xff}, {0xfd, 0xc3}, {0xff, 0x0f}, {0xaf, 0x6f}, {0xff, 0xf3}, {0xdf, 0x3d}, {0xff, 0xf3}, {0xff, 0x60}}

// x87Alone has bits for the instructions of opcode 0xd9 without any operand, from 0xe0 on, but for those that x87 has.
const x87Alone = 0x7f33

// groupOf gives shape and kind of an opcode that goes on in ModRM.
func groupOf(s shape, op, modRM byte) (shape, kind) {
	more := modRM >> 3 & 7
	switch {
	case op == 0xd9 && modRM >= 0xe0 && x87Alone>>(modRM-0xe0)&1 != 0, op == 0xdf && modRM == 0xe0:
		return s, other
	case op>>3 == 0xd8>>3:
		if x87[op&7][modRM>>6/3]>>more&1 != 0 {
			return s, other
		}
	case op>>2 == 0x80>>2 && more == 7: // cmp
		return s, other
	case op>>2 == 0x80>>2:
		return s | toRM, other
	case op>>1 == 0xc6>>1 && more == 0: // mov
		return s | toRM, other
	case op>>1 == 0xc6>>1: // xbegin
	case op>>1 == 0xc0>>1, op>>2 == 0xd0>>2: // shifts; x86asm does not know 6
		return s | toRM, other
	case op == 0xf6 && more == 0: // test
		return s | withByte, other
	case op == 0xf7 && more == 0:
		return s | withInt, other
	case op>>1 == 0xf6>>1 && more != 1, op>>1 == 0xfe>>1 && more < 2: // arithmetic
		return s | toRM, other
	case op == 0xff && more == 2:
		return s, call
	case op == 0xff && more == 4:
		return s, jump
	case op == 0xff && more == 6 && modRM>>6 != 3:
		return s, push
	}
	return 0, other
}

// touchesStack says whether an instruction writes to RSP or RBP, or may save RBP on the stack.
func touchesStack(s shape, op, rex, modRM byte) bool {
	reg, rm, inMemory := modRM>>3&7, modRM&7, modRM>>6 != 3
	switch {
	case s&toReg != 0:
		return isStack(reg, rex&rexR)
	case op == 0x89 && inMemory: // mov
		return rm == numberSP && isStack(reg, rex&rexR)
	}
	return s&toRM != 0 && !inMemory && isStack(rm, rex&rexB)
}

// stackKind is what an instruction does that touches the stack; bad when that is left to x86asm. The code is that from ModRM on.
func stackKind(s shape, op, rex, modRM byte, code []byte) (kind, int32) {
	reg, rm, inMemory := modRM>>3&7, modRM&7, modRM>>6 != 3
	wide := rex&rexW != 0
	written := rm
	if s&toReg != 0 {
		written = reg
	}
	switch {
	case s&group != 0 && reg == 6 && (op>>1 == 0xc0>>1 || op>>2 == 0xd0>>2): // shifts that x86asm does not know
		return bad, 0
	case rex == 0 && ofByte(op): // AH, CH
		return other, 0
	case inMemory && rm == numberSP && (op == 0x89 || op == 0x8b || op == 0x8d):
		return kindBySP(op, rex, reg, modRM>>6, code)
	case op == 0x8d && !inMemory:
		return bad, 0
	case op == 0x89 && rm == numberFP && reg == numberSP && rex&(rexW|rexR) == rexW, op == 0x8b && reg == numberFP && rm == numberSP && rex&(rexW|rexB) == rexW && !inMemory:
		return fpFromSP, 0
	case op>>2 == 0x30>>2 && !inMemory && reg == numberFP && rm == numberFP && rex&(rexR|rexB) == 0:
		return zeroFP, 0
	case written == numberFP:
		return fpUnknown, 0
	case !wide || op != 0x81 && op != 0x83:
		return bad, 0
	}
	immediate := code[operandSize(code):]
	add := int32(int8(immediate[0]))
	if op == 0x81 {
		add = int32(binary.LittleEndian.Uint32(immediate))
	}
	switch {
	case add == math.MinInt32:
	case reg == 0: // add
		return moveSP, add
	case reg == 5: // sub
		return moveSP, -add
	}
	return bad, 0
}

// kindBySP is about mov and lea with an operand that has SIB.
func kindBySP(op, rex, reg, mod byte, code []byte) (kind, int32) {
	const rexX, onlySP = 2, 0x24 // of SIB
	wide, distance := rex&rexW != 0, int32(0)
	switch {
	case reg != numberFP: // to the stack pointer, or of it
		return bad, 0
	case !wide || rex&(rexX|rexB) != 0 || code[1]>>3&7 != onlySP>>3 || code[1]&7 != onlySP&7: // relative to more than the stack pointer
		if op == 0x89 {
			return other, 0
		}
		return fpUnknown, 0
	case code[1] != onlySP:
		return bad, 0
	case mod == 1:
		distance = int32(int8(code[2]))
	case mod == 2:
		distance = int32(binary.LittleEndian.Uint32(code[2:]))
	}
	return [...]kind{0x89: saveFP, 0x8b: loadFP, 0x8d: fpFromSP}[op], distance
}

// ofByte says whether an instruction writes to a byte.
func ofByte(op byte) bool {
	return op < 0x40 && op&5 == 0 || op>>4 == 9 || op == 0x80 || op == 0x88 || op == 0x8a || op == 0xb0 || op == 0xc0 || op == 0xc6 || op == 0xf6 || op == 0xfe
}

// isStack says whether a number in ModRM means RSP or RBP.
func isStack(number, extended byte) bool {
	return extended == 0 && (number == numberSP || number == numberFP)
}

// operandSizes is how many bytes ModRM and what follows it take: SIB and displacement. That is not all of it where SIB has no base.
var operandSizes = func() (sizes [256]uint8) {
	for modRM := range sizes {
		mod, rm := modRM>>6, modRM&7
		sizes[modRM] = [...]uint8{1, 2, 5, 1}[mod]
		if mod == 0 && rm == 5 { // relative to RIP
			sizes[modRM] += 4
		}
		if mod != 3 && rm == numberSP { // SIB
			sizes[modRM]++
		}
	}
	return sizes
}()

// operandSize counts the bytes of ModRM and of what follows it.
func operandSize(b []byte) int {
	size := int(operandSizes[b[0]])
	if b[0]&^0x38 == numberSP && b[1]&7 == 5 {
		size += 4
	}
	return size
}

// quick is what there is to know of an opcode whose instructions differ in nothing but their operands.
type quick struct {
	kind     kind
	operands uint8 // by which an instruction may be another kind
	more     uint8 // a bit for each value of the register in ModRM that is such an instruction
	modRM    uint8 // 0xff where it follows, else 0
	rest     uint8 // bytes behind it
	unused   uint8 // upper bits of four bytes behind the opcode that don't count to arg
}

// Operands by which an instruction may do something else to the stack.
const (
	stackReg uint8 = 1 << iota // the register in ModRM is RSP or RBP
	stackRM                    // so is the other operand
	storesFP                   // the register is, and is stored relative to RSP
	takesRIP                   // an address relative to RIP
)

// Sets of quicks.
const (
	hasREX = 1 << iota // the first eight sets have opcodes of a byte: whether REX is before it, and its bits
	hasB
	hasW
	set66  = 1 << iota // behind the prefix 0x66, and one more with REX.W; then, behind 0xf3 and 0xf2, of none
	setFS  = set66 + 6 // of memory of the thread, likewise two
	setTwo = set66 + 8 // of two bytes, with REX, and behind each prefix
	sets   = setTwo + 2 + prefixFS
)

const farBase = 0x80 // of quickSizes: SIB follows, which may have four bytes more

var (
	quicks [sets][256]quick
	// prefixes are those by which sets differ.
	prefixes = [256]uint8{0x66: prefix66, 0xf3: prefixF3, 0xf2: prefixF2, 0x64: prefixFS}
	// stackOperands has for the lower bits of REX and for ModRM the operands that they are.
	stackOperands [8][256]uint8
	quickSizes    [256]uint8
	// makeTables makes these, where they are needed first: a command that follows no code should not wait for them.
	makeTables = sync.OnceFunc(func() {
		makeQuicks(&quicks)
		makeStackOperands(&stackOperands)
		makeQuickSizes(&quickSizes)
	})
)

func makeQuicks(table *[sets][256]quick) {
	for op := range 256 {
		table[0][op] = quickOf(oneByte[op], byte(op), 4)
		table[set66][op] = quickOf(oneByte[op], byte(op), 2)
		table[setTwo][op] = quickOf(twoByte[noPrefix][op], byte(op), 4)
		for prefix := range twoByte {
			table[setTwo+1+prefix][op] = quickOf(twoByte[prefix][op], byte(op), 4)
		}
	}
	for _, set := range []int{0, set66} {
		table[set][0] = quick{} // zeros are no code
		table[set][0x89].operands |= storesFP
		table[set][0x8d].operands |= takesRIP
	}
	table[set66+1], table[setFS], table[setFS+1] = table[0], table[0], table[0]
	table[setTwo+1+prefixFS] = table[setTwo]
	for set := hasW | hasB | hasREX; set >= 0; set-- {
		table[set] = table[0]
		addRegisters(&table[set], uint8(set/hasW*rexW|set/hasB%2*rexB))
	}
	addPlain(&table[0], &table[setTwo])
	table[setTwo][0x1f] = quick{kind: nop, more: 1, modRM: 0xff, unused: 32}
}

// quickOf is about an opcode of a shape, which has a constant of so many bytes if it has a long one.
func quickOf(s shape, op byte, long uint8) quick {
	constant := func(s shape) uint8 {
		switch {
		case s&withByte != 0:
			return 1
		case s&withInt != 0:
			return long
		}
		return 0
	}
	switch {
	case s == 0:
		return quick{}
	case s&operand == 0:
		return fixed(other, constant(s), 32)
	}
	q := quick{modRM: 0xff, rest: constant(s), unused: 32}
	if op == 0xf6 && s&group != 0 {
		q.rest = 1 // test, which is the most common of its
	}
	written := s
	if s&group == 0 {
		q.more = 0xff
	} else {
		q.more, written = sameOf(s, op, func(s shape) bool { return constant(s) == q.rest })
	}
	if written&toReg != 0 {
		q.operands |= stackReg
	}
	if written&toRM != 0 {
		q.operands |= stackRM
	}
	return q
}

// sameOf is about an opcode that goes on in ModRM: for which values of its register all instructions do nothing and are of the same size, and what
// they write to.
func sameOf(s shape, op byte, sized func(shape) bool) (more uint8, written shape) {
	for reg := range byte(8) {
		same, all := true, shape(0)
		for _, modRM := range []byte{0, 0xc0, 0xc1, 0xc2, 0xc3, 0xc4, 0xc5, 0xc6, 0xc7} {
			each, k := groupOf(s, op, modRM|reg<<3)
			same = same && each != 0 && k == other && sized(each)
			all |= each
		}
		if same {
			more |= 1 << reg
			written |= all
		}
	}
	return more, written
}

// fixed is an instruction without ModRM.
func fixed(k kind, rest, unused uint8) quick {
	return quick{kind: k, more: 0xff, rest: rest, unused: unused}
}

// addRegisters adds instructions with a register in their opcode.
func addRegisters(set *[256]quick, rex uint8) {
	for number := range uint8(8) {
		for _, op := range []uint8{0x50, 0x58} {
			if i, ok := decodePush(op|number, rex, 1); ok {
				set[op|number] = fixed(i.kind, 0, 32)
			}
		}
		if i, ok := decodeConstant(number, rex, 1); ok {
			set[0xb8|number] = fixed(i.kind, i.size-1, 32)
		}
	}
}

// addPlain adds what decodePlain decodes.
func addPlain(one, two *[256]quick) {
	var code [maxInstruction + 1]byte
	for op := range 256 {
		code[0], code[1] = byte(op), 0
		if i, ok := decodePlain(code[:]); ok {
			one[op] = fixed(i.kind, i.size-1, unusedBits(i.kind, i.size-1))
		}
		code[0], code[1] = 0x0f, byte(op)
		if i, ok := decodePlain(code[:]); ok && i.kind != nop {
			two[op] = fixed(i.kind, i.size-2, unusedBits(i.kind, i.size-2))
		}
	}
}

// unusedBits is how many of 32 bits are not those of a distance of some bytes.
func unusedBits(k kind, size uint8) uint8 {
	if k == branchTo || k == jumpTo || k == callTo {
		return 32 - 8*size
	}
	return 32
}

func makeStackOperands(table *[8][256]uint8) {
	for rex := range table {
		for modRM := range table[rex] {
			t := &table[rex][modRM]
			reg := isStack(byte(modRM>>3&7), byte(rex)&rexR)
			inMemory := modRM>>6 != 3
			if reg {
				*t |= stackReg
			}
			if !inMemory && isStack(byte(modRM&7), byte(rex)&rexB) {
				*t |= stackRM
			}
			if reg && inMemory && modRM&7 == numberSP {
				*t |= storesFP
			}
			if modRM&0xc7 == 0x05 {
				*t |= takesRIP
			}
		}
	}
}

func makeQuickSizes(sizes *[256]uint8) {
	*sizes = operandSizes
	for reg := range 8 {
		sizes[reg<<3|numberSP] |= farBase
	}
}

// decodeQuick decodes the instruction that begins with eight bytes by tables alone; its size is 0 when that takes a closer look. Each step
// waits for the one before, and what comes can't be foretold: so there are few jumps, and little is read from memory.
func decodeQuick(code uint64) (i instruction) {
	size := uint64(1)
	prefix := uint64(prefixes[byte(code)])
	if prefix != noPrefix {
		code >>= 8
		size = 2
	}
	isREX := (code>>4&0xf ^ 4 - 1) >> 63
	rex := code & 0xf & -isREX
	code >>= isREX * 8 % 64
	size += isREX
	set := isREX*hasREX | rex&rexB*hasB | rex&rexW/rexW*hasW
	if prefix != noPrefix {
		set = set66 + (prefix-prefix66)*2 | rex&rexW/rexW
	}
	if byte(code) == 0x0f {
		code >>= 8
		size++
		if set = setTwo + isREX; prefix != noPrefix {
			set = setTwo + 1 + prefix
		}
	}
	q := &quicks[set][byte(code)]
	modRM := byte(code >> 8)
	if q.more>>(modRM&q.modRM>>3&7)&1 == 0 || q.operands&stackOperands[rex&7][modRM] != 0 {
		return i
	}
	operandSize := quickSizes[modRM] & q.modRM
	i.size = uint8(size) + operandSize + q.rest
	if operandSize&farBase != 0 {
		i.size -= farBase
		if code>>16&7 == 5 {
			i.size += 4
		}
	}
	i.kind, i.arg = q.kind, int32(code>>8)<<q.unused>>q.unused
	return i
}
