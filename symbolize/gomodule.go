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

// From Go 1.18 on, addresses in pclntab count from the start of Go's text, and inline trees lie in a stretch of data of
// their own. Where both begin is known to runtime.firstmoduledata alone (the header lost the former in Go 1.26, and had zero
// there in position-independent programs before). That variable has no symbol in a stripped program; but it begins with a
// pointer to pclntab, and a pointer into it follows, a pair that nothing else has.

const (
	// Fields of runtime.moduledata: the first three the same from Go 1.16 to 1.26, the last from Go 1.20 on.
	moduleMinPC = 20 * 8
	moduleMaxPC = 21 * 8
	moduleText  = 22 * 8
	moduleFunc  = 40 * 8

	maxGoScan   = 256 << 20 // bytes that a search reads
	maxGoTries  = 4         // headers that a search follows up
	maxGoRelocs = 1 << 24   // of all sections of a file
	scanChunk   = 256 << 10
	relocSize   = 24 // Elf64_Rela
)

// goModule is what we need from a runtime.moduledata.
type goModule struct{ text, gofunc uint64 }

// openGoTable finds pclntab: in its section, or in files that Go linked but that have lost their section headers by its
// magic number. It is nil when there is none.
func openGoTable(f *elfx.File) (*goTable, error) {
	for _, name := range []string{".gopclntab", ".data.rel.ro.gopclntab"} {
		if s, ok := f.Section(name); ok {
			t, err := newGoTable(f, s.Addr, s.Off, s.Size)
			if err == nil {
				err = t.locate()
			}
			if err != nil {
				return nil, fmt.Errorf("%w: %w", errGoTable, err)
			}
			return t, nil
		}
	}
	if f.GoBuildID() == "" {
		return nil, nil
	}
	return scanGoTable(f), nil
}

// scanGoTable tries what looks like a header of pclntab.
func scanGoTable(f *elfx.File) (table *goTable) {
	tries := 0
	scan(f, 0, func(vaddr, off, left uint64, word uint64) bool {
		if _, ok := goMagics[uint32(word)]; !ok {
			return false
		}
		t, err := newGoTable(f, vaddr, off, left)
		if err != nil {
			return false
		}
		if t.locate() == nil {
			table = t
		}
		tries++
		return table != nil || tries == maxGoTries
	})
	return table
}

// newGoTable reads the header of a table.
func newGoTable(f *elfx.File, vaddr, off, size uint64) (*goTable, error) {
	t := &goTable{file: f, tab: pager.New(f, off, size), vaddr: vaddr}
	if err := t.parseHeader(); err != nil {
		return nil, err
	}
	return t, t.checkBounds()
}

// locate finds where the functions of the table lie.
func (t *goTable) locate() error {
	if t.version >= go118 {
		return t.findModule()
	}
	if first, err := t.pc(0); err != nil || first == 0 {
		return errors.Join(err, errors.New("addresses are left to the dynamic linker"))
	}
	return nil
}

// findModule reads t.module.
func (t *goTable) findModule() error {
	at, ok := t.moduleInRelocs()
	if !ok {
		at, ok = t.moduleInData()
	}
	if !ok {
		return errors.New("no moduledata")
	}
	return t.readModule(at)
}

// readModule reads the moduledata at a vaddr. Its bounds of the text must be those of functab, which the runtime demands too
// (runtime.moduledataverify1); so a release that moves the fields is noticed.
func (t *goTable) readModule(at uint64) error {
	fields := map[uint64]uint64{at + moduleMinPC: 0, at + moduleMaxPC: 0, at + moduleText: 0, at + moduleFunc: 0}
	for vaddr := range fields {
		word, err := wordAt(t.file, vaddr)
		if err != nil {
			return fmt.Errorf("moduledata: %w", err)
		}
		fields[vaddr] = word
	}
	relocs(t.file, func(vaddr, addend uint64) bool {
		if _, ok := fields[vaddr]; ok {
			fields[vaddr] = addend
		}
		return false
	})
	t.module.text = fields[at+moduleText]
	if t.version >= go120 {
		t.module.gofunc = fields[at+moduleFunc]
	}
	first, err := t.pc(0)
	if err != nil {
		return err
	}
	last, err := t.pc(t.numFuncs)
	if err == nil && (first != fields[at+moduleMinPC] || last != fields[at+moduleMaxPC]) {
		return errors.New("moduledata of an unknown layout")
	}
	return err
}

func wordAt(f *elfx.File, vaddr uint64) (uint64, error) {
	off, left, ok := f.Offset(vaddr)
	if !ok || left < 8 {
		return 0, fmt.Errorf("nothing at %#x", vaddr)
	}
	var b [8]byte
	err := f.ReadAt(b[:], off)
	return binary.LittleEndian.Uint64(b[:]), err
}

// moduleInData finds the vaddr of moduledata by its first two pointers, in writable data.
func (t *goTable) moduleInData() (at uint64, ok bool) {
	var previous uint64
	scan(t.file, elf.PF_W, func(vaddr, _, _ uint64, word uint64) bool {
		ok = previous == t.vaddr && word == t.vaddr+t.funcNames
		at, previous = vaddr-8, word
		return ok
	})
	return at, ok
}

// moduleInRelocs finds it where the pointers are left to the dynamic linker.
func (t *goTable) moduleInRelocs() (at uint64, ok bool) {
	first, second := make(map[uint64]bool), make(map[uint64]bool)
	const few = 1024 // many relocations to the one address would be no Go program's
	relocs(t.file, func(vaddr, addend uint64) bool {
		switch {
		case addend == t.vaddr && len(first) < few:
			first[vaddr] = true
		case addend == t.vaddr+t.funcNames && len(second) < few:
			second[vaddr-8] = true
		}
		return false
	})
	for at := range first {
		if second[at] {
			return at, true
		}
	}
	return 0, false
}

// scan calls visit for the aligned words of the segments with the given flags, in order, until it says true.
func scan(f *elfx.File, flags elf.ProgFlag, visit func(vaddr, off, left uint64, word uint64) bool) {
	budget := uint64(maxGoScan)
	for _, l := range f.Loads() {
		if l.Flags&flags != flags {
			continue
		}
		size := min(l.Filesz, budget)
		budget -= size
		if scanSegment(f, l, size, visit) {
			return
		}
	}
}

func scanSegment(f *elfx.File, l elfx.Load, size uint64, visit func(vaddr, off, left uint64, word uint64) bool) bool {
	chunk := make([]byte, min(size, scanChunk))
	for done := -l.Vaddr & 7; done < size; {
		chunk = chunk[:min(uint64(len(chunk)), size-done)]
		if f.ReadAt(chunk, l.Off+done) != nil {
			return false // a file that ends early has no more to be found
		}
		for i := 0; i+8 <= len(chunk); i += 8 {
			d := done + uint64(i)
			if visit(l.Vaddr+d, l.Off+d, l.Filesz-d, binary.LittleEndian.Uint64(chunk[i:])) {
				return true
			}
		}
		done += uint64(len(chunk))
	}
	return false
}

// relocs calls visit for the relocations that add the load bias to a constant, until it says true. Where the relocations
// can't be read the pointers in the data have to do.
func relocs(f *elfx.File, visit func(vaddr, addend uint64) bool) {
	relative := uint32(elf.R_X86_64_RELATIVE)
	if f.Machine() == elf.EM_AARCH64 {
		relative = uint32(elf.R_AARCH64_RELATIVE)
	}
	sections, err := f.Sections()
	if err != nil {
		return
	}
	budget := uint64(maxGoRelocs)
	for _, s := range sections {
		if s.Type != elf.SHT_RELA || s.Flags&elf.SHF_ALLOC == 0 {
			continue
		}
		count := min(s.Size/relocSize, budget)
		budget -= count
		if streamRelocs(f, s.Off, count, relative, visit) {
			return
		}
	}
}

func streamRelocs(f *elfx.File, off, count uint64, relative uint32, visit func(vaddr, addend uint64) bool) bool {
	le := binary.LittleEndian
	end := count * relocSize
	chunk := make([]byte, min(end, 4096*relocSize))
	for done := uint64(0); done < end; done += uint64(len(chunk)) {
		chunk = chunk[:min(uint64(len(chunk)), end-done)]
		if f.ReadAt(chunk, off+done) != nil {
			return false
		}
		for p := chunk; len(p) > 0; p = p[relocSize:] {
			if le.Uint32(p[8:]) == relative && visit(le.Uint64(p), le.Uint64(p[16:])) {
				return true
			}
		}
	}
	return false
}
