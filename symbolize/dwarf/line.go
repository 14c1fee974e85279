// SPDX-License-Identifier: Apache-2.0

package dwarf

import (
	"cmp"
	"path"
	"slices"
	"sort"
)

const (
	maxRows      = 1 << 22 // of one line table
	maxLineFiles = 1 << 20
	maxFormats   = 64
)

// lineTable has the files of a unit's line table.
type lineTable struct {
	unit   *unit
	length uint64 // bytes that it was written in
	dirs   []value
	files  []lineFile
	paths  []string // of files, as far as they were asked for; the last number is that of the last file
}

// lineRows are the rows of a line table, in the order of the program that wrote them. Rows that change neither file nor line are left out.
type lineRows struct {
	rows      []row
	sequences []sequence
	spans     []span
	segments  []segment // of sequences
}

// sequence is a stretch of code whose rows have rising addresses.
type sequence struct {
	lo, hi      uint64
	first, last int32 // rows
}

type row struct{ off, file, line uint32 } // off counts from the sequence's lo

type lineFile struct {
	name value
	dir  uint64
}

func (t *lineTable) cost() int { return 256 + len(t.dirs)*16 + len(t.files)*40 }

func (l *lineRows) reset() {
	l.rows, l.sequences, l.spans, l.segments = l.rows[:0], l.sequences[:0], l.spans[:0], l.segments[:0]
}

// order sorts out which sequence an address belongs to. One without an end, where the program is cut off, has none.
func (l *lineRows) order() {
	for i, s := range l.sequences {
		if s.hi <= s.lo {
			continue
		}
		l.spans = append(l.spans, span{s.lo, s.hi, int32(i)})
	}
	l.segments = flatten(l.segments, l.spans)
}

// each calls visit for where rows begin and sequences end, by address.
func (l *lineRows) each(visit func(start uint64, r row)) {
	for i, s := range l.segments {
		if s.owner == noScope {
			visit(s.start, row{file: noFile})
			continue
		}
		end := ^uint64(0)
		if i+1 < len(l.segments) {
			end = l.segments[i+1].start
		}
		q := l.sequences[s.owner]
		rows := l.rows[q.first:q.last]
		first := sort.Search(len(rows), func(k int) bool { return q.lo+uint64(rows[k].off) > s.start }) - 1
		for _, r := range rows[max(first, 0):] {
			at := q.lo + uint64(r.off)
			if at >= end {
				break
			}
			visit(max(at, s.start), r)
		}
	}
}

// path is the name of a file with its folders; "" for a number that the table doesn't have.
func (t *lineTable) path(n uint32) (string, error) {
	if uint64(n) < uint64(len(t.paths)) && t.paths[n] != "" {
		return t.paths[n], nil
	}
	return t.readPath(n)
}

func (t *lineTable) readPath(n uint32) (string, error) {
	if uint64(n) > uint64(len(t.files)) {
		return "", nil
	}
	if t.paths == nil {
		t.paths = make([]string, len(t.files)+1)
	}
	p, err := t.join(n)
	if err != nil {
		return "", err
	}
	t.paths[n] = p[:min(len(p), maxString)]
	return t.paths[n], nil
}

// join puts the name of a file together: relative to its folder, and that to the unit's. Files count from 1 and folder 0 is the unit's
// own, up to DWARF 4; from 5 on both count from 0, and the first folder is the unit's, which may itself be relative.
func (t *lineTable) join(n uint32) (string, error) {
	u := t.unit
	i := uint64(n)
	if u.linesVersion < 5 {
		i--
	}
	if i >= uint64(len(t.files)) {
		return "", nil
	}
	f := t.files[i]
	name, err := u.string(f.name)
	if err != nil || name == "" || path.IsAbs(name) {
		return clean(name), err
	}
	dir := ""
	if u.linesVersion < 5 {
		f.dir--
	}
	if f.dir < uint64(len(t.dirs)) {
		if dir, err = u.string(t.dirs[f.dir]); err != nil {
			return "", err
		}
	}
	if !path.IsAbs(dir) && (u.linesVersion < 5 || f.dir != 0) {
		root, err := u.string(u.dir)
		if err != nil {
			return "", err
		}
		dir = path.Join(root, dir)
	}
	return path.Join(dir, name), nil
}

func clean(name string) string {
	if name == "" {
		return ""
	}
	return path.Clean(name)
}

// lineProgram runs the program that a line table is written as (DWARF 5, 6.2).
type lineProgram struct {
	*lineTable
	*lineRows
	c        *cursor
	isCode   func(uint64) bool
	encoding // of the header

	minInst, opcodeBase, lineRange uint8
	lineBase                       int8
	lengths                        []uint8 // number of operands by opcode

	addr       uint64
	file, line uint64
	begun      bool // a sequence
	unordered  bool // and its addresses fall
}

// readLines reads the line table of a unit. Its rows are left in the scratch.
func (u *unit) readLines(isCode func(uint64) bool) (*lineTable, error) {
	s := u.file.line
	p := &lineProgram{lineTable: &lineTable{unit: u}, lineRows: &u.file.scratch.lines, isCode: isCode, c: u.file.stream(s)}
	p.lineRows.reset()
	p.c.seek(u.lines.u, s.size)
	end, is64 := p.c.initialLength()
	p.c.seek(p.c.off(), end)
	p.is64, p.length = is64, p.c.left()
	p.readHeader()
	for p.c.err == nil && p.c.left() > 0 {
		p.step()
	}
	p.order()
	return p.lineTable, p.c.err
}

func (p *lineProgram) readHeader() {
	c := p.c
	p.version = uint8(min(c.u16(), 255))
	if p.version < 2 || p.version > 5 {
		c.badf("line table of version %d", p.version)
		return
	}
	p.unit.linesVersion, p.addrSize = p.version, 8
	if p.version >= 5 {
		c.skip(2) // sizes of addresses and segment selectors
	}
	length := c.word(p.is64)
	program := c.off() + length
	p.minInst = c.u8()
	if p.version >= 4 {
		c.u8() // operations in an instruction: 1 but for VLIW machines
	}
	c.u8() // whether rows start as statements
	p.lineBase, p.lineRange, p.opcodeBase = int8(c.u8()), c.u8(), c.u8()
	for i := 1; i < int(p.opcodeBase); i++ {
		p.lengths = append(p.lengths, c.u8())
	}
	if p.version >= 5 {
		p.readEntries(func(name value, _ uint64) { p.dirs = append(p.dirs, name) })
		p.readEntries(func(name value, dir uint64) { p.files = append(p.files, lineFile{name, dir}) })
	} else {
		p.readOldFiles()
	}
	if c.err == nil && (p.lineRange == 0 || p.opcodeBase == 0 || program < c.off() || length > c.end) {
		c.badf("malformed header")
		return
	}
	c.seekOn(program)
	p.reset()
}

// readOldFiles reads the folders and files of tables up to version 4: strings in place.
func (p *lineProgram) readOldFiles() {
	for p.c.err == nil && len(p.dirs) < maxLineFiles {
		v, ok := p.inline()
		if !ok {
			break
		}
		p.dirs = append(p.dirs, v)
	}
	for p.c.err == nil && p.readOldFile() {
		continue
	}
}

// inline reads a string in place; false for the empty one that ends a list.
func (p *lineProgram) inline() (value, bool) {
	v := value{formLineInline, p.c.off()}
	p.c.skipString()
	return v, p.c.err == nil && p.c.off() > v.u+1
}

func (p *lineProgram) readOldFile() bool {
	name, ok := p.inline()
	if !ok || len(p.files) >= maxLineFiles {
		return false
	}
	dir := p.c.uleb()
	p.c.uleb() // time
	p.c.uleb() // size
	p.files = append(p.files, lineFile{name, dir})
	return true
}

const (
	lnctPath      = 1
	lnctDirectory = 2
)

// readEntries reads the folders or the files of a table of version 5: a description of their fields, then the entries.
func (p *lineProgram) readEntries(add func(name value, dir uint64)) {
	c := p.c
	var formats [maxFormats]struct {
		content uint64
		form    form
	}
	n := int(c.u8())
	if n > maxFormats {
		c.badf("entries of %d fields", n)
		return
	}
	for i := range n {
		formats[i].content, formats[i].form = c.uleb(), form(min(c.uleb(), 0xffff))
	}
	count := c.uleb()
	if count > 0 && (n == 0 || count > min(maxLineFiles, c.left())) {
		c.badf("%d entries of %d fields", count, n)
		return
	}
	for range count {
		var name value
		var dir uint64
		for _, f := range formats[:n] {
			v := c.read(f.form, 0, p.encoding)
			switch f.content {
			case lnctPath:
				if v.form == formString {
					v.form = formLineInline
				}
				name = v
			case lnctDirectory:
				dir = v.u
			}
		}
		if c.err != nil {
			return
		}
		add(name, dir)
	}
}

// Opcodes (DWARF 5, 7.22).
const (
	lnsExtended       = 0
	lnsCopy           = 1
	lnsAdvancePC      = 2
	lnsAdvanceLine    = 3
	lnsSetFile        = 4
	lnsConstAddPC     = 8
	lnsFixedAdvancePC = 9

	lneEndSequence = 1
	lneSetAddress  = 2
	lneDefineFile  = 3
)

func (p *lineProgram) reset() {
	p.addr, p.file, p.line, p.begun, p.unordered = 0, 1, 1, false, false
}

// step runs one instruction.
func (p *lineProgram) step() {
	op := p.c.u8()
	if op >= p.opcodeBase {
		p.advance(uint64((op - p.opcodeBase) / p.lineRange))
		p.line += uint64(int64(p.lineBase) + int64((op-p.opcodeBase)%p.lineRange))
		p.emit()
		return
	}
	switch op {
	case lnsExtended:
		p.extended()
	case lnsCopy:
		p.emit()
	case lnsAdvancePC:
		p.advance(p.c.uleb())
	case lnsAdvanceLine:
		p.line += uint64(p.c.sleb())
	case lnsSetFile:
		p.file = p.c.uleb()
	case lnsConstAddPC:
		p.advance(uint64((255 - p.opcodeBase) / p.lineRange))
	case lnsFixedAdvancePC:
		p.addr += uint64(p.c.u16())
	default:
		for range p.lengths[op-1] {
			p.c.uleb()
		}
	}
}

func (p *lineProgram) advance(n uint64) { p.addr += n * uint64(p.minInst) }

func (p *lineProgram) extended() {
	size := p.c.uleb()
	if size == 0 || size > p.c.left() {
		p.c.badf("instruction of %d bytes", size)
		return
	}
	next := p.c.off() + size
	switch p.c.u8() {
	case lneEndSequence:
		p.endSequence()
	case lneSetAddress:
		if size == 9 {
			p.addr = p.c.u64()
		}
	case lneDefineFile:
		p.readOldFile()
	}
	p.c.seekOn(next)
}

// emit adds a row. Of several rows at one address the last one counts.
func (p *lineProgram) emit() {
	if !p.begun {
		p.begun = true
		n := int32(len(p.rows))
		p.sequences = append(p.sequences, sequence{lo: p.addr, first: n, last: n})
	}
	s := &p.sequences[len(p.sequences)-1]
	r := row{uint32(p.addr - s.lo), uint32(min(p.file, 1<<32-1)), uint32(p.line)}
	if p.addr-s.lo > 1<<32-1 || len(p.rows) == maxRows {
		p.c.badf("more than %d rows, or addresses that fall", maxRows)
		return
	}
	if n := len(p.rows); s.last > s.first {
		switch last := &p.rows[n-1]; {
		case last.off == r.off:
			*last = r
			return
		case last.off > r.off:
			p.unordered = true
		case last.file == r.file && last.line == r.line:
			return
		}
	}
	p.rows = append(p.rows, r)
	s.last++
}

// endSequence closes the sequence, and forgets it when it is about code that the linker left out.
func (p *lineProgram) endSequence() {
	if p.begun {
		s := &p.sequences[len(p.sequences)-1]
		s.hi = p.addr
		if p.unordered {
			slices.SortStableFunc(p.rows[s.first:s.last], func(a, b row) int { return cmp.Compare(a.off, b.off) })
		}
		if s.hi <= s.lo || !p.isCode(s.lo) {
			p.rows = p.rows[:s.first]
			p.sequences = p.sequences[:len(p.sequences)-1]
		}
	}
	p.reset()
}
