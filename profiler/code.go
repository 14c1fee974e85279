// SPDX-License-Identifier: Apache-2.0

package profiler

import (
	"debug/elf"
	"errors"
	"fmt"

	"github.com/assaylab/assay/internal/elfx"
	"github.com/assaylab/assay/profiler/unwind"
)

// Code is what a walk of stacks finds in a file that a process has mapped as code, or in its memory without a file.
type Code struct {
	Path     string `json:"path"`     // as the process names it; "": memory without a file
	Mappings int    `json:"mappings"` // executable ones
	Mapped   uint64 `json:"mapped_bytes"`
	State    State  `json:"state"`
	Why      string `json:"why,omitempty"` // of CodeUnreadable
	Table    int    `json:"table_bytes"`   // what the table takes in the kernel

	// The code of the file, in bytes and without the alignment between functions, by what its table knows of it.
	Code        uint64 `json:"code_bytes"`
	Known       uint64 `json:"known_bytes"`       // a walk gets through without a guess
	Guessed     uint64 `json:"guessed_bytes"`     // a walk has to trust the frame pointer
	Unsupported uint64 `json:"unsupported_bytes"` // described in a way that a walk can't follow
	Unknown     uint64 `json:"unknown_bytes"`     // nothing is known, so the frame pointer has to do, too

	EndsMain    bool `json:"ends_main"`    // it tells where the first stack of a process ends, as a program does at its entry
	EndsThreads bool `json:"ends_threads"` // and where those of other threads do, as the C library does
}

// State says what a walk has to go by.
type State string

// The states of code.
const (
	CodeTable      State = "table"
	CodeNoFile     State = "no_file"     // memory, of a compiler at run time
	CodeUnreadable State = "unreadable"  // its file can't be opened, or is no ELF file any more
	CodeNoTable    State = "no_table"    // the file describes nothing, and its code can't be followed
	CodeTooLarge   State = "table_large" // its table alone takes more than the memory for all
)

// Looked is the code of a process.
type Looked struct {
	Code []Code
	Over int // mappings beyond those that the kernel is told of
}

// LookAtCode says what a recording of a process would find in its code, by the same ways, with so many bytes for tables.
func LookAtCode(pid, memory int) (_ Looked, err error) {
	maps, err := readMaps(pid)
	if err != nil {
		return Looked{}, fmt.Errorf("mappings: %w", err)
	}
	files := newObjects()
	defer func() { err = errors.Join(err, files.close()) }()
	l := Looked{Over: max(0, len(maps)-maxUnwound)}
	seen := map[*object]int{}
	for i := range maps {
		m := &maps[i]
		if m.path == "[vsyscall]" {
			continue // the kernel's, which no stack is ever in
		}
		o := files.of(pid, m)
		n, ok := seen[o]
		if !ok {
			n = len(l.Code)
			seen[o] = n
			l.Code = append(l.Code, lookAt(o, memory))
		}
		l.Code[n].Mappings++
		l.Code[n].Mapped += m.end - m.start
	}
	return l, nil
}

// lookAt makes the table of a file to see what is in it.
func lookAt(o *object, memory int) Code {
	c := Code{Path: o.path, State: CodeTable}
	if o.anon {
		c.Path, c.State = "", CodeNoFile
		return c
	}
	f, err := o.content()
	var t *unwind.Table
	if err == nil {
		t, err = unwind.Build(f, f.Size(), unwind.Options{MaxBytes: memory})
	}
	switch {
	case errors.Is(err, unwind.ErrTooLarge):
		c.State = CodeTooLarge
	case err != nil:
		c.State, c.Why = CodeUnreadable, err.Error()
		if o.reason != "" {
			c.Why = o.reason
		}
	case len(t.Pages) == 0:
		c.State = CodeNoTable
	default:
		if err := c.fill(t, f); err != nil {
			c.State, c.Why = CodeUnreadable, err.Error()
		}
	}
	return c
}

// fill says what a table knows of its file.
func (c *Code) fill(t *unwind.Table, f *OpenFile) error {
	e, err := elfx.Open(f, f.Size())
	if err != nil {
		return err
	}
	var k unwind.Coverage
	for _, s := range codeOf(e) {
		k.Add(t.Coverage(s.start, s.end))
	}
	c.Code = k.Described + k.Guessed + k.Unsupported + k.Unknown
	c.Known, c.Guessed, c.Unsupported, c.Unknown = k.Described, k.Guessed, k.Unsupported, k.Unknown
	c.Table = t.Size()
	entry := t.Coverage(e.Entry(), e.Entry()+unwind.EntryCode)
	c.EndsMain = entry.Ends > 0 || k.Kept > 0
	c.EndsThreads = k.Ends > entry.Ends || k.Kept > 0
	return nil
}

// codeSpan is code of a file, by vaddrs.
type codeSpan struct{ start, end uint64 }

// codeOf is the code of a file: what its sections say, or else its segments, which may hold other things.
func codeOf(e *elfx.File) []codeSpan {
	var all []codeSpan
	if sections, err := e.Sections(); err == nil {
		for _, s := range sections {
			if end := s.Addr + s.Size; s.Flags&elf.SHF_EXECINSTR != 0 && end > s.Addr {
				all = append(all, codeSpan{s.Addr, end})
			}
		}
	}
	if len(all) > 0 {
		return all
	}
	for _, l := range e.Loads() {
		if end := l.Vaddr + l.Filesz; l.Executable() && end > l.Vaddr {
			all = append(all, codeSpan{l.Vaddr, end})
		}
	}
	return all
}
