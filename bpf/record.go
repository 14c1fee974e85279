// SPDX-License-Identifier: Apache-2.0

package bpf

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"unsafe"
)

// Record types (enum record_type).
const (
	recStack = 1 + iota
	recCount
	recThread
	recFlush
	recPython
	recLabels
	recCopy
)

// Stack is a stack not seen before: its frames, leaf first.
type Stack struct {
	ID     uint64
	Tgid   uint32
	End    StackEnd
	Reason UnwindReason // why it is a guess, or broken
	Fault  int          // the frame with that reason
	Python uint64       // a user stack: ID of the frames of Python that it runs, or 0
	Frames []uint64
}

// Python is a stack of Python not seen before: its frames, innermost first.
type Python struct {
	ID     uint64
	Tgid   uint32
	End    PythonEnd
	Frames []PythonFrame
}

// PythonFrame is a frame of Python: the address of its code object, and where in that it is.
type PythonFrame struct {
	Code  uint64
	where uint64
}

// PythonEnd says how a stack of Python ended.
type PythonEnd uint32

// The ends of stacks of Python (enum python_end).
const (
	PythonWhole PythonEnd = iota
	PythonCut
	PythonBroken
)

// Parts of python_frame.where.
const (
	pythonBefore = 1<<31 - 1
	pythonEntry  = 1 << 31
)

// Offset is how far into the bytecode the frame is, in bytes; -1 when it has not begun.
func (f PythonFrame) Offset() int {
	if n := f.where & pythonBefore; n != pythonBefore {
		return int(n)
	}
	return -1
}

// Entry says whether the frame is the outermost that one C frame of the interpreter's loop runs.
func (f PythonFrame) Entry() bool { return f.where&pythonEntry != 0 }

// Identity tells the code object from another at the same address.
func (f PythonFrame) Identity() uint32 { return uint32(f.where >> 32) }

// Labels are the labels of a goroutine, not seen before.
type Labels struct {
	ID   uint64
	List []Label
	Cut  bool // there were more, or longer ones
}

// Label is a label as it was taken.
type Label struct{ Key, Value string }

// Copy is a user stack whose walk met code that was not known yet, with the registers of its thread.
type Copy struct {
	ID        uint64 // of the Stack
	At        uint64 // CLOCK_MONOTONIC, ns
	Tgid      uint32
	Exact     bool // PC is of the instruction itself, no return address
	PC        uint64
	SP        uint64
	FP        uint64
	LR        uint64     // arm64
	Registers [16]uint64 // x86-64, as DWARF numbers them, without RBP and RSP
	Stack     []byte     // from SP on
}

// Count is one line of the table of counts.
type Count struct {
	Key   CountKey
	Value CountValue
}

// Thread is the account of a thread: its time from Begin to End (nanoseconds of the scheduler's clock).
type Thread struct {
	Tgid, Tid  uint32
	Comm       string
	Begin, End uint64
	Whole      bool // seen for the whole window
	Exited     bool
	Time       ThreadTime
}

// Handler takes the records that cross from the kernel.
type Handler interface {
	Stack(Stack)
	Copy(Copy) // after its Stack
	Python(Python)
	Labels(Labels)
	Count(Count)
	Thread(Thread)
	Flush() // the table of counts is half full
}

var errShort = errors.New("record is cut short")

const (
	headerBytes  = 8
	stackHeader  = headerBytes + 24
	pythonHeader = headerBytes + 16
	labelsHeader = headerBytes + 16
	copyHeader   = headerBytes + 24 + 8*(4+16)
	maxCopy      = 16 << 10
	labelBytes   = 8 + labelKey + labelValue
	labelKey     = 32
	labelValue   = 64
	countBytes   = int(headerBytes + unsafe.Sizeof(CountKey{}) + unsafe.Sizeof(CountValue{}))
	threadBytes  = int(unsafe.Sizeof(SweepThreadRecord{}))
)

// parse hands the first record of b to h and returns its length in bytes.
func parse(b []byte, h Handler) (int, error) {
	if len(b) < headerBytes {
		return 0, errShort
	}
	switch typ := binary.NativeEndian.Uint32(b); typ {
	case recStack:
		return parseStack(b, h)
	case recPython:
		return parsePython(b, h)
	case recLabels:
		return parseLabels(b, h)
	case recCopy:
		return parseCopy(b, h)
	case recCount:
		if len(b) < countBytes {
			return 0, errShort
		}
		h.Count(Count{
			Key:   view[CountKey](b[headerBytes:]),
			Value: view[CountValue](b[headerBytes+int(unsafe.Sizeof(CountKey{})):]),
		})
		return countBytes, nil
	case recThread:
		if len(b) < threadBytes {
			return 0, errShort
		}
		h.Thread(threadOf(view[SweepThreadRecord](b)))
		return threadBytes, nil
	case recFlush:
		h.Flush()
		return headerBytes, nil
	default:
		return 0, fmt.Errorf("record of unknown type %d", typ)
	}
}

func parseStack(b []byte, h Handler) (int, error) {
	n := int(binary.NativeEndian.Uint32(b[4:]))
	end := stackHeader + 8*n
	if n > MaxFrames || len(b) < end || int(b[22]) > max(0, n-1) {
		return 0, errShort
	}
	s := Stack{
		ID:     binary.NativeEndian.Uint64(b[8:]),
		Tgid:   binary.NativeEndian.Uint32(b[16:]),
		End:    StackEnd(b[20]), // both architectures are little-endian
		Reason: UnwindReason(b[21]),
		Fault:  int(b[22]),
		Python: binary.NativeEndian.Uint64(b[24:]),
		Frames: make([]uint64, n),
	}
	for i := range s.Frames {
		s.Frames[i] = binary.NativeEndian.Uint64(b[stackHeader+8*i:])
	}
	h.Stack(s)
	return end, nil
}

func parseCopy(b []byte, h Handler) (int, error) {
	n := int(binary.NativeEndian.Uint32(b[4:]))
	end := copyHeader + n
	if n > maxCopy || len(b) < end {
		return 0, errShort
	}
	word := func(i int) uint64 { return binary.NativeEndian.Uint64(b[headerBytes+8*i:]) }
	c := Copy{
		ID: word(0), At: word(1), Tgid: uint32(word(2)), Exact: word(2)>>32 != 0,
		PC: word(3), SP: word(4), FP: word(5), LR: word(6),
		Stack: bytes.Clone(b[copyHeader:end]),
	}
	for i := range c.Registers {
		c.Registers[i] = word(7 + i)
	}
	h.Copy(c)
	return end, nil
}

func parsePython(b []byte, h Handler) (int, error) {
	n := int(binary.NativeEndian.Uint32(b[4:]))
	end := pythonHeader + 16*n
	if n > MaxPython || len(b) < end {
		return 0, errShort
	}
	p := Python{
		ID: binary.NativeEndian.Uint64(b[8:]), Tgid: binary.NativeEndian.Uint32(b[16:]),
		End:    PythonEnd(binary.NativeEndian.Uint32(b[20:])),
		Frames: make([]PythonFrame, n),
	}
	for i := range p.Frames {
		f := b[pythonHeader+16*i:]
		p.Frames[i] = PythonFrame{binary.NativeEndian.Uint64(f), binary.NativeEndian.Uint64(f[8:])}
	}
	h.Python(p)
	return end, nil
}

func parseLabels(b []byte, h Handler) (int, error) {
	n := int(binary.NativeEndian.Uint32(b[4:]))
	end := labelsHeader + labelBytes*n
	if n > MaxLabels || len(b) < end {
		return 0, errShort
	}
	l := Labels{ID: binary.NativeEndian.Uint64(b[8:]), List: make([]Label, n)}
	l.Cut = binary.NativeEndian.Uint32(b[16:]) > uint32(n)
	for i := range l.List {
		one := b[labelsHeader+labelBytes*i:]
		text := func(length uint32, room []byte) string {
			if length <= uint32(len(room)) {
				return string(room[:length])
			}
			l.Cut = true
			return string(room) + "…"
		}
		l.List[i].Key = text(binary.NativeEndian.Uint32(one), one[8:8+labelKey])
		l.List[i].Value = text(binary.NativeEndian.Uint32(one[4:]), one[8+labelKey:labelBytes])
	}
	h.Labels(l)
	return end, nil
}

func threadOf(r SweepThreadRecord) Thread {
	return Thread{
		Tgid: r.Tgid, Tid: r.Tid, Comm: CommString(r.Comm),
		Begin: r.BeginNs, End: r.EndNs, Whole: r.Whole != 0, Exited: r.Exited != 0,
		Time: r.Time,
	}
}

// view copies a T from the begin of b, which is long enough.
func view[T any](b []byte) T {
	var v T
	copy(unsafe.Slice((*byte)(unsafe.Pointer(&v)), unsafe.Sizeof(v)), b)
	return v
}

// CommString is the text of a comm field, up to its first NUL.
func CommString(c [16]uint8) string {
	for i, b := range c {
		if b == 0 {
			return string(c[:i])
		}
	}
	return string(c[:])
}
