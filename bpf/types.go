// SPDX-License-Identifier: Apache-2.0

package bpf

import "unsafe"

// The shared structs of types.h, as bpf2go reads them from the objects.
type (
	CountKey   = SweepCountKey
	CountValue = SweepCountValue
	ThreadTime = SweepThreadTime
	Counters   = SweepCounters

	// PythonProcess is where a process keeps its frames of Python.
	PythonProcess = SweepPythonProcess

	// GoProcess is where the threads of a Go process keep what they run.
	GoProcess = SweepGoProcess

	UnwindProcess = SampleUnwindProcess
	UnwindMapping = SampleUnwindMapping
	UnwindFile    = SampleUnwindFile
	UnwindPage    = SampleUnwindPage

	UnwindInode      = SampleUnwindInode
	UnwindInodeTable = SampleUnwindInodeTable
)

// Kinds of counts (enum kind).
const (
	KindCPU uint8 = iota
	KindBlocked
	KindSampled
	KindPreempted
	KindPreemptedSampled
)

// Thread states (enum thread_state): why a thread left its CPU.
const (
	StateRunnable uint8 = iota
	StateInterruptible
	StateUninterruptible
	StateStopped
	StateIdle
	StateDead
)

// StateName returns the name of a thread state as it stands in labels.
func StateName(state uint8) string {
	names := [...]string{"runnable", "interruptible", "uninterruptible", "stopped", "idle", "dead"}
	if int(state) < len(names) {
		return names[state]
	}
	return "unknown"
}

// Flags of a count's key.
const (
	KeyNoUserStack  uint16 = 1 << iota // the thread has a user side, but its stack was not taken
	KeyKernelThread                    // there is no user side
	KeyInKernel                        // CPU sample taken in kernel mode
	KeyKernelError                     // the walk of the kernel stack returned an error
	KeyLateStack                       // the user stack was taken by a sweep
	KeyUserGone                        // the kernel has ended the program, or not yet begun it
)

// KeyGuessed is set by user space: the user stack is that of other waits at the same place.
const KeyGuessed uint16 = 1 << 15

// StackEnd says what a stack is and how its walk ended.
type StackEnd uint32

// The ends of stacks (enum stack_end).
const (
	KernelStack StackEnd = iota
	KernelCut
	UserWhole
	UserCut
	UserBroken
	User32Bit
)

// UnwindFileUsed is where in an UnwindFile the kernel notes when it was used.
const UnwindFileUsed = int(unsafe.Offsetof(UnwindFile{}.Used))

// UnwindReason says why a walk by tables had to guess, or broke.
type UnwindReason uint8

// The reasons (enum unwind_reason). All but the first two, and the last four, mean: by frame pointer, which is a guess.
const (
	UnwindByTable UnwindReason = iota
	UnwindByFP                 // code that is known to keep frame pointers
	UnwindNoProcess
	UnwindPending
	UnwindAnonymous
	UnwindNoTable
	UnwindNoRoom
	UnwindNoRow
	UnwindNoMapping
	UnwindUnsupported
	UnwindUnreadable
	UnwindAstray
	unwindReasonEnd
)

var unwindReasonNames = [unwindReasonEnd]string{
	"", "frame_pointer", "no_process", "table_pending", "anonymous", "no_table", "no_room", "no_row", "no_mapping", "unsupported", "unreadable", "astray",
}

// String gives the reason as it stands in facts.
func (r UnwindReason) String() string {
	if r < unwindReasonEnd {
		return unwindReasonNames[r]
	}
	return "unknown"
}

// MaxFrames is the depth at which each half of a stack is cut.
const MaxFrames = 127

// MaxPython is the depth at which a stack of Python is cut.
const MaxPython = 128

// MaxLabels is how many labels of a goroutine are taken.
const MaxLabels = 10

// How a goroutine keeps its labels (enum go_labels).
const (
	GoLabelList uint32 = iota // a slice of pairs of strings
	GoLabelMap                // a map of at most 8
)

// NoCPU and NoSyscall are the values of a key's Cpu and Syscall that mean none.
const (
	NoCPU     = ^uint32(0)
	NoSyscall = int32(-1)
)
