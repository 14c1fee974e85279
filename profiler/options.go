// SPDX-License-Identifier: Apache-2.0

package profiler

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/assaylab/assay/bpf"
)

// Mode is a kind of time to record.
type Mode string

// The modes.
const (
	CPU    Mode = "cpu"    // where threads run, by sampling
	OffCPU Mode = "offcpu" // where they wait, by accounting
	Wall   Mode = "wall"   // both, and the run queue, joined under each thread
)

// Unwinding is how user stacks are walked.
type Unwinding string

// The ways to walk.
const (
	ByTables        Unwinding = "auto" // by the call frame information of each file; where there is none, by frame pointers
	ByFramePointers Unwinding = "fp"   // by frame pointers alone
)

// DefaultUnwindMemory is the default of Options.UnwindMemory.
const DefaultUnwindMemory = 64 << 20

// MaxFreq bounds the sampling frequency: at 20 kHz a CPU does little else than sample.
const MaxFreq = 20000

// Options say what to record. The zero value of a field is its default.
type Options struct {
	Modes    []Mode        // none: cpu
	Freq     int           // samples a second and CPU; 0: 97
	Duration time.Duration // 0: until the context ends, or the command does

	PIDs     []int    // these processes, with all their threads
	Children bool     // and what they fork
	Comm     string   // threads, or processes, of this name
	Cgroup   string   // folder of a cgroup, v1 or v2: it and all below it
	Command  []string // started, and recorded from its first instruction to its end, with its children

	MinBlock time.Duration // shorter waits get no stack, but count in the totals
	Exact    bool          // a stack for every wait
	Wakers   bool          // the stack of the thread that ended a wait
	CPULabel bool          // CPU samples by CPU
	Stop     bool          // send SIGSTOP with each CPU sample, so that a debugger can look at the very same moment

	NoGoLabels bool // leave out the labels that goroutines have (runtime/pprof.Do)

	Unwind       Unwinding // "": auto
	UnwindMemory int       // bytes of kernel memory for tables; 0: DefaultUnwindMemory
	UnwindCache  string    // folder where tables are kept for the next time; "": none

	// JavaMaps asks each Java process that still runs when recording ends to write its perf map (with jcmd, of a JDK), which
	// is removed again when the recording is closed.
	JavaMaps bool

	// Started is called when everything is loaded and recording has begun.
	Started func()
	// Progress is called about once a second while recording.
	Progress func(Progress)
}

// Progress is how far a recording is.
type Progress struct {
	Elapsed time.Duration
	Samples uint64 // CPU samples
	Waits   uint64 // context switches accounted
	Stacks  int    // distinct ones so far
}

// has says whether a mode is asked for.
func (o *Options) has(m Mode) bool { return slices.Contains(o.Modes, m) }

// wholeMachine says that nothing is left out.
func (o *Options) wholeMachine() bool {
	return len(o.PIDs) == 0 && o.Comm == "" && o.Cgroup == "" && len(o.Command) == 0
}

func (o *Options) samples() bool  { return o.has(CPU) || o.has(Wall) }
func (o *Options) accounts() bool { return o.has(OffCPU) || o.has(Wall) }

// ParseModes reads a comma list of modes.
func ParseModes(list string) ([]Mode, error) {
	var modes []Mode
	for _, name := range strings.Split(list, ",") {
		m := Mode(strings.TrimSpace(name))
		if m != CPU && m != OffCPU && m != Wall {
			return nil, fmt.Errorf("mode %q: want cpu, offcpu, wall, or several with commas", name)
		}
		if !slices.Contains(modes, m) {
			modes = append(modes, m)
		}
	}
	return modes, nil
}

// complete fills in defaults and says what is wrong.
func (o *Options) complete() error {
	if len(o.Modes) == 0 {
		o.Modes = []Mode{CPU}
	}
	if o.Freq == 0 {
		o.Freq = 97
	}
	if o.Freq < 0 || o.Freq > MaxFreq {
		return fmt.Errorf("frequency %d: want 1 to %d samples a second", o.Freq, MaxFreq)
	}
	if o.Unwind == "" {
		o.Unwind = ByTables
	}
	if o.Unwind != ByTables && o.Unwind != ByFramePointers {
		return fmt.Errorf("unwinding %q: want auto or fp", o.Unwind)
	}
	if o.UnwindMemory == 0 {
		o.UnwindMemory = DefaultUnwindMemory
	}
	if o.UnwindMemory < bpf.SlabBytes {
		return fmt.Errorf("memory for unwinding %d: want at least %d bytes, or unwinding by frame pointers alone", o.UnwindMemory, bpf.SlabBytes)
	}
	if o.MinBlock < 0 || o.Duration < 0 {
		return errors.New("a duration can't be negative")
	}
	targets := 0
	for _, given := range []bool{len(o.PIDs) > 0, o.Comm != "", o.Cgroup != "", len(o.Command) > 0} {
		if given {
			targets++
		}
	}
	if targets > 1 {
		return errors.New("targets: give one of a PID list, a name, a cgroup or a command")
	}
	if len(o.Comm) > 15 {
		return fmt.Errorf("name %q: the kernel keeps 15 bytes of a thread's name, so a longer one never matches; did you mean %q?", o.Comm, o.Comm[:15])
	}
	if o.Children && len(o.PIDs) == 0 {
		return errors.New("children: only with PIDs (a command's children are always recorded)")
	}
	return nil
}
