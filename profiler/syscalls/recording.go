// SPDX-License-Identifier: Apache-2.0

package syscalls

import (
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/assaylab/assay/bpf"
)

// Causes of loss.
const (
	LostRing    = "ring full"           // user space was too slow
	LostRoom    = "no room"             // no memory to note that a call began
	LostNested  = "nested"              // a program was already running on the CPU
	LostForeign = "other ABI"           // of 32-bit code
	LostOutside = "other PID namespace" // of threads that ours has no number for
)

// Recording is what is known of a recording beside its calls.
type Recording struct {
	Began   time.Time
	Empty   time.Duration // what a call that does next to nothing takes as we see it
	Elapsed time.Duration
	Calls   uint64            // handed out
	ByName  map[string]uint64 // of them
	Lost    map[string]uint64 // not handed out, by cause

	NotEnded    uint64 // calls in which their thread ended: exit, exit_group, and those of threads that were killed
	GoingOn     uint64 // calls that went on when the recording ended
	BeganBefore uint64 // calls that were going on when it began: they are not handed out
	Unfollowed  uint64 // processes that found no room among those that are recorded

	PathsCut    uint64 // calls with a path longer than 255 bytes
	PathsUnread uint64 // calls of which a path could not be read
	Unread      uint64 // calls of which another part of memory could not be read

	process *os.Process
	ended   chan struct{} // closed when the command has ended
	code    int
	err     error
}

// add counts a record.
func (r *Recording) add(record *bpf.CallRecord) {
	r.Calls++
	if record.Duration == bpf.CallNotEnded {
		r.NotEnded++
	}
	if record.Flags&bpf.CallPathCut != 0 {
		r.PathsCut++
	}
	// Of a pointer that leads nowhere (EFAULT) nothing is missing.
	if record.Flags&bpf.CallPathUnread != 0 && record.Result != -efault {
		r.PathsUnread++
	}
	if record.Flags&bpf.CallMemoryUnread != 0 && record.Result != -efault {
		r.Unread++
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
