// SPDX-License-Identifier: Apache-2.0

package symbolize

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"sort"

	"github.com/google/pprof/profile"
)

// A jitdump (jit-PID.dump; tools/perf/Documentation/jitdump-specification.txt of the kernel) is a header and records, each of u32
// type, u32 size of all of it, u64 time. A record of lines comes before the record of the code that it is about.
const (
	jitMagic      = 0x4a695444
	jitMagicOther = 0x4454694a // of the other byte order
	jitHeader     = 40
	jitRecord     = 16

	jitLoad  = 0 // u32 pid, tid; u64 vma, address, size, index; name, 0; code
	jitMove  = 1 // u32 pid, tid; u64 vma, old address, new address, size, index
	jitLines = 2 // u64 address, number of entries; each u64 address, u32 line, u32 discriminator, file, 0

	maxJITLines = 1 << 16 // entries of one function that are kept
	maxJITMoved = 1 << 16 // functions that are remembered, for when they are moved
	// v8LineShift is how far too high V8's line entries are: it counts an ELF header that perf once put before the code (V8's perf-jit.cc).
	v8LineShift = 0x40
)

// nameJITDumps names code that a JIT compiler made, from its dump. What the dump lacks, or all if there is none, is left for others.
func nameJITDumps(targets []*target, src Source, funcs *functions) {
	for _, t := range targets {
		if len(t.locations) == 0 {
			continue
		}
		q := &query{funcs: funcs}
		q.addAll([]*target{t})
		want := q.addrs()
		found, err := readJITDump(src, t.mapping, want)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			q.refuse(Unnamed{Reason: BadJITDump, Detail: err.Error()})
			t.locations = nil
			continue
		}
		covered := func(l *profile.Location) bool { return len(found[want.from(l.Address)]) > 0 }
		q.items = slices.DeleteFunc(q.items, func(it item) bool { return !covered(it.loc) })
		t.locations = slices.DeleteFunc(t.locations, covered)
		q.answer(want, found, Unnamed{})
	}
}

func readJITDump(src Source, m *profile.Mapping, want addrs) ([][]frame, error) {
	r, err := src.JITDump(m)
	if err != nil {
		return nil, err
	}
	found, err := scanJITDump(io.LimitReader(r, maxPerfMapSize), want)
	return found, errors.Join(err, r.Close())
}

// sameFile is the name of a line's file when it is that of the line before.
const sameFile = "\xff"

// jitCode is a function in a dump.
type jitCode struct {
	start, size uint64
	name        string
	lines       []jitLine // sorted by address
}

type jitLine struct {
	addr uint64
	line uint32
	file string
}

// jitScanner reads a dump past the wanted addresses.
type jitScanner struct {
	r     *bufio.Reader
	left  uint64 // bytes of the record that are not read yet
	want  addrs
	found [][]frame
	lines []jitLine // for the next code
	moved map[uint64]jitCode
	hits  int
}

// scanJITDump gives the frames of the wanted addresses, none for those that the dump lacks. The last code that was at an address is
// the one that holds, as in a perf map. A dump that ends in the middle of a record, because it still grows, is read up to there.
func scanJITDump(r io.Reader, want addrs) ([][]frame, error) {
	s := &jitScanner{r: bufio.NewReaderSize(r, 64<<10), want: want, found: make([][]frame, len(want)), moved: map[uint64]jitCode{}}
	if err := s.header(); err != nil {
		return nil, err
	}
	for s.hits < maxPerfMapHits {
		err := s.record()
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return s.found, nil
		}
		if err != nil {
			return nil, err
		}
	}
	return nil, errors.New("code overlaps too often")
}

func (s *jitScanner) header() error {
	var h [jitHeader]byte
	if _, err := io.ReadFull(s.r, h[:]); err != nil {
		return errors.New("no header")
	}
	magic, version, size := binary.LittleEndian.Uint32(h[:]), binary.LittleEndian.Uint32(h[4:]), binary.LittleEndian.Uint32(h[8:])
	switch {
	case magic == jitMagicOther:
		return errors.New("of another byte order")
	case magic != jitMagic:
		return errors.New("no magic number")
	case version != 1:
		return fmt.Errorf("version %d is not known", version)
	case size < jitHeader:
		return fmt.Errorf("header of %d bytes", size)
	}
	s.left = uint64(size) - jitHeader
	return s.skip()
}

// skip passes over the rest of the record.
func (s *jitScanner) skip() error {
	for s.left > 0 {
		n, err := s.r.Discard(int(min(s.left, 1<<20)))
		s.left -= uint64(n)
		if err != nil {
			return err
		}
	}
	return nil
}

// fields reads n 64-bit words of the record.
func (s *jitScanner) fields(words []uint64) error {
	if s.left < uint64(8*len(words)) {
		return errors.New("record cut short")
	}
	var b [8]byte
	for i := range words {
		if _, err := io.ReadFull(s.r, b[:]); err != nil {
			return err
		}
		words[i] = binary.LittleEndian.Uint64(b[:])
	}
	s.left -= uint64(8 * len(words))
	return nil
}

// text reads a string up to its 0, of which it keeps at most limit bytes.
func (s *jitScanner) text(limit int) (string, error) {
	var text []byte
	for s.left > 0 {
		chunk, err := s.r.Peek(int(min(s.left, 256)))
		if len(chunk) == 0 {
			return "", err
		}
		end := bytes.IndexByte(chunk, 0)
		n := end
		if end < 0 {
			n = len(chunk)
		}
		text = append(text, chunk[:min(n, limit-len(text))]...)
		if end >= 0 {
			n++
		}
		if _, err := s.r.Discard(n); err != nil {
			return "", err
		}
		s.left -= uint64(n)
		if end >= 0 {
			return string(text), nil
		}
	}
	return "", errors.New("record cut short")
}

func (s *jitScanner) record() error {
	var h [jitRecord]byte
	if _, err := io.ReadFull(s.r, h[:]); err != nil {
		return err
	}
	kind, size := binary.LittleEndian.Uint32(h[:]), binary.LittleEndian.Uint32(h[4:])
	if size < jitRecord {
		return fmt.Errorf("record of %d bytes", size)
	}
	s.left = uint64(size) - jitRecord
	var err error
	switch kind {
	case jitLoad:
		err = s.load()
	case jitMove:
		err = s.move()
	case jitLines:
		err = s.readLines()
	}
	if err != nil {
		return err
	}
	return s.skip()
}

func (s *jitScanner) load() error {
	var f [5]uint64 // ids, vma, address, size, index
	if err := s.fields(f[:]); err != nil {
		return err
	}
	name, err := s.text(maxPerfMapName)
	if err != nil {
		return err
	}
	c := jitCode{start: f[2], size: f[3], name: name, lines: s.lines}
	s.lines = nil
	if v8Code().MatchString(name) {
		for i := range c.lines {
			c.lines[i].addr -= v8LineShift
		}
	}
	s.cover(c)
	if len(s.moved) < maxJITMoved {
		c.lines = nil
		s.moved[f[4]] = c
	}
	return nil
}

func (s *jitScanner) move() error {
	var f [6]uint64 // ids, vma, old address, new address, size, index
	if err := s.fields(f[:]); err != nil {
		return err
	}
	if c, ok := s.moved[f[5]]; ok {
		c.start, c.size = f[3], f[4]
		s.cover(c)
	}
	return nil
}

func (s *jitScanner) readLines() error {
	var f [2]uint64 // address, entries
	if err := s.fields(f[:]); err != nil {
		return err
	}
	s.lines = nil
	file := ""
	for range min(f[1], maxJITLines) {
		var e [2]uint64 // address, line and discriminator
		if err := s.fields(e[:]); err != nil {
			return err
		}
		name, err := s.text(maxPerfMapName)
		if err != nil {
			return err
		}
		if name != sameFile && name != file {
			file = name
		}
		s.lines = append(s.lines, jitLine{addr: e[0], line: uint32(e[1]), file: file})
	}
	sort.SliceStable(s.lines, func(i, j int) bool { return s.lines[i].addr < s.lines[j].addr })
	return nil
}

// cover names the wanted addresses in a function.
func (s *jitScanner) cover(c jitCode) {
	s.hits++ // a file of nothing but empty functions ends, too
	for i := s.want.from(c.start); i < len(s.want) && s.want[i]-c.start < c.size; i++ {
		s.found[i] = []frame{c.frame(s.want[i])}
		s.hits++
	}
}

// frame is that of the function, at the line of an address when that is known.
func (c *jitCode) frame(addr uint64) frame {
	f := jitFrame(c.name)
	n := sort.Search(len(c.lines), func(i int) bool { return c.lines[i].addr > addr })
	if n == 0 {
		return f
	}
	l := c.lines[n-1]
	f.line = int64(l.line)
	if f.file == "" {
		f.file = scriptPath(l.file)
	}
	return f
}
