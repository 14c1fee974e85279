// SPDX-License-Identifier: Apache-2.0

package network

import (
	"errors"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// Priorities of real time (sched(7)); any comes before all threads without one.
const (
	senderPriority  = 1
	runtimePriority = 2
)

// hurry has this thread run before all others of the machine, but for the other threads of this process, which come first: those of Go's runtime stop a thread
// for a moment when it comes back from a system call, and if it had pushed them away just then, it would wait for them, busily, until the kernel stops
// it for having run too long. undo makes all threads what this one was; it is never nil.
func hurry() (undo func(), err error) {
	before, err := unix.SchedGetAttr(0, 0)
	if err != nil {
		return func() {}, err
	}
	undo = func() { forThreads(before) } //nolint:errcheck // what could be set can be set back
	err = forThreads(&unix.SchedAttr{Size: unix.SizeofSchedAttr, Policy: unix.SCHED_FIFO, Priority: runtimePriority})
	if err == nil {
		err = unix.SchedSetAttr(0, &unix.SchedAttr{Size: unix.SizeofSchedAttr, Policy: unix.SCHED_FIFO, Priority: senderPriority}, 0)
	}
	if err != nil {
		undo()
	}
	return undo, err
}

// forThreads sets how all threads of this process are scheduled, also those that are made from now on, which have it from the one that makes them.
func forThreads(attr *unix.SchedAttr) error {
	tasks, err := os.ReadDir("/proc/self/task")
	if err != nil {
		return err
	}
	for _, task := range tasks {
		tid, err := strconv.Atoi(task.Name())
		if err == nil {
			err = unix.SchedSetAttr(tid, attr, 0)
		}
		if err != nil && !errors.Is(err, unix.ESRCH) { // it has just ended
			return err
		}
	}
	return nil
}
