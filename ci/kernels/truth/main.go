// SPDX-License-Identifier: Apache-2.0

// Command truth does what a profile of it must show, and says itself, from the kernel's clocks, how much it did of each:
//
//	truth split SECONDS   one thread computes: about 70% in main.seventy, 20% in main.twenty, 10% in main.ten; its CPU time
//	truth calls SECONDS   the same with 60% in main.sixty, which has C do it, and 40% in main.forty; only if compiled with C
//	truth wait SECONDS    one thread waits: about 50% in main.nanosleep, 30% in main.futex, 20% in main.pipe; time off the CPU
//
// Each function runs under the label work (runtime/pprof.Do) with its own name. It prints JSON, an object from function to report.Span. It is static and needs no compiler where it runs. Pieces of work have random
// lengths, so that no sampling frequency can fall into step with them.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"runtime/debug"
	"runtime/pprof"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"github.com/assaylab/assay/ci/kernels/report"
)

// works are done until a time, and say how much was done.
var works = map[string]func(until time.Time) (map[string]report.Span, error){"split": split, "wait": wait}

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "truth:", err)
		os.Exit(1)
	}
}

// run does the named work on a thread of its own for the given time and prints what it did.
func run(args []string) error {
	if len(args) != 2 {
		return errors.New("usage: truth split|calls|wait SECONDS")
	}
	work, known := works[args[0]]
	if !known {
		return fmt.Errorf("no work is called %q", args[0])
	}
	seconds, err := strconv.ParseFloat(args[1], 64)
	if err != nil {
		return fmt.Errorf("seconds: %w", err)
	}
	debug.SetGCPercent(-1)
	runtime.GOMAXPROCS(8) // more than threads, so that no return from a system call waits for the scheduler
	runtime.LockOSThread()
	done, err := work(time.Now().Add(time.Duration(seconds * float64(time.Second))))
	if err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(done)
}

// labelled does work under the label work.
func labelled(name string, work func()) {
	pprof.Do(context.Background(), pprof.Labels("work", name), func(context.Context) { work() })
}

// vary returns a random time between half and one and a half of the mean.
func vary(mean time.Duration) time.Duration {
	return mean/2 + rand.N(mean)
}

// cpuClock reads the CPU time of this thread.
func cpuClock() (time.Duration, error) {
	var t unix.Timespec
	err := unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &t)
	return time.Duration(t.Nano()), err
}
