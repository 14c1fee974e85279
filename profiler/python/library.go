// SPDX-License-Identifier: Apache-2.0

package python

import (
	"encoding/binary"
	"errors"
	"fmt"
	"path/filepath"
	"regexp"
	"strconv"

	"github.com/assaylab/assay/internal/elfx"
)

// Range is [Start, End).
type Range struct{ Start, End uint64 }

func (r Range) contains(addr uint64) bool { return addr >= r.Start && addr < r.End }

// Library is an ELF file that holds the CPython interpreter: libpython3.N.so, or a program that it is linked into. Its addresses are the file's own
// (vaddrs).
type Library struct {
	Layout  Layout
	Runtime uint64 // _PyRuntime
	loop    []Range
}

// InLoop says whether an address lies in the interpreter's loop (_PyEval_EvalFrameDefault), whose native frames stand for frames of Python.
func (l *Library) InLoop(vaddr uint64) bool {
	for _, r := range l.loop {
		if r.contains(vaddr) {
			return true
		}
	}
	return false
}

const loopName = "_PyEval_EvalFrameDefault"

// mayHold matches the names of files in which to look for an interpreter.
var mayHold = regexp.MustCompile(`^(?:lib)?python3(?:\.([0-9]{1,2}))?`)

// MayHold says whether a file of this path is worth an [Inspect]: by its name only, so that not each file of a machine has to be opened.
func MayHold(path string) bool { return mayHold.MatchString(filepath.Base(path)) }

// Inspect finds the interpreter in an ELF file that is mapped under a path. Without one in it, the result is nil.
func Inspect(f *elfx.File, path string) (*Library, error) {
	symbols, err := f.Lookup("_PyRuntime", "Py_Version", loopName, loopName+".cold")
	if err != nil {
		return nil, err
	}
	runtime, ok := symbols["_PyRuntime"]
	if !ok {
		return nil, nil
	}
	minor, err := minorOf(f, symbols, path)
	if err != nil {
		return nil, err
	}
	layout, err := layoutOf(minor)
	if err != nil {
		return nil, err
	}
	l := &Library{Layout: layout, Runtime: runtime.Value}
	for _, name := range []string{loopName, loopName + ".cold"} {
		if s, ok := symbols[name]; ok {
			l.loop = append(l.loop, Range{s.Value, s.Value + s.Size})
		}
	}
	if minor < 13 {
		return l, nil
	}
	return l, l.readOffsets(f)
}

// minorOf is the N of 3.N: from Py_Version (3.11 and later: 0x03NN....), else from the file's name.
func minorOf(f *elfx.File, symbols map[string]elfx.Symbol, path string) (int, error) {
	if s, ok := symbols["Py_Version"]; ok {
		var b [4]byte
		if err := readVaddr(f, b[:], s.Value); err != nil {
			return 0, fmt.Errorf("Py_Version: %w", err)
		}
		v := binary.LittleEndian.Uint32(b[:])
		if v>>24 != 3 {
			return 0, fmt.Errorf("Python %d is not known", v>>24)
		}
		return int(v >> 16 & 0xff), nil
	}
	m := mayHold.FindStringSubmatch(filepath.Base(path))
	if m == nil || m[1] == "" {
		return 0, errors.New("an interpreter older than Python 3.11, under a name that does not say which")
	}
	return strconv.Atoi(m[1])
}

func readVaddr(f *elfx.File, b []byte, vaddr uint64) error {
	off, left, ok := f.Offset(vaddr)
	if !ok || left < uint64(len(b)) {
		return fmt.Errorf("no bytes at %#x", vaddr)
	}
	return f.ReadAt(b, off)
}

// What of _Py_DebugOffsets of 3.13 (pycore_runtime.h) is used, as indices of its 64-bit words.
const (
	wordVersion      = 1
	wordFreeThreaded = 2
	debugWords       = 71
)

const debugCookie = "xdebugpy"

// maxOffset bounds what a file may say of its offsets: PyInterpreterState is the largest structure, some 400 KB.
const maxOffset = 1 << 20

// maxFrame bounds where in a frame its fields may lie: the kernel side reads so many bytes of it.
const maxFrame = 128

// readOffsets takes from the interpreter itself what it says of its layout.
func (l *Library) readOffsets(f *elfx.File) error {
	var b [debugWords * 8]byte
	if err := readVaddr(f, b[:], l.Runtime); err != nil {
		return fmt.Errorf("_Py_DebugOffsets: %w", err)
	}
	if string(b[:8]) != debugCookie {
		return errors.New("_Py_DebugOffsets: no magic number")
	}
	word := func(i int) uint64 { return binary.LittleEndian.Uint64(b[8*i:]) }
	if word(wordFreeThreaded) != 0 {
		return errors.New("the free-threaded build of Python is not known")
	}
	if v := word(wordVersion); v>>24 != 3 || int(v>>16&0xff) != l.Layout.Minor {
		return fmt.Errorf("_Py_DebugOffsets: of version %#x", v)
	}
	for i, field := range l.debugFields() {
		v := word(i)
		if v > maxOffset {
			return fmt.Errorf("_Py_DebugOffsets: word %d is %#x", i, v)
		}
		*field = uint32(v)
	}
	if y := &l.Layout; max(y.FrameCode, y.FramePrevious, y.FrameInstr, y.FrameMark) >= maxFrame {
		return errors.New("_Py_DebugOffsets: frames larger than any that is known")
	}
	return nil
}

// debugFields says which word of _Py_DebugOffsets is which field.
func (l *Library) debugFields() map[int]*uint32 {
	y := &l.Layout
	return map[int]*uint32{
		5: &y.InterpretersHead, 8: &y.InterpreterNext, 9: &y.ThreadsHead, // runtime_state, interpreter_state
		21: &y.ThreadNext, 23: &y.ThreadFrame, 24: &y.ThreadID, // thread_state
		29: &y.FramePrevious, 30: &y.FrameCode, 31: &y.FrameInstr, 33: &y.FrameMark, // interpreter_frame
		35: &y.CodeFilename, 36: &y.CodeName, 37: &y.CodeQualname, 38: &y.CodeLines, 39: &y.CodeFirstLine, 43: &y.CodeStart, // code_object
		70: &y.ASCIISize, // unicode_object
	}
}
