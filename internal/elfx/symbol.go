// SPDX-License-Identifier: Apache-2.0

package elfx

import (
	"debug/elf"
	"encoding/binary"
	"fmt"
)

const (
	symbolSize  = 24      // Elf64_Sym
	symbolChunk = 2048    // symbols read at once
	maxSymbols  = 1 << 24 // of one table
	maxStrings  = 1 << 28 // bytes of the names of one table
)

// Symbol is an entry of a symbol table: Size bytes at a vaddr.
type Symbol struct {
	Value, Size uint64
}

// Lookup finds defined symbols by their names, in .dynsym and, for those that are not there, in .symtab. Names without a symbol are
// missing in the result.
func (f *File) Lookup(names ...string) (map[string]Symbol, error) {
	found := make(map[string]Symbol, len(names))
	for _, table := range []string{".dynsym", ".symtab"} {
		if len(found) == len(names) {
			break
		}
		s, ok := f.Section(table)
		if !ok {
			continue
		}
		if err := f.lookup(s, names, found); err != nil {
			return nil, fmt.Errorf("ELF %s: %w", table, err)
		}
	}
	return found, nil
}

func (f *File) lookup(table Section, names []string, found map[string]Symbol) error {
	sections, err := f.Sections()
	if err != nil {
		return err
	}
	if uint64(table.Link) >= uint64(len(sections)) {
		return badf(int64(table.Off), "symbol names in section %d of %d", table.Link, len(sections))
	}
	strs := sections[table.Link]
	at, err := f.nameOffsets(strs, names)
	if err != nil || len(at) == 0 {
		return err
	}
	count := min(table.Size/symbolSize, maxSymbols)
	chunk := make([]byte, min(count, symbolChunk)*symbolSize)
	le := binary.LittleEndian
	for first := uint64(0); first < count; first += symbolChunk {
		chunk = chunk[:min(count-first, symbolChunk)*symbolSize]
		if err := f.ReadAt(chunk, table.Off+first*symbolSize); err != nil {
			return err
		}
		for p := chunk; len(p) > 0; p = p[symbolSize:] {
			name, ok := at[le.Uint32(p)]
			if _, old := found[name]; !ok || old || le.Uint16(p[6:]) == uint16(elf.SHN_UNDEF) {
				continue
			}
			found[name] = Symbol{Value: le.Uint64(p[8:]), Size: le.Uint64(p[16:])}
		}
	}
	return nil
}

// nameOffsets finds where in a string table whole names begin. Linkers share the ends of names ("read" in "pread"), so a name may
// begin at several places, of which each may be used.
func (f *File) nameOffsets(strs Section, names []string) (map[uint32]string, error) {
	if strs.Size > maxStrings || !strs.inside(f.size) {
		return nil, badf(int64(strs.Off), "%d bytes of symbol names", strs.Size)
	}
	longest := 0
	for _, n := range names {
		longest = max(longest, len(n))
	}
	const step = 64 << 10
	at := map[uint32]string{}
	buf := make([]byte, 0, step+longest+1)
	for off := uint64(0); off < strs.Size; off += step {
		buf = buf[:min(strs.Size-off, uint64(cap(buf)))]
		if err := f.ReadAt(buf, strs.Off+off); err != nil {
			return nil, err
		}
		for end, c := range buf {
			if c != 0 {
				continue
			}
			for _, n := range names {
				if start := end - len(n); start >= 0 && string(buf[start:end]) == n {
					at[uint32(off)+uint32(start)] = n
				}
			}
		}
	}
	return at, nil
}
