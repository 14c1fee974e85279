// SPDX-License-Identifier: Apache-2.0

package dwarf

import (
	"encoding/binary"
	"errors"
	"io"
)

// contribution is a part of a section of a package file that belongs to one unit.
type contribution struct{ off, size uint64 }

// Sections of an index in a package file; the numbers differ between the GNU form, version 2, and DWARF 5.
var indexSections = map[uint32]map[uint32]string{
	2: {1: ".debug_info", 3: ".debug_abbrev", 4: ".debug_line", 6: ".debug_str_offsets"},
	5: {1: ".debug_info", 3: ".debug_abbrev", 4: ".debug_line", 6: ".debug_str_offsets", 8: ".debug_rnglists"},
}

const maxIndexColumns = 16

// unitIndex is the index of a package file (DWARF 5, 7.3.5): a header, a hash table of IDs with the number of a row each, then rows of
// offsets and rows of sizes, of which the first row says which section each column is about.
type unitIndex struct {
	s                    *section
	version              uint32
	columns, rows, slots uint64
	names                []string
}

func openIndex(s *section) (*unitIndex, error) {
	var h [16]byte
	if err := s.file.ReadAt(h[:], s.base); err != nil || s.size < 16 {
		return nil, errors.Join(io.ErrUnexpectedEOF, err)
	}
	le := binary.LittleEndian
	x := &unitIndex{s: s, version: le.Uint32(h[:]), columns: uint64(le.Uint32(h[4:])), rows: uint64(le.Uint32(h[8:])), slots: uint64(le.Uint32(h[12:]))}
	if x.version != 2 {
		x.version = uint32(le.Uint16(h[:]))
	}
	if indexSections[x.version] == nil || x.columns > maxIndexColumns || x.slots&(x.slots-1) != 0 {
		return nil, s.badf(0, "index of version %d with %d columns and %d slots", x.version, x.columns, x.slots)
	}
	for i := range x.columns {
		n, err := s.word(x.table()+4*i, 4)
		if err != nil {
			return nil, err
		}
		x.names = append(x.names, indexSections[x.version][uint32(n)])
	}
	return x, nil
}

// table is where the row of section numbers begins.
func (x *unitIndex) table() uint64 { return 16 + 12*x.slots }

// find gives the parts of a unit by the names of sections; nil when the index doesn't have it.
func (x *unitIndex) find(id uint64) (map[string]contribution, error) {
	slot, step := id, (id>>32)|1
	for range x.slots {
		slot &= x.slots - 1
		have, err := x.s.word(16+8*slot, 8)
		if err != nil {
			return nil, err
		}
		row, err := x.s.word(16+8*x.slots+4*slot, 4)
		if err != nil || row == 0 && have == 0 {
			return nil, err
		}
		if have == id && row > 0 && row <= x.rows {
			return x.row(row)
		}
		slot += step
	}
	return nil, nil
}

func (x *unitIndex) row(row uint64) (map[string]contribution, error) {
	parts := make(map[string]contribution)
	for i, name := range x.names {
		if name == "" {
			continue
		}
		at := x.table() + 4*(row*x.columns+uint64(i))
		off, err := x.s.word(at, 4)
		if err != nil {
			return nil, err
		}
		size, err := x.s.word(at+4*x.rows*x.columns, 4)
		if err != nil {
			return nil, err
		}
		parts[name] = contribution{off, size}
	}
	return parts, nil
}
