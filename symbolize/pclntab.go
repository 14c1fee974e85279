// SPDX-License-Identifier: Apache-2.0

package symbolize

import (
	"encoding/binary"
	"errors"
	"fmt"
	"sort"
	"strings"

	"github.com/assaylab/assay/internal/elfx"
	"github.com/assaylab/assay/symbolize/internal/pager"
)

// A Go program carries pclntab, which its runtime needs to print stacks, so it is there in stripped programs too. It is a
// header, tables of strings and of varints, and functab: the functions sorted by address, each with the offset of its _func
// record. We search functab and read only what an address needs.
//
// Formats: runtime/symtab.go, runtime/symtabinl.go, cmd/link/internal/ld/pcln.go and internal/abi/symtab.go of the Go tree,
// and for the oldest golang.org/s/go12symtab. Left out: inlined calls of programs by Go before 1.20, whose records differ
// (such an address has the name of the outer function and the line of the inlined one, as in debug/gosym), and programs by Go
// before 1.18 whose functab is empty until the dynamic linker fills it.

var errGoTable = errors.New("malformed pclntab")

const (
	maxGoInline = 128     // calls inlined into each other
	maxGoSteps  = 1 << 27 // steps through varint tables for one file: about a second
)

// goVersion is the first release with a format of pclntab.
type goVersion int

const (
	go12  goVersion = 2
	go116 goVersion = 16
	go118 goVersion = 18
	go120 goVersion = 20
)

var goMagics = map[uint32]goVersion{0xfffffffb: go12, 0xfffffffa: go116, 0xfffffff0: go118, 0xfffffff1: go120}

// goTable is an open pclntab. Its offsets count from the start of the table.
type goTable struct {
	file    *elfx.File
	tab     *pager.Pager
	vaddr   uint64 // of the table
	version goVersion
	quantum uint64 // smallest instruction in bytes

	numFuncs                                  uint64
	funcNames, cuTab, fileTab, pcTab, funcTab uint64
	funcBase                                  uint64 // what offsets in functab count from

	module goModule
	steps  int
}

// goFunc is the part of a _func record that we use.
type goFunc struct {
	entry, end   uint64 // vaddrs
	name         uint32 // offset in the table of names
	pcFile, pcLn uint32 // offsets in pctab
	cu           uint32
	startLine    uint32
	pcInline     uint32 // offset in pctab; 0 when nothing is inlined
	inlineTree   uint32 // from module.gofunc
}

// findGoFrames fills in the frames of the addresses that pclntab covers. Files without one are no error.
func findGoFrames(f *elfx.File, want addrs, found [][]frame) error {
	t, err := openGoTable(f)
	if t == nil {
		return err
	}
	for i, pc := range want {
		if found[i], err = t.frames(pc); err != nil {
			return fmt.Errorf("%w: %w", errGoTable, err)
		}
	}
	return nil
}

// parseHeader reads the header of the table in t.tab.
func (t *goTable) parseHeader() error {
	var h [8 + 8*8]byte
	if err := t.tab.Read(h[:], 0); err != nil {
		return err
	}
	le := binary.LittleEndian
	version, ok := goMagics[le.Uint32(h[:])]
	if !ok || h[4] != 0 || h[5] != 0 || h[6] != 1 && h[6] != 2 && h[6] != 4 || h[7] != 8 {
		return errors.New("unknown header")
	}
	word := func(i int) uint64 { return le.Uint64(h[8+8*i:]) }
	t.version, t.quantum, t.numFuncs = version, uint64(h[6]), word(0)
	if t.numFuncs == 0 || t.numFuncs > t.tab.Size()/8 {
		return fmt.Errorf("%d functions", t.numFuncs)
	}
	switch version {
	case go12:
		t.funcTab = 16
		return t.findOldFiles()
	case go116:
		t.funcNames, t.cuTab, t.fileTab, t.pcTab, t.funcBase = word(2), word(3), word(4), word(5), word(6)
	default: // word 2 was the start of the text until Go 1.25
		t.funcNames, t.cuTab, t.fileTab, t.pcTab, t.funcBase = word(3), word(4), word(5), word(6), word(7)
	}
	t.funcTab = t.funcBase
	return nil
}

// findOldFiles reads where Go before 1.16 has its table of files: behind functab.
func (t *goTable) findOldFiles() error {
	off, err := t.tab.Uint32(t.funcTab + (2*t.numFuncs+1)*8)
	t.fileTab = uint64(off)
	return err
}

// checkBounds refuses tables that don't fit their section, so that sums of offsets can't overflow later.
func (t *goTable) checkBounds() error {
	for _, off := range []uint64{t.funcNames, t.cuTab, t.fileTab, t.pcTab, t.funcTab} {
		if off >= t.tab.Size() {
			return fmt.Errorf("table at %#x of %#x bytes", off, t.tab.Size())
		}
	}
	if t.funcTab+(2*t.numFuncs+1)*t.fieldSize() > t.tab.Size() {
		return fmt.Errorf("%d functions in %#x bytes", t.numFuncs, t.tab.Size())
	}
	return nil
}

// fieldSize is the size of the two fields of an entry of functab.
func (t *goTable) fieldSize() uint64 {
	if t.version >= go118 {
		return 4
	}
	return 8
}

// field reads a field of functab: entries have a pc and an offset, and one last pc ends the table.
func (t *goTable) field(i uint64) (uint64, error) {
	if t.version >= go118 {
		v, err := t.tab.Uint32(t.funcTab + 4*i)
		return uint64(v), err
	}
	return t.tab.Uint64(t.funcTab + 8*i)
}

// pc is the vaddr at which function i starts.
func (t *goTable) pc(i uint64) (uint64, error) {
	v, err := t.field(2 * i)
	if t.version >= go118 {
		v += t.module.text
	}
	return v, err
}

// find gives the function around a vaddr, false when the table doesn't cover it.
func (t *goTable) find(pc uint64) (goFunc, bool, error) {
	var failed error
	n := sort.Search(int(t.numFuncs)+1, func(i int) bool {
		start, err := t.pc(uint64(i))
		if err != nil {
			failed = err
		}
		return start > pc
	})
	if failed != nil || n == 0 || n > int(t.numFuncs) {
		return goFunc{}, false, failed
	}
	off, err := t.field(2*uint64(n-1) + 1)
	if err != nil || off >= t.tab.Size() {
		return goFunc{}, false, err
	}
	f, err := t.readFunc(t.funcBase + off)
	if err != nil {
		return goFunc{}, false, err
	}
	if f.entry, err = t.pc(uint64(n - 1)); err != nil {
		return goFunc{}, false, err
	}
	f.end, err = t.pc(uint64(n))
	return f, true, err
}

// readFunc reads a _func record: its entry, of 4 bytes from Go 1.18 on and of 8 before, then fields of 4 bytes.
func (t *goTable) readFunc(off uint64) (goFunc, error) {
	entry := uint64(4)
	if t.version < go118 {
		entry = 8
	}
	var b [40]byte // nameOff, args, deferreturn, pcsp, pcfile, pcln, npcdata, cuOffset, startLine, funcID…nfuncdata
	fields := b[:]
	if t.version < go120 {
		fields = b[:32]
	}
	if err := t.tab.Read(fields, off+entry); err != nil {
		return goFunc{}, err
	}
	word := func(i int) uint32 { return binary.LittleEndian.Uint32(b[4*i:]) }
	f := goFunc{name: word(0), pcFile: word(4), pcLn: word(5), cu: word(7)}
	if t.version < go120 {
		return f, nil
	}
	f.startLine = word(8)
	return f, t.readInline(&f, off+44, uint64(word(6)), uint64(b[39]))
}

// Indexes of the tables that follow a _func record (internal/abi).
const (
	pcdataInlineIndex  = 2
	funcdataInlineTree = 3
)

// readInline reads where a function has its inlined calls, from the offsets of its pcdata and funcdata at off.
func (t *goTable) readInline(f *goFunc, off, pcdata, funcdata uint64) error {
	if pcdata <= pcdataInlineIndex || funcdata <= funcdataInlineTree || t.module.gofunc == 0 {
		return nil
	}
	tree, err := t.tab.Uint32(off + 4*(pcdata+funcdataInlineTree))
	if err != nil || tree == ^uint32(0) {
		return err
	}
	f.inlineTree = tree
	f.pcInline, err = t.tab.Uint32(off + 4*pcdataInlineIndex)
	return err
}

// frames gives the functions around a vaddr, inlined ones first; nil where there is none.
func (t *goTable) frames(pc uint64) ([]frame, error) {
	f, ok, err := t.find(pc)
	if !ok {
		return nil, err
	}
	name, err := t.name(f.name)
	if err != nil || name == "" {
		return nil, err
	}
	var frames []frame
	for range maxGoInline {
		call, inlined, err := t.inlinedCall(&f, pc)
		if err != nil {
			return nil, err
		}
		fr, err := t.position(&f, pc)
		if err != nil {
			return nil, err
		}
		if !inlined {
			return append(frames, fr.named(name, f.startLine)), nil
		}
		frames = append(frames, fr.named(call.name, call.startLine))
		pc = f.entry + uint64(call.parent)
	}
	return nil, fmt.Errorf("more than %d inlined calls at %#x", maxGoInline, pc)
}

// named completes a frame that has a file and line.
func (fr frame) named(symbol string, start uint32) frame {
	fr.symbol, fr.name, fr.start = symbol, goName(symbol), int64(int32(start))
	return fr
}

// goName leaves out the type arguments of a generic function, as the Go runtime does when it prints stacks and profiles.
func goName(symbol string) string {
	open, end := strings.IndexByte(symbol, '['), strings.LastIndexByte(symbol, ']')
	if open < 0 || end <= open {
		return symbol
	}
	return symbol[:open] + "[...]" + symbol[end+1:]
}

// position is a frame with the file and line of pc.
func (t *goTable) position(f *goFunc, pc uint64) (frame, error) {
	line, ok, err := t.value(f, f.pcLn, pc)
	if err != nil || !ok {
		return frame{}, err
	}
	number, ok, err := t.value(f, f.pcFile, pc)
	if err != nil || !ok {
		return frame{}, err
	}
	file, err := t.fileName(f, number)
	return frame{file: file, line: int64(line)}, err
}

// fileName turns the number of a file, counted in its compilation unit from Go 1.16 on, into its name.
func (t *goTable) fileName(f *goFunc, number int32) (string, error) {
	if number < 0 || number == 0 && t.version == go12 {
		return "", nil
	}
	if t.version == go12 {
		off, err := t.tab.Uint32(t.fileTab + 4*uint64(number))
		if err != nil {
			return "", err
		}
		return t.string(uint64(off))
	}
	off, err := t.tab.Uint32(t.cuTab + 4*(uint64(f.cu)+uint64(number)))
	if err != nil || off == ^uint32(0) {
		return "", err
	}
	return t.string(t.fileTab + uint64(off))
}

func (t *goTable) name(off uint32) (string, error) { return t.string(t.funcNames + uint64(off)) }

func (t *goTable) string(off uint64) (string, error) {
	var buf [128]byte
	s, err := t.tab.CString(buf[:0], off, maxSymbol)
	return string(s), err
}

// value looks pc up in a table of f: pairs of a change of the value and the distance to the next pair, both varints. It is
// false when the function has no such table or the table ends before pc.
func (t *goTable) value(f *goFunc, table uint32, pc uint64) (int32, bool, error) {
	if table == 0 {
		return 0, false, nil
	}
	off, value, at := t.pcTab+uint64(table), int32(-1), f.entry
	for first := true; ; first = false {
		if t.steps++; t.steps > maxGoSteps {
			return 0, false, errors.New("line tables too long")
		}
		change, err := t.varint(&off)
		if err != nil || change == 0 && !first {
			return 0, false, err
		}
		distance, err := t.varint(&off)
		if err != nil {
			return 0, false, err
		}
		value += int32(change>>1) ^ -int32(change&1)
		at += uint64(distance) * t.quantum
		if pc < at {
			return value, true, nil
		}
	}
}

// varint reads a number in groups of 7 bits, the lowest first, and moves off behind it.
func (t *goTable) varint(off *uint64) (uint32, error) {
	var v uint32
	for shift := 0; shift < 35; shift += 7 {
		b, err := t.tab.Uint8(*off)
		if err != nil {
			return 0, err
		}
		*off++
		v |= uint32(b&0x7f) << shift
		if b < 0x80 {
			return v, nil
		}
	}
	return 0, fmt.Errorf("varint too long at %#x", *off)
}

// goCall is a record of the inline tree: a function whose call was inlined, and an address whose position is that of the call.
type goCall struct {
	name      string
	parent    uint32 // from the entry of the function
	startLine uint32
}

const goCallSize = 16 // funcID and padding, nameOff, parentPc, startLine

// inlinedCall gives the innermost inlined call at pc. A record that makes no sense counts as none: then the tree isn't where
// we think, and the function itself is still right.
func (t *goTable) inlinedCall(f *goFunc, pc uint64) (goCall, bool, error) {
	index, ok, err := t.value(f, f.pcInline, pc)
	if err != nil || !ok || index < 0 {
		return goCall{}, false, err
	}
	off, left, ok := t.file.Offset(t.module.gofunc + uint64(f.inlineTree) + goCallSize*uint64(index))
	if !ok || left < goCallSize {
		return goCall{}, false, nil
	}
	var b [goCallSize]byte
	if err := t.file.ReadAt(b[:], off); err != nil {
		return goCall{}, false, err
	}
	le := binary.LittleEndian
	call := goCall{parent: le.Uint32(b[8:]), startLine: le.Uint32(b[12:])}
	if uint64(call.parent) >= f.end-f.entry || !t.nameStarts(le.Uint32(b[4:])) {
		return goCall{}, false, nil
	}
	call.name, err = t.name(le.Uint32(b[4:]))
	return call, err == nil && call.name != "", err
}

// nameStarts says whether a name begins at an offset: right behind the end of another.
func (t *goTable) nameStarts(off uint32) bool {
	if off == 0 {
		return true
	}
	before, err := t.tab.Uint8(t.funcNames + uint64(off) - 1)
	return err == nil && before == 0
}
