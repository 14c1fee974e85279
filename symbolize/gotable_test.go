// SPDX-License-Identifier: Apache-2.0

package symbolize

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/assaylab/assay/internal/elfx"
)

// image is a small ELF file that is made piece by piece; its bytes lie at imageBase in memory.
type image struct{ b []byte }

const (
	imageBase = 0x400000
	imageText = imageBase + 0x8000 // no bytes there: looking up needs none
)

func (m *image) add(values ...any) {
	for _, v := range values {
		switch v := v.(type) {
		case string:
			m.b = append(m.b, v...)
		case []byte:
			m.b = append(m.b, v...)
		default:
			var b bytes.Buffer
			if err := binary.Write(&b, binary.LittleEndian, v); err != nil {
				panic(err)
			}
			m.b = append(m.b, b.Bytes()...)
		}
	}
}

func (m *image) align() {
	for len(m.b)%8 != 0 {
		m.b = append(m.b, 0)
	}
}

func (m *image) here() uint64 { return uint64(len(m.b)) }

// newImage leaves room for the ELF header and one program header; finish fills them in.
func newImage() *image { return &image{make([]byte, 64+56)} }

// section is a stretch of an image that gets a section header.
type section struct {
	name      string
	typ       elf.SectionType
	off, size uint64
	link      uint32
}

// finish adds section headers, which count from 1, and gives the file.
func (m *image) finish(sections ...section) []byte {
	m.align()
	names, offset := "\x00", m.here()
	for _, s := range sections {
		names += s.name + "\x00"
	}
	m.add(names)
	m.align()
	headers := m.here()
	m.add(make([]byte, 64))
	for _, s := range append(sections, section{"", elf.SHT_STRTAB, offset, uint64(len(names)), 0}) {
		m.add(uint32(strings.Index(names, "\x00"+s.name+"\x00")+1), uint32(s.typ), uint64(elf.SHF_ALLOC), imageBase+s.off, s.off, s.size)
		m.add(s.link, make([]byte, 20))
	}
	num := uint16(len(sections) + 2)
	size := max(m.here(), 0x10000)
	var head image
	head.add(elf.ELFMAG, []byte{2, 1, 1, 0}, make([]byte, 8), uint16(elf.ET_EXEC), uint16(elf.EM_X86_64), uint32(1), uint64(imageText))
	head.add(uint64(64), headers, uint32(0), uint16(64), uint16(56), uint16(1), uint16(64), num, num-1)
	head.add(uint32(elf.PT_LOAD), uint32(elf.PF_R|elf.PF_W|elf.PF_X), uint64(0), uint64(imageBase), uint64(imageBase))
	head.add(size, size, uint64(0x1000))
	copy(m.b, head.b)
	return append(m.b, make([]byte, size-m.here())...)
}

const (
	goNames  = "main.a\x00main.b\x00main.inner\x00"
	pcFileAt = 1
	pcLineAt = 5
)

// goVarints are the tables of one function of 0x100 bytes: file 0 all over; line 10, and from 0x10 on line 20; inlined call 0
// from 0x20 to 0x40.
var goVarints = []byte{
	0,
	2, 0x80, 2, 0,
	22, 0x10, 20, 0xf0, 1, 0,
	0, 0x20, 2, 0x20, 1, 0xc0, 1, 0,
}

// goImage is a program with two functions, main.a at imageText and main.b 0x100 behind, and a pclntab of the given version.
func goImage(version goVersion) []byte {
	if version == go12 {
		return go12Image()
	}
	m := newImage()
	m.align()
	table := m.here()
	magic := map[goVersion]uint32{go116: 0xfffffffa, go118: 0xfffffff0, go120: 0xfffffff1}[version]
	words := []uint64{2, 1}
	headerSize := uint64(8 + 7*8)
	if version >= go118 {
		words, headerSize = append(words, 0), 8+8*8
	}
	nameTab := headerSize
	cuTab := nameTab + uint64(len(goNames)) + 5 // to a multiple of 4
	fileTab := cuTab + 4
	pcTab := fileTab + 5
	funcTab := (pcTab + uint64(len(goVarints)) + 7) &^ 7
	m.add(magic, []byte{0, 0, 1, 8}, append(words, nameTab, cuTab, fileTab, pcTab, funcTab))
	m.add(goNames, make([]byte, 5), uint32(0), "a.go\x00", goVarints)
	m.align()
	funcs := m.functab(version)
	for i := range 2 {
		m.record(version, funcs, i)
	}
	size := m.here() - table
	m.align()
	tree := m.here()
	m.add(uint32(0), uint32(len("main.a\x00main.b\x00")), uint32(0x05), uint32(7))
	module := make([]uint64, 41)
	module[0], module[1] = imageBase+table, imageBase+table+nameTab
	module[moduleMinPC/8], module[moduleMaxPC/8] = imageText, imageText+0x200
	module[moduleText/8], module[moduleFunc/8] = imageText, imageBase+tree
	m.add(module)
	return m.finish(section{".gopclntab", elf.SHT_PROGBITS, table, size, 0})
}

// functab adds the table, and gives the size of a record of it.
func (m *image) functab(version goVersion) uint64 {
	const record = 80
	switch {
	case version >= go118:
		m.add([]uint32{0, 20 + 4, 0x100, 20 + 4 + record, 0x200}, uint32(0))
	default:
		m.add([]uint64{imageText, 40, imageText + 0x100, 40 + record, imageText + 0x200})
	}
	return record
}

// record adds the _func of function i, padded to size bytes.
func (m *image) record(version goVersion, size uint64, i int) {
	start := m.here()
	if version >= go118 {
		m.add(uint32(i * 0x100))
	} else {
		m.add(uint64(imageText + i*0x100))
	}
	name := uint32(i * len("main.a\x00"))
	m.add(name, uint32(0), uint32(0), uint32(0), uint32(pcFileAt), uint32(pcLineAt))
	if version >= go120 {
		m.add(uint32(3), uint32(0), uint32(5+i), []byte{0, 0, 0, 4}) // npcdata, cuOffset, startLine, funcID to nfuncdata
		m.add([]uint32{0, 0, 11}, []uint32{^uint32(0), ^uint32(0), ^uint32(0), 0})
	} else {
		m.add(uint32(0), uint32(0), uint32(0))
	}
	m.add(make([]byte, start+size-m.here()))
}

// go12Image has the layout of Go 1.2 to 1.15, where all offsets count from the start of the table.
func go12Image() []byte {
	const funcs, fileTab = 16 + 40 + 8, 16 + 40 + 8 + 2*40
	const fileName, nameAt = fileTab + 8, fileTab + 8 + 8
	varints := nameAt + len(goNames)
	m := newImage()
	table := m.here()
	m.add(uint32(0xfffffffb), []byte{0, 0, 1, 8}, uint64(2))
	m.add([]uint64{imageText, funcs, imageText + 0x100, funcs + 40, imageText + 0x200}, uint32(fileTab), uint32(0))
	for i := range 2 {
		m.add(uint64(imageText+i*0x100), uint32(nameAt+i*len("main.a\x00")), uint32(0), uint32(0), uint32(0))
		m.add(uint32(varints+pcFileAt), uint32(varints+pcLineAt), uint32(0), uint32(0))
	}
	m.add(uint32(2), uint32(fileName), "a.go\x00\x00\x00\x00", goNames)
	m.add(goVarints)
	m.b[table+uint64(varints)+pcFileAt] = 4 // file 1: the first number is the count of the table
	return m.finish(section{".gopclntab", elf.SHT_PROGBITS, table, m.here() - table, 0})
}

func openImage(t testing.TB, b []byte) *elfx.File {
	t.Helper()
	f, err := elfx.Open(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// TestGoVersions reads each format of pclntab. (By hand, programs by Go 1.15, 1.17, 1.19, 1.20 and 1.21 were compared with
// go tool addr2line on 4,000 addresses each, stripped, position-independent and plain, without a difference.)
func TestGoVersions(t *testing.T) {
	for version, start := range map[goVersion]int64{go12: 0, go116: 0, go118: 0, go120: 5} {
		t.Run(fmt.Sprintf("1.%d", version), func(t *testing.T) {
			frameOf := func(name string, line, start int64) frame {
				return frame{name: name, symbol: name, file: "a.go", line: line, start: start}
			}
			second := start
			if start != 0 {
				second++
			}
			inlined := []frame{frameOf("main.a", 20, start)}
			if version >= go120 {
				inlined = []frame{frameOf("main.inner", 20, 7), frameOf("main.a", 10, start)}
			}
			want := addrs{imageText - 1, imageText, imageText + 0xf, imageText + 0x10, imageText + 0x25, imageText + 0x1ff, imageText + 0x200}
			wantFrames := [][]frame{
				nil,
				{frameOf("main.a", 10, start)},
				{frameOf("main.a", 10, start)},
				{frameOf("main.a", 20, start)},
				inlined,
				{frameOf("main.b", 20, second)},
				nil,
			}
			found := make([][]frame, len(want))
			if err := findGoFrames(openImage(t, goImage(version)), want, found); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(wantFrames, found, cmp.AllowUnexported(frame{})); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// TestBadGoTables changes one thing in a good table.
func TestBadGoTables(t *testing.T) {
	good := goImage(go120)
	section, _ := openImage(t, good).Section(".gopclntab")
	at := section.Off
	put64 := func(off, v uint64) func([]byte) {
		return func(b []byte) { binary.LittleEndian.PutUint64(b[at+off:], v) }
	}
	for _, tc := range []struct {
		name, want string
		change     func(b []byte)
	}{
		{"magic", "unknown header", func(b []byte) { b[at]++ }},
		{"pointer size", "unknown header", func(b []byte) { b[at+7] = 4 }},
		{"no functions", "0 functions", put64(8, 0)},
		{"too many functions", "functions", put64(8, 1<<61)},
		{"more functions than fit", "functions", put64(8, section.Size/8)},
		{"names outside", "table at", put64(8+3*8, 1<<63)},
		{"functab at the end", "functions in", put64(8+7*8, section.Size-1)},
		{"no moduledata", "no moduledata", put64(8+3*8, 80)},
		{"another moduledata", "unknown layout", func(b []byte) {
			i := bytes.LastIndex(b, binary.LittleEndian.AppendUint64(nil, imageText))
			binary.LittleEndian.PutUint64(b[i:], imageText+8)
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			b := bytes.Clone(good)
			tc.change(b)
			err := findGoFrames(openImage(t, b), addrs{imageText}, make([][]frame, 1))
			if !errors.Is(err, errGoTable) || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("error %v, want %q in it", err, tc.want)
			}
		})
	}
}

// TestEndlessVarints: a table whose steps never reach the address ends with the budget.
func TestEndlessVarints(t *testing.T) {
	f := openImage(t, goImage(go120))
	table, err := openGoTable(f)
	if err != nil {
		t.Fatal(err)
	}
	table.steps = maxGoSteps
	if _, err := table.frames(imageText); err == nil || !strings.Contains(err.Error(), "too long") {
		t.Errorf("error %v, want one about tables that are too long", err)
	}
}

// FuzzFile reads everything in an ELF file that naming needs. It fails on panics, on names beyond their bounds, and on hangs.
func FuzzFile(f *testing.F) {
	for _, version := range []goVersion{go12, go116, go118, go120} {
		f.Add(goImage(version)[:0x800])
	}
	f.Add(symbolImage(f))
	f.Fuzz(func(t *testing.T, b []byte) {
		file, err := elfx.Open(bytes.NewReader(b), int64(len(b)))
		if err != nil {
			return
		}
		want := addrs{0, imageBase + 0x1000, imageText, imageText + 0x25, imageText + 0x100, 1 << 40, ^uint64(0)}
		found := findFrames(file, "", want, &Options{})
		for _, frames := range found.frames {
			if len(frames) > maxGoInline {
				t.Errorf("%d frames", len(frames))
			}
			for _, fr := range frames {
				if len(fr.symbol) > maxSymbol || len(fr.file) > maxSymbol || fr.symbol == "" {
					t.Errorf("symbol of %d bytes, file of %d", len(fr.symbol), len(fr.file))
				}
			}
		}
	})
}

// symbolImage is a small program with symbols.
func symbolImage(t testing.TB) []byte {
	const text = ".globl _start\n.type _start,@function\n_start: ret\n.size _start, .-_start\nlabel: ret\n.section .x,\"ax\"\nother: ret\n"
	return readFile(t, compile(t, "a.s", text, "gcc", "-nostdlib", "-static", "-Wl,-n,-Ttext=0x401000"))
}
