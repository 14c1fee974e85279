// SPDX-License-Identifier: Apache-2.0

package unwind

import (
	"cmp"
	"encoding/binary"
	"slices"

	"github.com/assaylab/assay/internal/elfx"
)

// Code for arm64 that nothing describes is not followed. But there is a kind of function of which the bytes say all: one that calls nobody
// and leaves the stack pointer, the frame pointer and the link register as they were. Those of the vdso that read a clock are.

const (
	maxLeaf   = 64 << 10 // bytes of a function that is looked at
	maxLeaves = 64 << 10 // functions of a file
)

// followLeaves lays out code for arm64: such functions, and of the rest that it has to be guessed.
func (b *builder) followLeaves(from, to uint64) error {
	if !b.functionsKnown {
		b.functions, b.functionsKnown = functionExtents(b.file), true
	}
	first, _ := slices.BinarySearchFunc(b.functions, from, func(e extent, at uint64) int { return cmp.Compare(e.start, at) })
	for _, e := range b.functions[first:] {
		if e.start >= to {
			break
		}
		if e.start < from || e.end > to || e.end-e.start > maxLeaf {
			continue
		}
		code, err := b.bytes(e.start, e.end-e.start)
		if err != nil {
			return err
		}
		if uint64(len(code)) < e.end-e.start || !isLeaf(code) {
			continue
		}
		if err := b.layout.span(from, e.start, Rule{CFA: CFAFramePointer}); err != nil {
			return err
		}
		if err := b.layout.span(e.start, e.end, b.mach.atEntry()); err != nil {
			return err
		}
		from = e.end
	}
	return b.layout.span(from, to, Rule{CFA: CFAFramePointer})
}

// functionExtents gives where the symbols of a file say that functions are, by address.
func functionExtents(f *elfx.File) []extent {
	var all []extent
	sections, err := f.Sections()
	if err != nil {
		return nil
	}
	for _, s := range sections {
		if !isSymbols(s) {
			continue
		}
		eachFunction(f, s, func(at, size uint64) bool {
			if at+size > at {
				all = append(all, extent{at, at + size})
			}
			return len(all) < maxLeaves
		})
	}
	slices.SortFunc(all, func(x, y extent) int { return cmp.Or(cmp.Compare(x.start, y.start), cmp.Compare(x.end, y.end)) })
	return all
}

// Instructions of arm64 (Arm Architecture Reference Manual, C4.1).
const (
	armRet   = 0xd65f03c0
	armFP    = 29
	armLR    = 30
	armSP    = 31 // in some places, in others it is no register
	armInstr = 4  // bytes
)

// isLeaf says whether code returns, and no instruction of it calls or changes the stack pointer, the frame pointer or the link register. A part of
// a function that lies elsewhere, which would be taken for one, doesn't return before it has changed these back.
func isLeaf(code []byte) bool {
	returns := false
	for ; len(code) >= armInstr; code = code[armInstr:] {
		i := binary.LittleEndian.Uint32(code)
		if i == armRet {
			returns = true
		} else if mayChange(i) {
			return false
		}
	}
	return returns && len(code) == 0
}

// mayChange says whether an instruction calls, or may write one of the three registers. Of some it says so in vain.
func mayChange(i uint32) bool {
	rd, rn, rt2 := i&31, i>>5&31, i>>10&31
	own := func(r uint32) bool { return r == armFP || r == armLR }
	switch {
	case i>>26 == 0x05, i>>24 == 0x54: // b, b.cond
		return false
	case i>>26 == 0x25, i>>25 == 0x6b: // bl; branches to registers
		return i&0xfffffc1f != 0xd61f0000 // br
	case i&0xffffff1f == 0xd503231f, i == 0xd50320ff: // signatures of the link register
		return true
	case own(rd):
		return true
	case i>>25&5 == 4: // loads and stores
		return rn == armSP || i>>27&7 == 5 && own(rt2)
	case i>>26&7 == 4 && rd == armSP: // with an immediate: cmp, cmn and tst have no result
		return !(i>>23&0x3f == 0x22 && i>>29&1 == 1 || i>>23&0x3f == 0x24 && i>>29&3 == 3)
	case i>>24&0x1f == 0x0b && i>>21&1 == 1 && rd == armSP: // add and sub of an extended register
		return i>>29&1 == 0
	}
	return false
}
