// SPDX-License-Identifier: Apache-2.0

package unwind

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"runtime"
	"testing"
)

const (
	textVaddr = 0x10000
	textSize  = 0x20000
	frameAddr = 0x800000
)

// image makes an x86-64 file of 128 KiB of code at 0x10000, and call frame information of size bytes, of which content gives the first.
func image(section string, size uint64, content []byte) []byte {
	const textOff, frameOff, nameOff = 0x1000, 0x1000 + textSize, 0x400
	b := make([]byte, frameOff+len(content))
	le := binary.LittleEndian
	copy(b, "\x7fELF\x02\x01\x01")
	le.PutUint16(b[16:], uint16(elf.ET_DYN))
	le.PutUint16(b[18:], uint16(elf.EM_X86_64))
	le.PutUint64(b[32:], 64)
	le.PutUint64(b[40:], 0x200)
	le.PutUint16(b[54:], 56)
	le.PutUint16(b[56:], 1)
	le.PutUint16(b[58:], 64)
	le.PutUint16(b[60:], 3)
	le.PutUint16(b[62:], 2)
	prog := b[64:]
	le.PutUint32(prog, uint32(elf.PT_LOAD))
	le.PutUint32(prog[4:], uint32(elf.PF_R|elf.PF_X))
	for i, v := range []uint64{textOff, textVaddr, textVaddr, textSize, textSize} {
		le.PutUint64(prog[8+8*i:], v)
	}
	names := "\x00" + section + "\x00.shstrtab\x00"
	copy(b[nameOff:], names)
	put := func(i int, name uint32, addr, off, size uint64) {
		s := b[0x200+64*i:]
		le.PutUint32(s, name)
		le.PutUint32(s[4:], uint32(elf.SHT_PROGBITS))
		le.PutUint64(s[16:], addr)
		le.PutUint64(s[24:], off)
		le.PutUint64(s[32:], size)
	}
	put(1, 1, frameAddr, frameOff, size)
	put(2, uint32(2+len(section)), 0, nameOff, uint64(len(names)))
	copy(b[frameOff:], content)
	return b
}

// entryOf is an entry of .eh_frame: its length, its id, and what follows.
func entryOf(id uint32, body ...byte) []byte {
	b := binary.LittleEndian.AppendUint32(nil, uint32(4+len(body)))
	return append(binary.LittleEndian.AppendUint32(b, id), body...)
}

// cieOfTest has absolute pointers; CFA is RSP+8 and the return address at CFA-8.
var cieOfTest = entryOf(0, 1, 0, 1, 0x78, 16, 0x0c, 7, 8, 0x90, 1)

// section is a CIE and FDEs of it.
type section struct{ b []byte }

func newSection() *section { return &section{bytes.Clone(cieOfTest)} }

func (s *section) fde(start, size uint64, instructions ...byte) *section {
	body := binary.LittleEndian.AppendUint64(nil, start)
	body = append(binary.LittleEndian.AppendUint64(body, size), instructions...)
	s.b = append(s.b, entryOf(uint32(len(s.b)+4), body...)...)
	return s
}

func buildImage(file []byte) (*Table, error) {
	return Build(bytes.NewReader(file), int64(len(file)), Options{})
}

func mustBuild(t *testing.T, s *section) *Table {
	t.Helper()
	table, err := buildImage(image(".eh_frame", uint64(len(s.b)), s.b))
	if err != nil {
		t.Fatal(err)
	}
	return table
}

// def is DW_CFA_def_cfa_offset.
func def(offset byte) []byte { return []byte{0x0e, offset} }

// TestOrder: functions out of order, overlapping, empty, twice, outside of the code, and with holes between them.
func TestOrder(t *testing.T) {
	const at = textVaddr
	table := mustBuild(t, newSection().
		fde(at+0x300, 0x100, def(48)...).
		fde(at+0x100, 0x100, def(16)...).
		fde(at+0x150, 0x20, def(24)...). // inside the one before: what follows it is nobody's
		fde(at+0x200, 0, def(32)...).
		fde(at+0x400, 0x10, def(56)...).
		fde(at+0x400, 0x20, def(64)...). // the same code: the last counts
		fde(0, 0x100, def(72)...).
		fde(at+textSize-0x10, 1<<40, def(80)...).
		fde(at+textSize, 0x100, def(88)...))
	for addr, words := range map[uint64]int16{
		at: 0, at + 0xff: 0, at + 0x100: 2, at + 0x14f: 2, at + 0x150: 3, at + 0x16f: 3, at + 0x170: 0, at + 0x1ff: 0, at + 0x200: 0,
		at + 0x2ff: 0, at + 0x300: 6, at + 0x3ff: 6, at + 0x400: 8, at + 0x41f: 8, at + 0x420: 0,
		at + textSize - 0x11: 0, at + textSize - 0x10: 10, at + textSize - 1: 10, at + textSize: 0,
		0: 0, at - 1: 0, 1 << 40: 0, ^uint64(0): 0,
	} {
		want := Rule{}
		if words != 0 {
			want = Rule{CFA: CFASP, CFAOffset: words, RA: RAAtCFA}
		}
		if got, ok := table.Find(addr); got != want || ok != (words != 0) {
			t.Errorf("%#x: %+v, %v; want %+v", addr, got, ok, want)
		}
	}
	if table.Stats.Overlaps != 2 || table.Stats.Functions != 5 {
		t.Errorf("%+v", table.Stats)
	}
}

// TestInstructions: a function whose instructions make no sense is unsupported from there on, and its neighbour isn't touched.
func TestInstructions(t *testing.T) {
	const at = textVaddr
	advance := func(more ...byte) []byte { return append([]byte{0x44}, more...) } // by 4
	for name, test := range map[string]struct {
		instructions []byte
		want         Rule // at + 4
	}{
		"unknown":                       {advance(0x3f), unsupported(ReasonMalformed)},
		"cut":                           {advance(0x0e), unsupported(ReasonMalformed)},
		"restore of nothing":            {advance(0x0b), unsupported(ReasonMalformed)},
		"remembered without end":        {advance(bytes.Repeat([]byte{0x0a}, maxRemembered+1)...), unsupported(ReasonMalformed)},
		"backwards":                     {advance(0x01, 1, 0, 0, 0, 0, 0, 0, 0), unsupported(ReasonMalformed)},
		"offset of a long number":       {advance(0x0e, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1), unsupported(ReasonMalformed)},
		"odd offset":                    {advance(0x0e, 9), unsupported(ReasonOffset)},
		"huge offset":                   {advance(0x0e, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 1), unsupported(ReasonOffset)},
		"frame of 512 KiB":              {advance(0x0e, 0x88, 0x80, 0x20), Rule{CFA: CFASPFar, CFAOffset: 1, RA: RAAtCFA, Aux: 1}},
		"frame of 300 KiB":              {advance(0x0e, 0x80, 0xe0, 0x12), Rule{CFA: CFASPFar, CFAOffset: -27136, RA: RAAtCFA, Aux: 1}},
		"register":                      {advance(0x0c, 10, 0), Rule{CFA: CFAReg, RA: RAAtCFA, Aux: 10}},
		"no such register":              {advance(0x0c, 99, 0), unsupported(ReasonCFARegister)},
		"dereferenced":                  {advance(0x0f, 3, 0x76, 0x78, 0x06), Rule{CFA: CFADerefFP, CFAOffset: -1, RA: RAAtCFA}},
		"dereferenced, and added":       {advance(0x0f, 5, 0x77, 0x10, 0x06, 0x23, 8), Rule{CFA: CFADerefSP, CFAOffset: 2, RA: RAAtCFA, Aux: 1}},
		"PLT":                           {advance(0x0f, 11, 0x77, 8, 0x80, 0, 0x3f, 0x1a, 0x3b, 0x2a, 0x33, 0x24, 0x22), Rule{CFA: CFAPLT, CFAOffset: 1, RA: RAAtCFA, Aux: 11}},
		"behind an array":               {advance(0x0f, 10, 0x77, 16, 0x79, 0, 0x38, 0x1e, 0x22, 0x06, 0x23, 8), Rule{CFA: CFAIndexed, CFAOffset: 2, RA: RAAtCFA, Aux: 9 | 1<<8}},
		"behind an array of bytes":      {advance(0x0f, 10, 0x77, 16, 0x79, 0, 0x31, 0x1e, 0x22, 0x06, 0x23, 8), unsupported(ReasonCFAExpression)},
		"another expression":            {advance(0x0f, 2, 0x77, 8), unsupported(ReasonCFAExpression)},
		"empty expression":              {advance(0x0f, 0), unsupported(ReasonCFAExpression)},
		"expression beyond the end":     {advance(0x0f, 0x7f, 0x77), unsupported(ReasonMalformed)},
		"end of the stack":              {advance(0x07, 16), Rule{CFA: CFAEnd}},
		"return address in RDI":         {advance(0x09, 16, 5), Rule{CFA: CFASP, CFAOffset: 1, RA: RAInRDI}},
		"return address in RCX":         {advance(0x09, 16, 2), Rule{CFA: CFASP, CFAOffset: 1, RA: RAInRCX}},
		"return address in RDX":         {advance(0x09, 16, 1), unsupported(ReasonRA)},
		"stack pointer in R8":           {advance(0x09, 7, 8), unsupported(ReasonSP)},
		"frame pointer at CFA-16":       {advance(0x86, 2), Rule{CFA: CFASP, CFAOffset: 1, FP: FPAtCFA, FPOffset: -2, RA: RAAtCFA}},
		"frame pointer at itself":       {advance(0x10, 6, 2, 0x76, 0), Rule{CFA: CFASP, CFAOffset: 1, FP: FPAtFP, RA: RAAtCFA}},
		"frame pointer in RAX":          {advance(0x09, 6, 0), Rule{CFA: CFASP, CFAOffset: 1, FP: FPUndefined, RA: RAAtCFA}},
		"frame pointer saved, put back": {advance(0x86, 2, 0xc6), Rule{CFA: CFASP, CFAOffset: 1, RA: RAAtCFA}},
		"RBX at CFA-24":                 {advance(0x83, 3), Rule{CFA: CFASP, CFAOffset: 1, RA: RAAtCFA, Aux: -3}},
		"RBX at CFA-24, put back":       {advance(0x83, 3, 0xc3), Rule{CFA: CFASP, CFAOffset: 1, RA: RAAtCFA}},
		"RBX above CFA":                 {advance(0x11, 3, 0x7f), Rule{CFA: CFASP, CFAOffset: 1, RA: RAAtCFA, Aux: BXLost}},
		"RBX in R8":                     {advance(0x09, 3, 8), Rule{CFA: CFASP, CFAOffset: 1, RA: RAAtCFA, Aux: BXLost}},
		"state and back":                {advance(0x0a, 0x0e, 64, 0x0b), Rule{CFA: CFASP, CFAOffset: 1, RA: RAAtCFA}},
		"by 8 bytes of advance":         {append([]byte{0x1d, 4, 0, 0, 0, 0, 0, 0, 0}, def(16)...), Rule{CFA: CFASP, CFAOffset: 2, RA: RAAtCFA}},
	} {
		t.Run(name, func(t *testing.T) {
			table := mustBuild(t, newSection().fde(at, 0x100, test.instructions...).fde(at+0x100, 0x100, def(16)...))
			for addr, want := range map[uint64]Rule{
				at: {CFA: CFASP, CFAOffset: 1, RA: RAAtCFA}, at + 4: test.want, at + 0xff: test.want, at + 0x100: {CFA: CFASP, CFAOffset: 2, RA: RAAtCFA},
			} {
				if got, _ := table.Find(addr); got != want {
					t.Errorf("%#x: %+v, want %+v", addr, got, want)
				}
			}
			if why := Reason(test.want.Aux); test.want.CFA == CFAUnsupported && table.Stats.Unsupported[why] != 1 {
				t.Errorf("counted as %v", table.Stats.Unsupported)
			}
		})
	}
}

// TestMalformed: entries that lead nowhere are counted, and those around them are read.
func TestMalformed(t *testing.T) {
	itself := entryOf(4, make([]byte, 16)...) // its CIE is itself
	beyond := entryOf(0x7fffffff, make([]byte, 16)...)
	toFDE := func(s *section) []byte { return entryOf(uint32(len(s.b)+4-len(cieOfTest)), make([]byte, 16)...) }
	s := newSection().fde(textVaddr, 0x10)
	s.b = append(s.b, itself...)
	s.b = append(s.b, beyond...)
	s.b = append(s.b, toFDE(s)...)
	s.b = append(s.b, entryOf(uint32(len(s.b)+4), 1, 2, 3)...) // too short for addresses
	s.b = append(s.b, 1, 0, 0, 0, 0xcc)                        // too short for an id
	s.fde(textVaddr+0x10, 0x10)
	s.b = append(s.b, 0xf0, 0xff, 0xff, 0x7f) // longer than the section
	table := mustBuild(t, s)
	if table.Stats.Functions != 2 || table.Stats.Malformed != 6 {
		t.Errorf("%+v, want 2 functions and 6 malformed entries", table.Stats)
	}
}

// repeated reads a file whose bytes from an offset on repeat a pattern, up to a size that no memory holds.
type repeated struct {
	head    []byte
	pattern []byte

	heap uint64 // the most that was in use at a read
}

func (r *repeated) ReadAt(p []byte, off int64) (int, error) {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	r.heap = max(r.heap, m.HeapAlloc)
	n := 0
	if off < int64(len(r.head)) {
		n = copy(p, r.head[off:])
	}
	for at := (off + int64(n) - int64(len(r.head))) % int64(len(r.pattern)); n < len(p); at = 0 {
		n += copy(p[n:], r.pattern[at:])
	}
	return n, nil
}

// TestHuge: large sections end soon and take little memory, whatever they repeat. Those of 4 GiB aren't even begun.
func TestHuge(t *testing.T) {
	for _, size := range []int64{maxFrames, 4 << 30} {
		t.Run(fmt.Sprint(size), func(t *testing.T) { testHuge(t, size) })
	}
}

func testHuge(t *testing.T, size int64) {
	manyRows := newSection().fde(textVaddr, textSize, bytes.Repeat([]byte{0x41, 0x0e, 8, 0x41, 0x0e, 16}, 1000)...).b
	manyCIEs := bytes.Clone(cieOfTest)
	for i := range 200 {
		manyCIEs = append(manyCIEs, entryOf(0, append([]byte{1, 0, 1, 0x78, 16, 0x0c, 7, 8}, bytes.Repeat([]byte{0x0a, 0x0b}, 400+i)...)...)...)
	}
	for name, pattern := range map[string][]byte{
		"entries of a byte": {1, 0, 0, 0, 0xcc},
		"zeros":             {0},
		"CIEs":              cieOfTest,
		"long CIEs":         manyCIEs,
		"one FDE":           newSection().fde(textVaddr, 0x10).b,
		"many rows":         manyRows,
		"ones":              {0xff},
	} {
		t.Run(name, func(t *testing.T) {
			head := image(".eh_frame", uint64(size), nil)
			r := &repeated{head: head, pattern: pattern}
			runtime.GC()
			table, err := Build(io.NewSectionReader(r, 0, size+int64(len(head))), size+int64(len(head)), Options{})
			if r.heap > 64<<20 {
				t.Errorf("%d bytes of heap", r.heap)
			}
			if err != nil && !errors.Is(err, ErrTooLarge) && !errors.Is(err, errTooMuch) && !errors.Is(err, errMalformed) {
				t.Errorf("error %v", err)
			}
			if err == nil {
				checkTable(t, table)
			}
		})
	}
}

// TestManyRules: what finds no place in the dictionary is said to be unsupported.
func TestManyRules(t *testing.T) {
	s := newSection()
	const functions = 70000
	for i := range uint64(functions) {
		s.fde(textVaddr+i, 1, append([]byte{0x0e}, uleb(8*i)...)...)
	}
	table := mustBuild(t, s)
	if len(table.Rules) != maxRules {
		t.Errorf("%d rules", len(table.Rules))
	}
	if got, _ := table.Find(textVaddr + functions - 1); got != unsupported(ReasonTooManyRules) {
		t.Errorf("the last function: %+v", got)
	}
	if got, _ := table.Find(textVaddr + 100); got != (Rule{CFA: CFASP, CFAOffset: 100, RA: RAAtCFA}) {
		t.Errorf("function 100: %+v", got)
	}
	if n := table.Stats.Unsupported[ReasonTooManyRules]; n == 0 {
		t.Error("not counted")
	}
}

func uleb(v uint64) []byte {
	var b []byte
	for ; v >= 0x80; v >>= 7 {
		b = append(b, byte(v)|0x80)
	}
	return append(b, byte(v))
}

func TestTooLarge(t *testing.T) {
	s := newSection().fde(textVaddr, 0x100, append([]byte{0x41}, def(16)...)...).fde(textVaddr+0x100, 0x100)
	file := image(".eh_frame", uint64(len(s.b)), s.b)
	for rows, want := range map[int]error{3: ErrTooLarge, 4: nil} {
		if _, err := Build(bytes.NewReader(file), int64(len(file)), Options{MaxBytes: rows * RowSize}); !errors.Is(err, want) {
			t.Errorf("%d rows: %v", rows, err)
		}
	}
}

func TestRefused(t *testing.T) {
	for name, file := range map[string][]byte{
		"empty":   {},
		"text":    []byte("#!/bin/sh\n"),
		"riscv":   func() []byte { b := image(".eh_frame", 0, nil); b[18] = 243; return b }(),
		"no code": func() []byte { b := image(".eh_frame", 0, nil); b[64+4] = byte(elf.PF_R); return b }(),
	} {
		table, err := buildImage(file)
		if (err == nil) != (name == "no code") || err == nil && len(table.Pages) != 0 {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := Build(failing{}, 1000, Options{}); !errors.Is(err, errFailing) {
		t.Errorf("a file that can't be read: %v", err)
	}
}

var errFailing = fmt.Errorf("input/output error")

type failing struct{}

func (failing) ReadAt([]byte, int64) (int, error) { return 0, errFailing }

// checkTable wants what was built to be searched and encoded.
func checkTable(t *testing.T, table *Table) {
	t.Helper()
	b := encode(t, table)
	if _, err := decode(b); err != nil {
		t.Errorf("what was built can't be decoded: %v", err)
	}
	for _, p := range table.Pages {
		table.Find(table.Base + uint64(p.Number)<<pageBits)
	}
}

// FuzzBuild reads any file.
func FuzzBuild(f *testing.F) {
	for _, compiler := range []string{"gcc", "aarch64-linux-gnu-gcc"} {
		for _, flags := range [][]string{{"-O2"}, {"-g", "-fno-asynchronous-unwind-tables", "-gz"}} {
			file, err := io.ReadAll(open(f, compile(f, compiler, "bare.c", append(flags, "-nostdlib", "-Wl,-z,max-page-size=4096")...)))
			if err != nil {
				f.Fatal(err)
			}
			f.Add(file)
		}
	}
	f.Fuzz(func(t *testing.T, file []byte) {
		if table, err := buildImage(file); err == nil {
			checkTable(t, table)
		}
	})
}

// FuzzFrames reads any call frame information, which the fuzzer wouldn't find in whole files.
func FuzzFrames(f *testing.F) {
	f.Add(newSection().fde(textVaddr, 0x100, 0x41, 0x0e, 16, 0x86, 2, 0x43, 0x0d, 6, 0x0a, 0x60, 0xc6, 0x0c, 7, 8, 0x0b).b, false)
	f.Add(newSection().fde(textVaddr, 0x100, 0x44, 0x0f, 3, 0x76, 0x78, 0x06, 0x10, 6, 2, 0x76, 0).fde(textVaddr+0x80, 7).b, false)
	f.Add(append(entryOf(0xffffffff, 4, 0, 8, 0, 1, 0x78, 16, 0x0c, 7, 8, 0x90, 1), entryOf(0, make([]byte, 20)...)...), true)
	f.Add(entryOf(0, []byte("\x01zPLR\x00\x01\x78\x10\x07\x9b\x00\x00\x00\x00\x1b\x1b\x0c\x07\x08\x90\x01")...), false)
	f.Fuzz(func(t *testing.T, content []byte, debug bool) {
		name := ".eh_frame"
		if debug {
			name = ".debug_frame"
		}
		if table, err := buildImage(image(name, uint64(len(content)), content)); err == nil {
			checkTable(t, table)
		}
	})
}

// FuzzDecode never panics; what it accepts is the same when it is written and read again.
func FuzzDecode(f *testing.F) {
	f.Add(encode(f, build(f, compile(f, "gcc", "bare.c", "-nostdlib"))))
	f.Fuzz(func(t *testing.T, b []byte) {
		if table, err := decode(b); err == nil {
			checkTable(t, table)
		}
	})
}
