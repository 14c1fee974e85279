// SPDX-License-Identifier: Apache-2.0

package elfx

import (
	"debug/elf"
	"encoding/binary"
	"fmt"
	"strings"
)

const (
	maxSections    = 1 << 16
	maxNameTable   = 1 << 20
	maxSectionName = 256
)

// Section is one entry of the section table. Where it lies was not checked against the size of the file: reads will tell.
type Section struct {
	Name    string
	Type    elf.SectionType
	Flags   elf.SectionFlag
	Addr    uint64 // vaddr
	Off     uint64 // in the file
	Size    uint64 // bytes
	Link    uint32
	EntSize uint64
}

// sectHeader is what the file header says of the section table.
type sectHeader struct {
	off                 uint64
	entSize, num, names uint16
}

// Sections reads the section table, at most 65,536 entries; it is empty where a file has none. The caller must not change it.
func (f *File) Sections() ([]Section, error) { return f.sections() }

// Section finds the first section of a name that has bytes in the file, and that end inside it.
func (f *File) Section(name string) (Section, bool) {
	sections, err := f.sections()
	if err != nil {
		return Section{}, false
	}
	for _, s := range sections {
		if s.Name == name && s.Type != elf.SHT_NOBITS && s.inside(f.size) {
			return s, true
		}
	}
	return Section{}, false
}

func (s Section) inside(size int64) bool {
	return s.Off <= uint64(size) && s.Size <= uint64(size)-s.Off
}

func (f *File) readSections() ([]Section, error) {
	h := f.sectHeader
	if h.off == 0 {
		return nil, nil
	}
	if h.entSize != sectSize {
		return nil, badf(58, "section headers of %d bytes", h.entSize)
	}
	num, names, err := f.sectionCounts()
	if err != nil {
		return nil, err
	}
	table := make([]byte, num*sectSize)
	if err := f.ReadAt(table, h.off); err != nil {
		return nil, fmt.Errorf("ELF section headers: %w", err)
	}
	sections := make([]Section, num)
	for i := range sections {
		sections[i] = decodeSection(table[i*sectSize:])
	}
	return sections, f.nameSections(sections, table, names)
}

// sectionCounts reads how many sections there are and which one holds their names. Numbers too large for the file header lie
// in the first section header.
func (f *File) sectionCounts() (num, names int, err error) {
	h := f.sectHeader
	num, names = int(h.num), int(h.names)
	if num != 0 && h.names != uint16(elf.SHN_XINDEX) {
		return num, names, nil
	}
	var first [sectSize]byte
	if err := f.ReadAt(first[:], h.off); err != nil {
		return 0, 0, fmt.Errorf("ELF section headers: %w", err)
	}
	s := decodeSection(first[:])
	if num == 0 {
		if s.Size > maxSections {
			return 0, 0, badf(int64(h.off), "%d sections", s.Size)
		}
		num = int(s.Size)
	}
	if h.names == uint16(elf.SHN_XINDEX) {
		names = int(s.Link)
	}
	return num, names, nil
}

func decodeSection(p []byte) Section {
	le := binary.LittleEndian
	return Section{
		Type: elf.SectionType(le.Uint32(p[4:])), Flags: elf.SectionFlag(le.Uint64(p[8:])),
		Addr: le.Uint64(p[16:]), Off: le.Uint64(p[24:]), Size: le.Uint64(p[32:]),
		Link: le.Uint32(p[40:]), EntSize: le.Uint64(p[56:]),
	}
}

// nameSections sets the names. All are slices of one string, so that names that overlap cost nothing.
func (f *File) nameSections(sections []Section, table []byte, names int) error {
	if names == 0 || names >= len(sections) {
		return nil
	}
	s := sections[names]
	if s.Size > maxNameTable {
		return badf(int64(f.sectHeader.off), "section names of %d bytes", s.Size)
	}
	raw := make([]byte, s.Size)
	if err := f.ReadAt(raw, s.Off); err != nil {
		return fmt.Errorf("ELF section names: %w", err)
	}
	all := string(raw)
	for i := range sections {
		sections[i].Name = nameAt(all, binary.LittleEndian.Uint32(table[i*sectSize:]))
	}
	return nil
}

func nameAt(all string, off uint32) string {
	if uint64(off) >= uint64(len(all)) {
		return ""
	}
	s := all[off:]
	s = s[:min(len(s), maxSectionName)]
	name, _, _ := strings.Cut(s, "\x00")
	return name
}
