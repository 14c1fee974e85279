// SPDX-License-Identifier: Apache-2.0

package unwind

import (
	"debug/elf"
	"encoding/binary"
	"math"
	"slices"

	"github.com/assaylab/assay/internal/elfx"
)

const (
	symbolSize = 24 // Elf64_Sym
	maxSymbols = 1 << 19
)

// functionStarts gives where the symbols of a file say that functions begin, as distances from a vaddr, sorted. A file that hides some, or has
// more than half a million, gives fewer: then functions are seen as one.
func functionStarts(f *elfx.File, from uint64) []uint32 {
	sections, err := f.Sections()
	if err != nil {
		return nil
	}
	count := uint64(0)
	for _, s := range sections {
		if isSymbols(s) {
			count += min(s.Size/symbolSize, maxSymbols)
		}
	}
	starts := make([]uint32, 0, min(count, maxSymbols))
	for _, s := range sections {
		if isSymbols(s) {
			starts = appendFunctions(starts, f, s, from)
		}
	}
	slices.Sort(starts)
	return slices.Compact(starts)
}

func isSymbols(s elfx.Section) bool { return s.Type == elf.SHT_SYMTAB || s.Type == elf.SHT_DYNSYM }

func appendFunctions(starts []uint32, f *elfx.File, s elfx.Section, from uint64) []uint32 {
	eachFunction(f, s, func(at, _ uint64) bool {
		if at -= from; at <= math.MaxUint32 {
			starts = append(starts, uint32(at))
		}
		return len(starts) < maxSymbols
	})
	return starts
}

// eachFunction calls visit with the vaddr and the size of the functions in a table of symbols, until it says false.
func eachFunction(f *elfx.File, s elfx.Section, visit func(at, size uint64) bool) {
	le := binary.LittleEndian
	eachSymbol(f, s, func(symbol []byte) bool {
		if elf.ST_TYPE(symbol[4]) != elf.STT_FUNC || le.Uint16(symbol[6:]) == uint16(elf.SHN_UNDEF) {
			return true
		}
		return visit(le.Uint64(symbol[8:]), le.Uint64(symbol[16:]))
	})
}

// eachSymbol calls visit for the symbols of a table, as they are in the file, until it says false.
func eachSymbol(f *elfx.File, s elfx.Section, visit func(symbol []byte) bool) {
	chunk := make([]byte, 1024*symbolSize)
	for off := uint64(0); off+symbolSize <= s.Size; off += uint64(len(chunk)) {
		chunk = chunk[:min(uint64(len(chunk)), (s.Size-off)/symbolSize*symbolSize)]
		if f.ReadAt(chunk, s.Off+off) != nil {
			return // a file that was cut
		}
		for p := chunk; len(p) > 0; p = p[symbolSize:] {
			if !visit(p[:symbolSize]) {
				return
			}
		}
	}
}
