// SPDX-License-Identifier: Apache-2.0

package python

import (
	"errors"
	"fmt"
)

const (
	// MaxFrames is the most frames of one stack that are read, here and in the kernel.
	MaxFrames       = 128
	maxInterpreters = 64
	maxThreads      = 65536
)

// Frame is a frame of Python as it lies in memory.
type Frame struct {
	Code     uint64 // address of the code object
	Offset   int    // of the instruction that runs, in bytes of bytecode; -1: before the first
	Identity uint32 // see Identity
	Entry    bool   // the outermost frame of its C frame
}

// Thread is the stack of a thread.
type Thread struct {
	State  uint64  // address of its PyThreadState
	ID     uint64  // pthread_self()
	Frames []Frame // innermost first
	Cut    bool    // there are more than MaxFrames
}

// Threads walks the stacks of all threads that the interpreters of a process know. runtime is the address of _PyRuntime. The process
// runs on meanwhile: an error of one thread doesn't touch the others, and is joined to the result's.
func (l *Layout) Threads(mem Memory, runtime uint64) ([]Thread, error) {
	var threads []Thread
	interpreter, err := readWord(mem, runtime+uint64(l.InterpretersHead))
	errs := []error{err}
	for range maxInterpreters {
		if interpreter == 0 || err != nil {
			break
		}
		threads, err = l.addThreads(mem, interpreter, threads)
		errs = append(errs, err)
		interpreter, err = readWord(mem, interpreter+uint64(l.InterpreterNext))
		errs = append(errs, err)
	}
	return threads, errors.Join(errs...)
}

func (l *Layout) addThreads(mem Memory, interpreter uint64, threads []Thread) ([]Thread, error) {
	var errs []error
	state, err := readWord(mem, interpreter+uint64(l.ThreadsHead))
	for state != 0 && err == nil && len(threads) < maxThreads {
		t := Thread{State: state}
		if t.ID, err = readWord(mem, state+uint64(l.ThreadID)); err != nil {
			break
		}
		if err := l.walk(mem, &t); err != nil {
			errs = append(errs, fmt.Errorf("thread %#x: %w", t.ID, err))
		}
		threads = append(threads, t)
		state, err = readWord(mem, state+uint64(l.ThreadNext))
	}
	return threads, errors.Join(append(errs, err)...)
}

// walk fills in the frames of a thread.
func (l *Layout) walk(mem Memory, t *Thread) error {
	at, err := readWord(mem, t.State+uint64(l.ThreadFrame))
	if err == nil && l.HasCFrame && at != 0 {
		at, err = readWord(mem, at+uint64(l.CFrameCurrent))
	}
	// Between frames lie those that stand for C's, at most one each; memory that lies may have a ring of them.
	for steps := 0; at != 0 && err == nil; steps++ {
		if len(t.Frames) == MaxFrames || steps == 2*MaxFrames {
			t.Cut = true
			return nil
		}
		at, err = l.step(mem, at, t)
	}
	return err
}

// step reads one frame and returns the address of the one that called it.
func (l *Layout) step(mem Memory, at uint64, t *Thread) (previous uint64, err error) {
	if previous, err = readWord(mem, at+uint64(l.FramePrevious)); err != nil {
		return 0, err
	}
	var mark [1]byte
	if err := mem.Read(mark[:], at+uint64(l.FrameMark)); err != nil {
		return 0, err
	}
	if l.Marks == Shim && mark[0] == ownedByCStack {
		if n := len(t.Frames); n > 0 {
			t.Frames[n-1].Entry = true
		}
		return previous, nil
	}
	f := Frame{Entry: l.Marks == EachFrame || l.Marks == EntryFlag && mark[0] != 0}
	if f.Code, err = readWord(mem, at+uint64(l.FrameCode)); err != nil {
		return 0, err
	}
	instr, err := readWord(mem, at+uint64(l.FrameInstr))
	if err != nil {
		return 0, err
	}
	f.Offset = l.offset(f.Code, instr)
	var pointers [24]byte
	if err := mem.Read(pointers[:], f.Code+uint64(l.CodeIdentity())); err != nil {
		return 0, err
	}
	f.Identity = Identity(pointers)
	t.Frames = append(t.Frames, f)
	return previous, nil
}

// offset turns the field FrameInstr of a frame into bytes from the start of the code, or -1.
func (l *Layout) offset(code, instr uint64) int {
	switch {
	case l.Minor < 10: // f_lasti: a C int
		return int(int32(instr))
	case l.Minor == 10: // the same, in instructions
		return max(int(int32(instr))*instructionSize, -1)
	}
	start := code + uint64(l.CodeStart)
	if instr < start || instr-start > maxBytecode {
		return -1
	}
	return int(instr - start)
}

// maxBytecode bounds the offset of an instruction.
const maxBytecode = 1<<31 - 2
