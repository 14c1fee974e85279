// SPDX-License-Identifier: Apache-2.0

package syscalls

import (
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/assaylab/assay/bpf"
)

// Causes for which calls are not handed out.
const (
	LostRing    = "ring_full"           // user space was too slow
	LostRoom    = "no_room"             // no memory to note that a call began
	LostNested  = "nested"              // a program was already running on the CPU
	LostForeign = "other_abi"           // of 32-bit code
	LostOutside = "other_pid_namespace" // of threads that ours has no number for
	LostBefore  = "began_before"        // was going on when the recording began
)

// What calls that are handed out may lack.
const (
	PartialEnded   = "thread_ended" // no end: exit, exit_group, or the thread was killed in it
	PartialGoingOn = "going_on"     // no end yet when the recording ended
	PartialCut     = "path_cut"     // what is beyond 255 bytes of a path
	PartialPath    = "path_unread"  // a path: its memory could not be read
	PartialMemory  = "value_unread" // the same of a size, a value or an address
)

// Recording is what is known of a recording beside its calls.
type Recording struct {
	Began      time.Time
	Empty      time.Duration // what a call that does next to nothing takes as we see it
	Elapsed    time.Duration
	Calls      int64            // handed out
	Names      map[string]int64 // of them
	Lost       map[string]int64 // calls not handed out, by cause
	Partial    map[string]int64 // calls handed out of which something is missing, by what
	Unfollowed int64            // processes that found no room among those that are recorded

	process *os.Process
	ended   chan struct{} // closed when the command has ended
	code    int
	err     error
}

// add counts a record; unended is what it lacks if it has no end.
func (r *Recording) add(record *bpf.CallRecord, unended string) {
	r.Calls++
	if record.Duration == bpf.CallNotEnded {
		r.Partial[unended]++
	}
	if record.Flags&bpf.CallPathCut != 0 {
		r.Partial[PartialCut]++
	}
	if record.Result == -efault {
		return // of a pointer that leads nowhere, nothing is missing
	}
	if record.Flags&bpf.CallPathUnread != 0 {
		r.Partial[PartialPath]++
	}
	if record.Flags&bpf.CallMemoryUnread != 0 {
		r.Partial[PartialMemory]++
	}
}

const efault = 14

// Signal sends a signal to the command, if there is one that still runs.
func (r *Recording) Signal(sig os.Signal) error {
	if r.process == nil {
		return nil
	}
	if err := r.process.Signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("signal the command: %w", err)
	}
	return nil
}

// Wait waits for the command, if there is one, and returns its exit status.
func (r *Recording) Wait() (exitCode int, err error) {
	if r.process == nil {
		return 0, nil
	}
	<-r.ended
	return r.code, r.err
}
