// SPDX-License-Identifier: Apache-2.0

package elfx

import (
	"debug/elf"
	"encoding/binary"
)

const (
	dynamicSize  = 16      // Elf64_Dyn
	maxDynamic   = 1 << 16 // bytes of .dynamic
	maxDynString = 1 << 24 // bytes of its strings
	maxNeeded    = 256
)

// Dynamic is what a file tells the dynamic linker of libraries.
type Dynamic struct {
	Needed  []string // names, at most 256
	RunPath string   // folders to look in, with colons between; or else its RPATH
}

// Dynamic reads the section .dynamic. A file without one needs nothing.
func (f *File) Dynamic() (Dynamic, error) {
	var d Dynamic
	s, ok := f.Section(".dynamic")
	if !ok {
		return d, nil
	}
	sections, err := f.Sections()
	if err != nil {
		return d, err
	}
	if uint64(s.Link) >= uint64(len(sections)) {
		return d, badf(int64(s.Off), "names of libraries in section %d of %d", s.Link, len(sections))
	}
	entries, err := f.Content(s, maxDynamic)
	if err != nil {
		return d, err
	}
	names, err := f.Content(sections[s.Link], maxDynString)
	if err != nil {
		return d, err
	}
	all, rpath := string(names), ""
	for ; len(entries) >= dynamicSize; entries = entries[dynamicSize:] {
		name := nameAt(all, uint32(min(binary.LittleEndian.Uint64(entries[8:]), maxDynString)))
		switch elf.DynTag(binary.LittleEndian.Uint64(entries)) {
		case elf.DT_NEEDED:
			if len(d.Needed) < maxNeeded {
				d.Needed = append(d.Needed, name)
			}
		case elf.DT_RUNPATH:
			d.RunPath = name
		case elf.DT_RPATH:
			rpath = name
		}
	}
	if d.RunPath == "" {
		d.RunPath = rpath
	}
	return d, nil
}
