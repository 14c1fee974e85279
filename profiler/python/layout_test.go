// SPDX-License-Identifier: Apache-2.0

package python

import (
	"debug/dwarf"
	"debug/elf"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/assaylab/assay/internal/elfx/elfxtest"
)

// TestLayoutAgainstDWARF compares each layout with what the compiler noted when it built that interpreter.
func TestLayoutAgainstDWARF(t *testing.T) {
	compared := 0
	for _, interpreter := range interpreters(t) {
		if !strings.Contains(interpreter, "pyenv") {
			continue // stripped
		}
		compared++
		t.Run(interpreter, func(t *testing.T) {
			t.Parallel()
			path := libraryOf(t, interpreter)
			l, err := Inspect(elfxtest.Open(t, path), path)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(layoutByDWARF(t, path, l.Layout.Minor), l.Layout); diff != "" {
				t.Errorf("layout (-DWARF +ours):\n%s", diff)
			}
			if diff := cmp.Diff(layouts[l.Layout.Minor], l.Layout); diff != "" {
				t.Errorf("what the interpreter says differs from the table (-table +interpreter):\n%s", diff)
			}
		})
	}
}

// structures finds the members of structures by name.
type structures map[string]*dwarf.StructType

func readStructures(t *testing.T, path string, names ...string) structures {
	t.Helper()
	f, err := elf.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	d, err := f.DWARF()
	if err != nil {
		t.Fatal(err)
	}
	found := structures{}
	for r := d.Reader(); len(found) < len(names); {
		e, err := r.Next()
		if err != nil {
			t.Fatal(err)
		}
		if e == nil {
			break
		}
		found.add(t, d, e, names)
		if e.Tag == dwarf.TagSubprogram || e.Tag == dwarf.TagStructType {
			r.SkipChildren()
		}
	}
	return found
}

func (s structures) add(t *testing.T, d *dwarf.Data, e *dwarf.Entry, names []string) {
	t.Helper()
	name, _ := e.Val(dwarf.AttrName).(string)
	if e.Tag != dwarf.TagStructType && e.Tag != dwarf.TagTypedef || s[name] != nil || !contains(names, name) {
		return
	}
	typ, err := d.Type(e.Offset)
	if err != nil {
		t.Fatal(err)
	}
	if st, ok := plain(typ).(*dwarf.StructType); ok && !st.Incomplete {
		s[name] = st
	}
}

func contains(names []string, name string) bool {
	for _, n := range names {
		if n == name {
			return true
		}
	}
	return false
}

func plain(t dwarf.Type) dwarf.Type {
	for {
		td, ok := t.(*dwarf.TypedefType)
		if !ok {
			return t
		}
		t = td.Type
	}
}

// offset is where a member lies, by its path; of several paths, the first that is there; 0 when none is.
func (s structures) offset(structure string, paths ...string) uint32 {
	for _, path := range paths {
		if off, ok := member(s[structure], strings.Split(path, ".")); ok {
			return uint32(off)
		}
	}
	return 0
}

func member(t dwarf.Type, path []string) (int64, bool) {
	st, ok := t.(*dwarf.StructType)
	if !ok || st == nil {
		return 0, false
	}
	for _, f := range st.Field {
		if f.Name != path[0] {
			continue
		}
		if len(path) == 1 {
			return f.ByteOffset, true
		}
		inner, ok := member(plain(f.Type), path[1:])
		return f.ByteOffset + inner, ok
	}
	return 0, false
}

func layoutByDWARF(t *testing.T, path string, minor int) Layout {
	t.Helper()
	s := readStructures(t, path, "pyruntimestate", "_is", "_ts", "_frame", "PyCodeObject", "PyASCIIObject", "PyCompactUnicodeObject",
		"_PyInterpreterFrame", "_PyCFrame")
	l := Layout{
		Minor:            minor,
		AutoTSSKey:       s.offset("pyruntimestate", "autoTSSkey", "gilstate.autoTSSkey"),
		InterpretersHead: s.offset("pyruntimestate", "interpreters.head"),
		InterpreterNext:  s.offset("_is", "next"),
		ThreadsHead:      s.offset("_is", "tstate_head", "threads.head"),
		ThreadNext:       s.offset("_ts", "next"),
		ThreadID:         s.offset("_ts", "thread_id"),
		ThreadFrame:      s.offset("_ts", "frame", "current_frame", "cframe"),
		CodeFirstLine:    s.offset("PyCodeObject", "co_firstlineno"),
		CodeFilename:     s.offset("PyCodeObject", "co_filename"),
		CodeName:         s.offset("PyCodeObject", "co_name"),
		CodeQualname:     s.offset("PyCodeObject", "co_qualname"),
		CodeLines:        s.offset("PyCodeObject", "co_linetable", "co_lnotab"),
		CodeStart:        s.offset("PyCodeObject", "co_code_adaptive"),
		ASCIISize:        uint32(s["PyASCIIObject"].ByteSize),
		CompactSize:      uint32(s["PyCompactUnicodeObject"].ByteSize),
	}
	if c := s["_PyCFrame"]; c != nil {
		l.HasCFrame, l.CFrameCurrent = true, s.offset("_PyCFrame", "current_frame")
	}
	frame := "_PyInterpreterFrame"
	if minor < 11 {
		frame = "_frame"
	}
	l.FrameCode = s.offset(frame, "f_code", "f_executable")
	l.FramePrevious = s.offset(frame, "f_back", "previous")
	l.FrameInstr = s.offset(frame, "f_lasti", "prev_instr", "instr_ptr")
	l.FrameMark = s.offset(frame, "is_entry", "owner")
	l.Marks = []Marks{EachFrame, EachFrame, EachFrame, EntryFlag, Shim, Shim}[minor-minMinor]
	return l
}
