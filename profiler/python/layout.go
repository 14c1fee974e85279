// SPDX-License-Identifier: Apache-2.0

package python

import "fmt"

// Versions that are known: 3.minMinor to 3.maxMinor.
const (
	minMinor = 8
	maxMinor = 13
)

// Marks says how the frames of an interpreter tell which of them are the outermost of one C frame of the interpreter's loop.
type Marks uint32

const (
	// EachFrame: each frame of Python has a C frame of its own (before 3.11).
	EachFrame Marks = iota
	// EntryFlag: a byte of the frame is not 0 (3.11).
	EntryFlag
	// Shim: behind the outermost frame stands one that belongs to the C stack and has no code (3.12 and later).
	Shim
)

// ownedByCStack is FRAME_OWNED_BY_CSTACK, the owner of a shim.
const ownedByCStack = 3

// Layout is where an interpreter keeps things: offsets in bytes, each from the start of the structure named.
type Layout struct {
	Minor int // of 3.Minor

	// _PyRuntimeState
	AutoTSSKey, InterpretersHead uint32
	// PyInterpreterState
	InterpreterNext, ThreadsHead uint32
	// PyThreadState. ThreadFrame is the top frame, or, if HasCFrame, a pointer to a _PyCFrame that has it at CFrameCurrent.
	ThreadNext, ThreadID, ThreadFrame, CFrameCurrent uint32
	HasCFrame                                        bool
	// PyFrameObject or _PyInterpreterFrame. FrameInstr is f_lasti (a number), or from 3.11 on a pointer into the code.
	FrameCode, FramePrevious, FrameInstr, FrameMark uint32
	Marks                                           Marks
	// PyCodeObject. CodeQualname is 0 before 3.11, as is CodeStart, where its bytecode begins.
	CodeFirstLine, CodeFilename, CodeName, CodeQualname, CodeLines, CodeStart uint32
	// PyASCIIObject and PyCompactUnicodeObject: their sizes, behind which the characters begin.
	ASCIISize, CompactSize uint32
}

// These have not moved since 3.8.
const (
	objectType   = 8  // PyObject.ob_type
	unicodeLen   = 16 // PyASCIIObject.length, characters
	unicodeState = 32 // PyASCIIObject.state
	bytesLen     = 16 // PyVarObject.ob_size
	bytesData    = 32 // PyBytesObject.ob_sval
)

// CodeIdentity is where in a code object three pointers lie that tell it from others: to its names and its line table.
func (l *Layout) CodeIdentity() uint32 {
	if l.Minor < 11 {
		return l.CodeFilename // filename, name, lnotab
	}
	return l.CodeName // name, qualname, linetable
}

// layouts are those of 3.8 to 3.13 on 64-bit machines. Each series keeps its layout from its first release on.
var layouts = map[int]Layout{
	8:  beforeInlining(8, 1392, 104),
	9:  beforeInlining(9, 584, 104),
	10: beforeInlining(10, 584, 96),
	11: {
		Minor: 11, AutoTSSKey: 592, InterpretersHead: 40, InterpreterNext: 0, ThreadsHead: 16,
		ThreadNext: 8, ThreadID: 152, ThreadFrame: 56, CFrameCurrent: 8, HasCFrame: true,
		FrameCode: 32, FramePrevious: 48, FrameInstr: 56, FrameMark: 68, Marks: EntryFlag,
		CodeFirstLine: 72, CodeFilename: 112, CodeName: 120, CodeQualname: 128, CodeLines: 136, CodeStart: 184,
		ASCIISize: 48, CompactSize: 72,
	},
	12: {
		Minor: 12, AutoTSSKey: 1544, InterpretersHead: 40, InterpreterNext: 0, ThreadsHead: 72,
		ThreadNext: 8, ThreadID: 136, ThreadFrame: 56, CFrameCurrent: 0, HasCFrame: true,
		FrameCode: 0, FramePrevious: 8, FrameInstr: 56, FrameMark: 70, Marks: Shim,
		CodeFirstLine: 68, CodeFilename: 112, CodeName: 120, CodeQualname: 128, CodeLines: 136, CodeStart: 192,
		ASCIISize: 40, CompactSize: 56,
	},
	13: {
		Minor: 13, AutoTSSKey: 2160, InterpretersHead: 632, InterpreterNext: 7264, ThreadsHead: 7344,
		ThreadNext: 8, ThreadID: 152, ThreadFrame: 72,
		FrameCode: 0, FramePrevious: 8, FrameInstr: 56, FrameMark: 70, Marks: Shim,
		CodeFirstLine: 68, CodeFilename: 112, CodeName: 120, CodeQualname: 128, CodeLines: 136, CodeStart: 200,
		ASCIISize: 40, CompactSize: 56,
	},
}

// beforeInlining is the layout of 3.8 to 3.10, which differ in two fields.
func beforeInlining(minor int, autoTSSKey, lasti uint32) Layout {
	return Layout{
		Minor: minor, AutoTSSKey: autoTSSKey, InterpretersHead: 32, InterpreterNext: 0, ThreadsHead: 8,
		ThreadNext: 8, ThreadID: 176, ThreadFrame: 24,
		FrameCode: 32, FramePrevious: 24, FrameInstr: lasti, Marks: EachFrame,
		CodeFirstLine: 40, CodeFilename: 104, CodeName: 112, CodeLines: 120,
		ASCIISize: 48, CompactSize: 72,
	}
}

func layoutOf(minor int) (Layout, error) {
	l, ok := layouts[minor]
	if !ok {
		return Layout{}, fmt.Errorf("Python 3.%d is not known: 3.%d to 3.%d are", minor, minMinor, maxMinor)
	}
	return l, nil
}
