// SPDX-License-Identifier: Apache-2.0

package network

import (
	"errors"
	"maps"
	"os"
	"strconv"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/assaylab/assay/scenarios/internal/thread"
)

// TestHurry wants this thread to come before all others, but for those of this process, and all to be as before in the end.
func TestHurry(t *testing.T) {
	err := thread.Do(func() error {
		before := policies(t)
		undo, err := hurry()
		if err != nil {
			return err
		}
		for tid, attr := range policies(t) {
			want := uint32(runtimePriority)
			if tid == unix.Gettid() {
				want = senderPriority
			}
			if attr.Policy != unix.SCHED_FIFO || attr.Priority != want {
				t.Errorf("thread %d, sender is %d: policy %d, priority %d", tid, unix.Gettid(), attr.Policy, attr.Priority)
			}
		}
		undo()
		after := policies(t)
		maps.DeleteFunc(after, func(tid int, _ unix.SchedAttr) bool { _, old := before[tid]; return !old })
		for tid, attr := range after {
			if attr != before[tid] {
				t.Errorf("thread %d: %+v, before %+v", tid, attr, before[tid])
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// policies is how the threads of this process are scheduled.
func policies(t *testing.T) map[int]unix.SchedAttr {
	t.Helper()
	tasks, err := os.ReadDir("/proc/self/task")
	if err != nil {
		t.Fatal(err)
	}
	all := map[int]unix.SchedAttr{}
	for _, task := range tasks {
		tid, err := strconv.Atoi(task.Name())
		if err != nil {
			t.Fatal(err)
		}
		switch attr, err := unix.SchedGetAttr(tid, 0); {
		case err == nil:
			all[tid] = *attr
		case !errors.Is(err, unix.ESRCH):
			t.Fatal(err)
		}
	}
	return all
}
