// SPDX-License-Identifier: Apache-2.0

package load

import (
	"fmt"
	"runtime"
	"time"

	"golang.org/x/sys/unix"
)

// blockSteps is how many steps of integer work are a block, about 10 µs on a CPU of 2020. It is a count, not a time, so that a block is
// the same work wherever and whenever it runs.
const blockSteps = 5000

// block does a block of integer work from a state, and returns the next. Each step needs the last one's result, so that it is the
// CPU's clock that counts, not its width.
func block(state uint64) uint64 {
	for range blockSteps {
		state ^= state << 13
		state ^= state >> 7
		state ^= state << 17
	}
	return state
}

// spin works until the thread has had the CPU for a time: when others want the CPU too, it takes longer.
func spin(d time.Duration) error {
	if d <= 0 {
		return nil
	}
	runtime.LockOSThread() // whose clock it is
	defer runtime.UnlockOSThread()
	start, err := threadTime()
	if err != nil {
		return err
	}
	for now, state := start, uint64(1); now-start < d; {
		for range 100 { // about as long as reading the clock
			state ^= state << 13
			state ^= state >> 7
			state ^= state << 17
		}
		if now, err = threadTime(); err != nil {
			return err
		}
	}
	return nil
}

// threadTime is how long this thread has had a CPU.
func threadTime() (time.Duration, error) {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &t); err != nil {
		return 0, fmt.Errorf("clock of the thread: %w", err)
	}
	return time.Duration(t.Nano()), nil
}
