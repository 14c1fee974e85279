// SPDX-License-Identifier: Apache-2.0

package dwarf

import (
	"errors"
	"io"

	"github.com/assaylab/assay/internal/elfx"
)

// file is the debug information in one ELF file, or the part of a package file that belongs to one unit.
type file struct {
	info, abbrev, str, strOffsets, addr *section
	line, lineStr, ranges, rnglists     *section

	id       uint32
	split    bool    // a .dwo file, or a part of a .dwp
	units    []*unit // by offset, as far as they were read
	unread   uint64  // offset of the next
	unitsErr error   // why there are no more
	roots    bool    // their root entries are wanted
	cursors  map[*section]*cursor
	streams  map[*section]*cursor
	elf      *elfx.File
	inflated []*inflated
	closer   io.Closer // of the file, where it is ours; or nil
	*shared

	alt    *file
	altErr error
}

// shared is what all files of a Data have in common.
type shared struct {
	opts   Options
	files  uint32
	tables *cache[abbrevKey, *abbrevs]

	tablesLeft, rootsLeft int    // see maxTablesRead
	specs                 []spec // memory for those of one abbreviation
	scratch               scratch
}

// abbrevKey is where a table of abbreviations lies, and what else its meaning depends on.
type abbrevKey struct {
	file uint32
	off  uint64
	encoding
}

func (s *shared) newFile(f *elfx.File, closer io.Closer) *file {
	s.files++
	return &file{shared: s, id: s.files, roots: true, elf: f, closer: closer, cursors: make(map[*section]*cursor), streams: make(map[*section]*cursor)}
}

// openFile finds the sections of a file; suffix is ".dwo" for those of split units.
func (s *shared) openFile(f *elfx.File, closer io.Closer, suffix string) (*file, error) {
	x := s.newFile(f, closer)
	x.split = suffix != ""
	for name, to := range x.sections() {
		var err error
		if *to, err = x.openSection(name + suffix); err != nil {
			return nil, err
		}
	}
	if x.info.size == 0 {
		return nil, ErrNone
	}
	return x, nil
}

func (f *file) sections() map[string]**section {
	return map[string]**section{
		".debug_info": &f.info, ".debug_abbrev": &f.abbrev, ".debug_str": &f.str, ".debug_str_offsets": &f.strOffsets,
		".debug_addr": &f.addr, ".debug_line": &f.line, ".debug_line_str": &f.lineStr, ".debug_ranges": &f.ranges,
		".debug_rnglists": &f.rnglists,
	}
}

func (f *file) close() error {
	var errs []error
	for _, z := range f.inflated {
		errs = append(errs, z.close())
	}
	if f.alt != nil {
		errs = append(errs, f.alt.close())
	}
	if f.closer != nil {
		errs = append(errs, f.closer.Close())
	}
	return errors.Join(errs...)
}

// cursor is for records here and there in a section. It is the same one each time.
func (f *file) cursor(s *section) *cursor {
	c := f.cursors[s]
	if c == nil {
		c = newCursor(s, recordChunk)
		f.cursors[s] = c
	}
	return c
}

// stream is for what is read from end to end. It is the same cursor each time, so one reader must be done before the next begins.
func (f *file) stream(s *section) *cursor {
	c := f.streams[s]
	if c == nil {
		c = newCursor(s, streamChunk)
		f.streams[s] = c
	}
	return c
}

// abbrevsOf is the table of abbreviations of a unit.
func (f *file) abbrevsOf(u *unit) (*abbrevs, error) {
	key := abbrevKey{f.id, u.abbrevAt, u.encoding}
	if t, ok := f.tables.get(key); ok {
		return t, nil
	}
	t, err := f.readAbbrevs(u.abbrevAt, u.encoding)
	if err != nil {
		return nil, err
	}
	f.tables.put(key, t, t.cost)
	return t, nil
}

// ErrNoAlternate says that the names of some functions lie in another file, which isn't there.
var ErrNoAlternate = errors.New("the alternate file of the debug information is missing")

// alternate is the file that dwz moved entries and strings to which several files share.
func (f *file) alternate() (*file, error) {
	if f.alt == nil && f.altErr == nil {
		f.alt, f.altErr = f.openAlternate()
	}
	return f.alt, f.altErr
}

func (f *file) openAlternate() (*file, error) {
	name, id, err := f.alternateName()
	if err != nil {
		return nil, err
	}
	if name == "" || f.opts.Alternate == nil {
		return nil, ErrNoAlternate
	}
	image, err := f.opts.Alternate(name, id)
	if err != nil {
		return nil, errors.Join(ErrNoAlternate, err)
	}
	alt, err := f.openFile(image.File, image.Closer, "")
	if err == nil {
		alt.altErr, alt.roots = ErrNoAlternate, false // it has neither one itself nor code
		err = alt.readUnits(allUnits)
	}
	if err != nil {
		return nil, errors.Join(err, image.Close())
	}
	return alt, nil
}

// alternateName reads the path and the build ID of the alternate file: from the section that dwz writes, or the one of DWARF 5 with a version
// and a flag in front and the length of the ID.
func (f *file) alternateName() (name string, id []byte, err error) {
	const maxID = 64
	skip := uint64(0)
	s, ok := f.elf.Section(".gnu_debugaltlink")
	if !ok {
		skip = 3
		if s, ok = f.elf.Section(".debug_sup"); !ok {
			return "", nil, nil
		}
	}
	if s.Size <= skip {
		return "", nil, io.ErrUnexpectedEOF
	}
	c := newCursor(newSection(s.Name, f.elf, s.Off, s.Size), recordChunk)
	if skip > 0 && (c.u16() != 5 || c.u8() != 0) {
		return "", nil, nil
	}
	if name, err = c.s.cstring(skip); err != nil {
		return "", nil, err
	}
	c.seekOn(skip + uint64(len(name)) + 1)
	size := c.left()
	if skip > 0 {
		size = c.uleb()
	}
	for range min(size, maxID) {
		id = append(id, c.u8())
	}
	return name, id, c.err
}
