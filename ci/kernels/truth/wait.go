// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/assaylab/assay/ci/kernels/report"
)

// wait waits until a time and returns how long in each function.
func wait(until time.Time) (map[string]report.Span, error) {
	orders, o, err := openWaits()
	if err != nil {
		return nil, err
	}
	done := map[string]report.Span{}
	for time.Now().Before(until) {
		for _, part := range []struct {
			name string
			wait func(*order) unix.Errno
			mean time.Duration
		}{
			{"main.nanosleep", nanosleep, 50 * time.Millisecond},
			{"main.futex", futex, 30 * time.Millisecond},
			{"main.pipe", pipe, 20 * time.Millisecond},
		} {
			length := vary(part.mean)
			o.length = unix.NsecToTimespec(length.Nanoseconds())
			if part.name == "main.pipe" {
				orders <- length
			}
			var took report.Span
			labelled(part.name, func() { took, err = offCPU(part.wait, o) })
			if err != nil {
				return nil, fmt.Errorf("%s: %w", part.name, err)
			}
			sum := done[part.name]
			done[part.name] = report.Span{Least: sum.Least + took.Least, Most: sum.Most + took.Most}
		}
	}
	return done, nil
}

// order is what a wait needs.
type order struct {
	length    unix.Timespec
	pipe      uintptr // somebody writes to it some time after an order was given
	token     byte
	word      uint32 // nobody changes it
	schedstat uintptr
}

// openWaits opens what the waits of this thread need, and keeps Go's scheduler out of them. They are raw system calls, which the
// scheduler knows nothing of, and from the first reading of a clock to the last no function looks at whether it has to give way (that is
// what nosplit does): the scheduler would wait itself then, on a stack of its own. Nor may it interrupt by its signal.
func openWaits() (chan<- time.Duration, *order, error) {
	var urgent unix.Sigset_t
	urgent.Val[0] = 1 << (unix.SIGURG - 1)
	if err := unix.PthreadSigmask(unix.SIG_BLOCK, &urgent, nil); err != nil {
		return nil, nil, err
	}
	schedstat, err := unix.Open("/proc/thread-self/schedstat", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, nil, err
	}
	var ends [2]int
	if err := unix.Pipe2(ends[:], unix.O_CLOEXEC); err != nil {
		return nil, nil, err
	}
	orders := make(chan time.Duration, 1)
	go func() {
		for length := range orders {
			time.Sleep(length)
			if _, err := unix.Write(ends[1], []byte{1}); err != nil {
				fmt.Fprintln(os.Stderr, "truth: pipe:", err)
				os.Exit(1) // or the reader would wait forever
			}
		}
	}()
	return orders, &order{pipe: uintptr(ends[0]), schedstat: uintptr(schedstat)}, nil
}

// offCPU returns how long a wait was off the CPU: at most all of its time, at least that without what this thread ran or stood in the run
// queue between readings around it.
func offCPU(wait func(*order) unix.Errno, o *order) (report.Span, error) {
	var before, after moment
	errno := measure(wait, o, &before, &after)
	runtime.KeepAlive(o)
	queuedBefore, err1 := before.queued()
	queuedAfter, err2 := after.queued()
	took := time.Duration(after.wall.Nano() - before.wall.Nano())
	busy := time.Duration(after.cpu.Nano()-before.cpu.Nano()) + queuedAfter - queuedBefore
	if errno != 0 && errno != unix.EINTR && errno != unix.ETIMEDOUT { // what counts is how long it was
		err1 = errors.Join(err1, errno)
	}
	return report.Span{Least: took - busy, Most: took}, errors.Join(err1, err2)
}

// moment is a reading of this thread's clocks.
type moment struct {
	wall, cpu unix.Timespec
	schedstat [96]byte
	length    uintptr // of schedstat
	failed    unix.Errno
}

// measure reads the clocks around a wait. The CPU clock is read next to the wait, so that the slower reading of the queue isn't part of it.
//
//go:nosplit
func measure(wait func(*order) unix.Errno, o *order, before, after *moment) unix.Errno {
	before.readQueue(o)
	before.read(unix.CLOCK_THREAD_CPUTIME_ID, &before.cpu)
	before.read(unix.CLOCK_MONOTONIC, &before.wall)
	errno := wait(o)
	after.read(unix.CLOCK_MONOTONIC, &after.wall)
	after.read(unix.CLOCK_THREAD_CPUTIME_ID, &after.cpu)
	after.readQueue(o)
	return errno
}

//go:nosplit
func (m *moment) read(clock uintptr, t *unix.Timespec) {
	if _, _, errno := unix.RawSyscall(unix.SYS_CLOCK_GETTIME, clock, uintptr(unsafe.Pointer(t)), 0); errno != 0 {
		m.failed = errno
	}
}

//go:nosplit
func (m *moment) readQueue(o *order) {
	n, _, errno := unix.RawSyscall6(unix.SYS_PREAD64, o.schedstat, uintptr(unsafe.Pointer(&m.schedstat)), unsafe.Sizeof(m.schedstat), 0, 0, 0)
	if m.length = n; errno != 0 {
		m.failed = errno
	}
}

// queued returns how long this thread had stood in the run queue: the second number of schedstat, which is exact for a thread that runs.
// (The first, its CPU time, lacks what ran since the last tick.)
func (m *moment) queued() (time.Duration, error) {
	if m.failed != 0 {
		return 0, fmt.Errorf("clocks of the thread: %w", m.failed)
	}
	text := string(m.schedstat[:min(m.length, unsafe.Sizeof(m.schedstat))])
	var ran, queued int64
	if _, err := fmt.Sscan(text, &ran, &queued); err != nil {
		return 0, fmt.Errorf("schedstat %q: %w", text, err)
	}
	return time.Duration(queued), nil
}

//go:nosplit
//go:noinline
func nanosleep(o *order) unix.Errno {
	_, _, errno := unix.RawSyscall(unix.SYS_NANOSLEEP, uintptr(unsafe.Pointer(&o.length)), 0, 0)
	return errno
}

// futex waits for a word that nobody will change, until its time is over.
//
//go:nosplit
//go:noinline
func futex(o *order) unix.Errno {
	const waitPrivate = 128 // FUTEX_WAIT | FUTEX_PRIVATE_FLAG
	_, _, errno := unix.RawSyscall6(unix.SYS_FUTEX, uintptr(unsafe.Pointer(&o.word)), waitPrivate, 0, uintptr(unsafe.Pointer(&o.length)), 0, 0)
	return errno
}

//go:nosplit
//go:noinline
func pipe(o *order) unix.Errno {
	_, _, errno := unix.RawSyscall(unix.SYS_READ, o.pipe, uintptr(unsafe.Pointer(&o.token)), 1)
	return errno
}
