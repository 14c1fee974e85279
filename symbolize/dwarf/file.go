// SPDX-License-Identifier: Apache-2.0

package dwarf

import (
	"errors"

	"github.com/assaylab/assay/internal/elfx"
)

// file is the debug information in one ELF file, or the part of a package file that belongs to one unit.
type file struct {
	info, abbrev, str, strOffsets, addr *section
	line, lineStr, ranges, rnglists     *section
	split                               bool // a .dwo file, or a part of a .dwp
	units                               []unit
	tables                              *cache[abbrevKey, *abbrevs]
	names                               *cache[uint64, name]
	cursors                             map[*section]*cursor
	elf                                 *elfx.File
	alt                                 *file
	altErr                              error
	openAlternate                       func(path string, buildID []byte) (*elfx.File, error)
}

// abbrevKey is where a table of abbreviations lies, and what else its meaning depends on.
type abbrevKey struct {
	off uint64
	encoding
}

// openFile finds the sections of a file; suffix is ".dwo" for those of split units.
func openFile(f *elfx.File, suffix string, budget int) (*file, error) {
	x := &file{
		elf: f, split: suffix != "", cursors: make(map[*section]*cursor),
		tables: newCache[abbrevKey, *abbrevs](budget / 2), names: newCache[uint64, name](budget / 2),
	}
	for name, s := range map[string]**section{
		".debug_info": &x.info, ".debug_abbrev": &x.abbrev, ".debug_str": &x.str, ".debug_str_offsets": &x.strOffsets,
		".debug_addr": &x.addr, ".debug_line": &x.line, ".debug_line_str": &x.lineStr, ".debug_ranges": &x.ranges,
		".debug_rnglists": &x.rnglists,
	} {
		var err error
		if *s, err = openSection(f, name+suffix); err != nil {
			return nil, err
		}
	}
	if x.info.size == 0 {
		return nil, ErrNone
	}
	return x, nil
}

// openSection is the section of a name; an empty one when the file lacks it.
func openSection(f *elfx.File, name string) (*section, error) {
	s, ok := f.Section(name)
	if !ok {
		return newSection(name, f, 0, 0), nil
	}
	return newSection(name, f, s.Off, s.Size), nil
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

// abbrevsOf is the table of abbreviations of a unit.
func (f *file) abbrevsOf(u *unit) (*abbrevs, error) {
	key := abbrevKey{u.abbrevAt, u.encoding}
	if t, ok := f.tables.get(key); ok {
		return t, nil
	}
	t, err := readAbbrevs(f.abbrev, u.abbrevAt, u.encoding)
	if err != nil {
		return nil, err
	}
	f.tables.put(key, t, t.cost)
	return t, nil
}

var errNoAlternate = errors.New("no alternate file")

// alternate is the file that dwz moved entries and strings to which several files share.
func (f *file) alternate() (*file, error) {
	return nil, errNoAlternate
}
