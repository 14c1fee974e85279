// SPDX-License-Identifier: Apache-2.0

package symbolize

import (
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/assaylab/assay/internal/elfx"
	"github.com/assaylab/assay/symbolize/internal/pager"
)

const (
	symbolSize     = 24      // Elf64_Sym
	symbolChunk    = 2048    // symbols read at once
	maxSymbols     = 1 << 24 // of one table; the largest browsers have a million
	maxSymbolHits  = 1 << 26 // of symbols on wanted addresses; more means that they overlap beyond sense
	maxSymbolNames = 1 << 20 // names read to choose between symbols of one address
)

var errOverlap = errors.New("symbols overlap too often")

// symtab finds the symbols of wanted addresses. The tables are streamed past the addresses, so it never holds more than one
// chunk of symbols and two symbols an address.
type symtab struct {
	file    *elfx.File
	want    addrs
	section []uint16        // section[i] holds want[i], 0 when no section does
	strings [2]*pager.Pager // of .symtab and .dynsym

	// covers[i] is the best symbol whose size covers want[i]. labels[i] is the last one that starts after want[i-1] and not
	// after want[i], of any size: a symbol without size reaches to the next one in its section.
	covers, labels []symbol
	hits, names    int
}

// symbol is what is kept of an Elf64_Sym.
type symbol struct {
	value, size uint64
	name        uint32
	section     uint16
	table       uint8 // index to symtab.strings
	info        uint8
}

func (s *symbol) none() bool { return s.name == 0 }

func (s *symbol) function() bool {
	t := elf.ST_TYPE(s.info)
	return t == elf.STT_FUNC || t == elf.STT_GNU_IFUNC
}

func (s *symbol) local() bool { return elf.ST_BIND(s.info) == elf.STB_LOCAL }

// code says whether s can name code. Labels of assembly have no type.
func (s *symbol) code() bool {
	return s.section != uint16(elf.SHN_UNDEF) && (s.function() || elf.ST_TYPE(s.info) == elf.STT_NOTYPE)
}

// findSymbols gives the names of the wanted vaddrs, "" for those without, and whether .symtab is missing: the file was
// stripped then, and .dynsym names but what a library offers.
func findSymbols(f *elfx.File, want addrs) (names []string, stripped bool, err error) {
	sections, err := f.Sections()
	if err != nil {
		return nil, false, err
	}
	s := &symtab{
		file: f, want: want, section: sectionsOf(sections, want),
		covers: make([]symbol, len(want)), labels: make([]symbol, len(want)),
	}
	for i, name := range []string{".symtab", ".dynsym"} {
		table, ok := f.Section(name)
		if !ok || table.Size < symbolSize || uint64(table.Link) >= uint64(len(sections)) {
			continue
		}
		strs := sections[table.Link]
		s.strings[i] = pager.New(f, strs.Off, strs.Size)
		if err := s.stream(table, uint8(i)); err != nil {
			return nil, false, fmt.Errorf("%s: %w", name, err)
		}
	}
	names, err = s.results()
	return names, s.strings[0] == nil, err
}

// sectionsOf gives the index of the code section around each address.
func sectionsOf(sections []elfx.Section, want addrs) []uint16 {
	index := make([]uint16, len(want))
	for n, s := range sections {
		if s.Flags&(elf.SHF_ALLOC|elf.SHF_EXECINSTR) != elf.SHF_ALLOC|elf.SHF_EXECINSTR || n >= int(elf.SHN_LORESERVE) {
			continue
		}
		for i := want.from(s.Addr); i < len(want) && want[i]-s.Addr < s.Size && index[i] == 0; i++ {
			index[i] = uint16(n)
		}
	}
	return index
}

func (s *symtab) stream(table elfx.Section, n uint8) error {
	count := min(table.Size/symbolSize, maxSymbols)
	chunk := make([]byte, min(count, symbolChunk)*symbolSize)
	var sym symbol
	for first := uint64(0); first < count; first += symbolChunk {
		chunk = chunk[:min(count-first, symbolChunk)*symbolSize]
		if err := s.file.ReadAt(chunk, table.Off+first*symbolSize); err != nil {
			return err
		}
		for p := chunk; len(p) > 0; p = p[symbolSize:] {
			sym = decodeSymbol(p, n)
			if sym.none() || !sym.code() {
				continue
			}
			if err := s.add(&sym); err != nil {
				return err
			}
		}
	}
	return nil
}

func decodeSymbol(p []byte, table uint8) symbol {
	le := binary.LittleEndian
	return symbol{
		name: le.Uint32(p), info: p[4], section: le.Uint16(p[6:]),
		value: le.Uint64(p[8:]), size: le.Uint64(p[16:]), table: table,
	}
}

// add lets s compete for the addresses that it covers, and for the first one behind its start.
func (s *symtab) add(sym *symbol) error {
	i := s.want.from(sym.value)
	if i == len(s.want) {
		return nil
	}
	if mapping, err := s.mappingSymbol(sym); err != nil || mapping {
		return err
	}
	if err := s.contend(&s.labels[i], sym, nearer); err != nil {
		return err
	}
	for ; i < len(s.want) && s.want[i]-sym.value < sym.size; i++ {
		if err := s.contend(&s.covers[i], sym, tighter); err != nil {
			return err
		}
	}
	return nil
}

// mappingSymbol tells the marks that arm64 assemblers put between code and data ($x, $d) from labels.
func (s *symtab) mappingSymbol(sym *symbol) (bool, error) {
	if s.file.Machine() != elf.EM_AARCH64 || sym.size != 0 || !sym.local() || sym.function() {
		return false, nil
	}
	c, err := s.strings[sym.table].Uint8(uint64(sym.name))
	return c == '$', err
}

// nearer orders labels: the later start, then a symbol with a size, which says where it ends.
func nearer(a, b *symbol) int {
	switch {
	case a.value != b.value:
		return order(a.value > b.value)
	case (a.size == 0) != (b.size == 0):
		return order(a.size != 0)
	}
	return 0
}

// tighter orders symbols around an address: functions first, then the one that starts later, being the inner one.
func tighter(a, b *symbol) int {
	switch {
	case a.function() != b.function():
		return order(a.function())
	case a.value != b.value:
		return order(a.value > b.value)
	}
	return 0
}

func order(first bool) int {
	if first {
		return 1
	}
	return -1
}

// contend puts sym in the place of best when it is better: by compare, then global before local, then by name, then .symtab
// before .dynsym.
func (s *symtab) contend(best, sym *symbol, compare func(a, b *symbol) int) error {
	if s.hits++; s.hits > maxSymbolHits {
		return errOverlap
	}
	if best.none() {
		*best = *sym
		return nil
	}
	better := compare(sym, best)
	if better == 0 && sym.local() != best.local() {
		better = order(best.local())
	}
	if better == 0 {
		var err error
		if better, err = s.compareNames(sym, best); err != nil {
			return err
		}
	}
	if better > 0 {
		*best = *sym
	}
	return nil
}

// compareNames is zero for equal names, and then the table that was read first keeps its place.
func (s *symtab) compareNames(a, b *symbol) (int, error) {
	if s.names++; s.names > maxSymbolNames {
		return 0, errOverlap
	}
	x, err := s.name(a)
	if err != nil {
		return 0, err
	}
	y, err := s.name(b)
	if err != nil || x == y {
		return 0, err
	}
	return order(preferName(x, y)), nil
}

func (s *symtab) name(sym *symbol) (string, error) {
	var buf [128]byte
	name, err := s.strings[sym.table].CString(buf[:0], uint64(sym.name), maxSymbol)
	if err != nil {
		return "", fmt.Errorf("symbol name at %#x: %w", sym.name, err)
	}
	return withoutVersion(string(name)), nil
}

// results prefers symbols that say they cover the address, and falls back on a label in front of it.
func (s *symtab) results() ([]string, error) {
	names := make([]string, len(s.want))
	var label symbol
	for i := range s.want {
		if !s.labels[i].none() {
			label = s.labels[i]
		}
		best := s.covers[i]
		if best.none() && label.size == 0 && label.section == s.section[i] {
			best = label
		}
		if best.none() {
			continue
		}
		var err error
		if names[i], err = s.name(&best); err != nil {
			return nil, err
		}
	}
	return names, nil
}
