// SPDX-License-Identifier: Apache-2.0

package syscalls

import (
	"errors"
	"os"
	"slices"
	"time"
)

// Options say what to record: processes, a cgroup, or a command.
type Options struct {
	PIDs     []int         // these processes and their descendants
	Cgroup   string        // folder of a cgroup, v1 or v2: it and all below it
	Command  []string      // started, and recorded from its execve to its end, with its descendants
	Duration time.Duration // 0: until the context ends, or the command does
	NoPaths  bool          // a number for each distinct path in its place
	// Started is called when the recording begins, before the first call is handed out. Empty is what a call that does next to nothing
	// takes as we see it. An error ends the recording.
	Started func(began time.Time, empty time.Duration) error
	// Progress is called about once a second while recording.
	Progress func(Progress)
}

// Progress is how far a recording is.
type Progress struct {
	Elapsed time.Duration
	Calls   int64
	Lost    int64
}

// check says what is wrong.
func (o *Options) check() error {
	targets := 0
	for _, given := range []bool{len(o.PIDs) > 0, o.Cgroup != "", len(o.Command) > 0} {
		if given {
			targets++
		}
	}
	switch {
	case targets != 1:
		return errors.New("targets: give one of --pid, --cgroup and -- COMMAND")
	case o.Duration < 0:
		return errors.New("a duration can't be negative")
	case slices.Contains(o.PIDs, os.Getpid()):
		return errors.New("a recorder can't record itself: each call that it makes to write would be another to write")
	}
	return nil
}
