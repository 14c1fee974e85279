// SPDX-License-Identifier: Apache-2.0

package golang

import (
	"debug/dwarf"
	"fmt"

	"github.com/assaylab/assay/internal/elfx"
)

// maxSection bounds a section of debug information that is read whole.
const maxSection = 64 << 20

// maxOffset bounds what a file may say of its fields: a g has some 500 bytes, an m some 2,000.
const maxOffset = 1 << 16

// readDWARF takes from the debug information of a program where the fields of the runtime's structures are.
func (l *Layout) readDWARF(f *elfx.File) (err error) {
	defer func() {
		if p := recover(); p != nil { // debug/dwarf is made for files that one trusts
			err = fmt.Errorf("debug information: %v", p)
		}
	}()
	d, err := openDWARF(f)
	if err != nil {
		return err
	}
	fields := map[string]*uint32{
		"runtime.g.m": &l.GM, "runtime.g.sched": &l.GSched, "runtime.g.labels": &l.GLabels, "runtime.m.curg": &l.MCurg, "runtime.gobuf.bp": &l.GobufBP,
	}
	r := d.Reader()
	for len(fields) > 0 {
		e, err := r.Next()
		switch {
		case err != nil:
			return err
		case e == nil:
			return fmt.Errorf("debug information: %d fields of the runtime's structures are missing", len(fields))
		}
		name, hasName := e.Val(dwarf.AttrName).(string)
		switch {
		case e.Tag == dwarf.TagCompileUnit && name != "runtime":
			r.SkipChildren()
		case e.Tag == dwarf.TagStructType && hasName && e.Children:
			if err := takeFields(r, name, fields); err != nil {
				return err
			}
		}
	}
	return nil
}

// openDWARF opens the sections that hold structures.
func openDWARF(f *elfx.File) (*dwarf.Data, error) {
	sections := map[string][]byte{".debug_abbrev": nil, ".debug_info": nil, ".debug_str": nil, ".debug_line_str": nil, ".debug_str_offsets": nil, ".debug_addr": nil}
	for name := range sections {
		s, ok := f.Section(name)
		if !ok {
			continue
		}
		b, err := f.Content(s, maxSection)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		sections[name] = b
	}
	d, err := dwarf.New(sections[".debug_abbrev"], nil, nil, sections[".debug_info"], nil, nil, nil, sections[".debug_str"])
	if err != nil {
		return nil, err
	}
	for _, name := range []string{".debug_line_str", ".debug_str_offsets", ".debug_addr"} {
		if err := d.AddSection(name, sections[name]); err != nil {
			return nil, err
		}
	}
	return d, nil
}

// takeFields reads the members of a structure up to its end, and takes out of fields those that it has.
func takeFields(r *dwarf.Reader, structure string, fields map[string]*uint32) error {
	for {
		e, err := r.Next()
		if err != nil || e == nil || e.Tag == 0 {
			return err
		}
		name, hasName := e.Val(dwarf.AttrName).(string)
		field := fields[structure+"."+name]
		at, isOffset := e.Val(dwarf.AttrDataMemberLoc).(int64)
		if e.Tag == dwarf.TagMember && hasName && field != nil && isOffset && at >= 0 && at < maxOffset {
			*field = uint32(at)
			delete(fields, structure+"."+name)
		}
		if e.Children {
			r.SkipChildren()
		}
	}
}
