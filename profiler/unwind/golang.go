// SPDX-License-Identifier: Apache-2.0

package unwind

import (
	"bytes"
	"encoding/binary"

	"github.com/assaylab/assay/internal/elfx"
)

// Go describes its code in pclntab, for its own stack traces: for each function, among other tables, by how much the stack pointer was moved
// at each instruction. Functions that set it to something else (they change stacks) say so, and keep the frame pointer; so the
// frame pointer is the way through all Go code, but not in the first and last instructions of a function and in those that need no frame.
//
// Format: runtime/symtab.go, runtime/runtime2.go (_func) and internal/abi/symtab.go of the Go tree. Left out are programs by
// Go before 1.20: there the frame pointer has to do everywhere.

const (
	goMagic    = 0xfffffff1 // Go 1.20 and later
	goHeader   = 72         // bytes of the header of pclntab
	goFuncSize = 44         // bytes of _func up to its arrays
	goTopFrame = 1 << 0     // funcFlag_TOPFRAME
	goSPWrite  = 1 << 1     // funcFlag_SPWRITE
	maxGoFuncs = 1 << 22
	goSamples  = 64 // functions that are looked at to find the text
)

// goFrames is a rule for code whose compiler keeps the frame pointer.
var goFrames = Rule{CFA: CFAFramePointer, Aux: 1}

// goTable reads pclntab. Functions, their records and their tables of stack pointers lie in this order in three parts of it.
type goTable struct {
	functions, records, deltas *stretch

	base, pcTab uint64 // offsets of functab, which those of records count from, and of the tables of deltas
	count       uint64
	next        uint64 // number of the function to come
	text        uint64 // vaddr that functions count from
	quantum     uint64 // bytes of the smallest instruction
	steps       int
	mach        *machine
}

// openGo opens the pclntab of a file; nil when it has none that we know.
func openGo(f *elfx.File, m *machine) *goTable {
	s, ok := f.Section(".gopclntab")
	if !ok {
		s, ok = f.Section(".data.rel.ro.gopclntab")
	}
	var h [goHeader]byte
	if !ok || s.Size < goHeader || f.ReadAt(h[:], s.Off) != nil {
		return nil
	}
	le := binary.LittleEndian
	part := func() *stretch { return &stretch{readAt: f.ReadAt, off: s.Off, size: s.Size} }
	t := &goTable{
		functions: part(), records: part(), deltas: part(),
		count: le.Uint64(h[8:]), pcTab: le.Uint64(h[56:]), base: le.Uint64(h[64:]), quantum: uint64(h[6]), mach: m,
	}
	if le.Uint32(h[:]) != goMagic || t.count > min(s.Size/8, maxGoFuncs) || t.pcTab > s.Size || t.base > s.Size || 8*t.count > s.Size-t.base {
		return nil
	}
	for _, text := range goTexts(f, le.Uint64(h[24:])) {
		if t.text = text; t.fits(f) {
			return t
		}
	}
	return nil
}

// goTexts gives vaddrs where the Go code of a file may begin. Until Go 1.25 the header of pclntab said it; most linkers put it at
// the beginning of .text, others put C code before it, and then the symbol table tells.
func goTexts(f *elfx.File, header uint64) []uint64 {
	texts := []uint64{header}
	if s, ok := f.Section(".text"); ok {
		texts = append(texts, s.Addr)
	}
	return append(texts, goSymbol(f)...)
}

// goSymbol finds the value of the symbol runtime.text.
func goSymbol(f *elfx.File) []uint64 {
	sections, err := f.Sections()
	if err != nil {
		return nil
	}
	for _, s := range sections {
		if s.Name != ".symtab" || uint64(s.Link) >= uint64(len(sections)) {
			continue
		}
		names := &stretch{readAt: f.ReadAt, off: sections[s.Link].Off, size: sections[s.Link].Size}
		want := []byte("runtime.text\x00")
		var found []uint64
		eachSymbol(f, s, func(symbol []byte) bool {
			name, err := names.bytes(uint64(binary.LittleEndian.Uint32(symbol)), uint64(len(want)))
			if err == nil && bytes.Equal(name, want) {
				found = append(found, binary.LittleEndian.Uint64(symbol[8:]))
			}
			return len(found) == 0
		})
		return found
	}
	return nil
}

// fits says whether functions begin as those of Go do, where the stack may have to grow: they compare the stack pointer with the limit
// that the goroutine has.
func (t *goTable) fits(f *elfx.File) bool {
	matches := 0
	for i := uint64(0); i < min(t.count, goSamples); i++ {
		entry, _, ok := t.function(i)
		if !ok {
			return false
		}
		off, left, ok := f.Offset(entry)
		var code [4]byte
		if !ok || left < 4 || f.ReadAt(code[:], off) != nil {
			return false
		}
		for _, check := range t.mach.goCheck {
			if string(code[:len(check)]) == check {
				matches++
			}
		}
	}
	return matches*4 >= int(min(t.count, goSamples))
}

// function gives the vaddr of a function and the offset of its record; of number count, the end of the last.
func (t *goTable) function(i uint64) (entry, record uint64, ok bool) {
	b, err := t.functions.bytes(t.base+8*i, min(8, 4+4*(t.count-i)))
	if err != nil {
		return 0, 0, false
	}
	entry = t.text + uint64(binary.LittleEndian.Uint32(b))
	if len(b) == 8 {
		record = t.base + uint64(binary.LittleEndian.Uint32(b[4:]))
	}
	return entry, record, true
}

// spans calls span for the functions in code from a vaddr to another, which must rise from call to call.
func (t *goTable) spans(from, to uint64, span func(start, end uint64, r Rule) error) error {
	for ; t.next < t.count; t.next++ {
		entry, record, ok := t.function(t.next)
		end, _, okEnd := t.function(t.next + 1)
		if !ok || !okEnd || entry >= to {
			return nil
		}
		if end <= from || end <= entry {
			continue
		}
		clipped := func(start, end uint64, r Rule) error {
			if start, end = max(start, from), min(end, to); start < end {
				return span(start, end, r)
			}
			return nil
		}
		if err := t.spansOf(entry, end, record, clipped); err != nil || end > to {
			return err
		}
		from = end
	}
	return nil
}

// spansOf calls span for one function.
func (t *goTable) spansOf(entry, end, record uint64, span func(start, end uint64, r Rule) error) error {
	b, err := t.records.bytes(record, goFuncSize)
	if err != nil {
		return span(entry, end, goFrames)
	}
	id, flag := b[40], b[41]
	switch {
	case flag&goTopFrame != 0 && id != 0: // goexit, mstart, rt0_go; but not sigtramp
		return span(entry, end, Rule{CFA: CFAEnd})
	case flag&goSPWrite != 0 || t.steps > maxSteps:
		return span(entry, end, goFrames)
	}
	table := t.pcTab + uint64(binary.LittleEndian.Uint32(b[16:]))
	b, err = t.deltas.bytes(table, min(t.deltas.size-min(table, t.deltas.size), 4*(end-entry)+16, maxPiece))
	if err != nil {
		return span(entry, end, goFrames)
	}
	c := cursor{b: b}
	delta, pc, r := int64(-1), entry, goFrames
	for first := true; pc < end; first = false {
		t.steps++
		change, distance := c.uleb(), c.uleb()
		next := min(end, pc+min(distance, end-entry)*t.quantum)
		if c.bad || change == 0 && !first {
			next = end // padding
		} else {
			delta += int64(change>>1) ^ -int64(change&1)
			r = t.rule(delta)
		}
		if err := span(pc, next, r); err != nil {
			return err
		}
		pc = next
	}
	return nil
}

// rule is the rule where the stack pointer was moved by delta bytes. A function saves the frame pointer right after it moved it.
func (t *goTable) rule(delta int64) Rule {
	if t.mach == arm64 {
		off, ok := words(delta)
		switch {
		case delta == 0:
			return t.mach.atEntry()
		case !ok || delta < 0:
			return goFrames
		}
		return Rule{CFA: CFASP, CFAOffset: off, FP: FPAtCFA, FPOffset: -off - 1, RA: RAAtCFA, Aux: -off}
	}
	r := Rule{FP: FPAtCFA, FPOffset: -2, RA: RAAtCFA}
	switch ok := t.mach.reach(&r, CFASP, delta+word); {
	case !ok || delta < 0:
		return goFrames
	case delta == 0:
		return t.mach.atEntry()
	}
	t.mach.loseBX(&r)
	return r
}
