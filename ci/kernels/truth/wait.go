// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"os"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/assaylab/assay/ci/kernels/report"
)

// wait waits until a time and returns how long in each function.
func wait(until time.Time) (map[string]report.Span, error) {
	bell, err := newBell()
	if err != nil {
		return nil, err
	}
	if err := keepOut(); err != nil {
		return nil, err
	}
	done := map[string]report.Span{}
	for time.Now().Before(until) {
		for _, part := range []struct {
			name    string
			prepare func(time.Duration)
			wait    func(time.Duration) error
			mean    time.Duration
		}{
			{"main.nanosleep", nothing, nanosleep, 50 * time.Millisecond},
			{"main.futex", nothing, futex, 30 * time.Millisecond},
			{"main.(*bell).pipe", bell.order, bell.pipe, 20 * time.Millisecond},
		} {
			length := vary(part.mean)
			part.prepare(length)
			took, err := offCPU(func() error { return part.wait(length) })
			if err != nil {
				return nil, err
			}
			sum := done[part.name]
			done[part.name] = report.Span{Least: sum.Least + took.Least, Most: sum.Most + took.Most}
		}
	}
	return done, nil
}

func nothing(time.Duration) {}

// keepOut keeps Go's scheduler out of the waits of this thread. They are raw system calls, which the scheduler knows nothing of: it would
// wait itself when they return, at times, and on a stack of its own. Nor may it interrupt them with its signal.
func keepOut() error {
	var urgent unix.Sigset_t
	urgent.Val[0] = 1 << (unix.SIGURG - 1)
	return unix.PthreadSigmask(unix.SIG_BLOCK, &urgent, nil)
}

// offCPU returns how long f was off the CPU: at most all of its time, at least that without what this thread ran or stood in the run
// queue between readings around it. The CPU clock is read next to f, so that the slower reading of the queue isn't part of the span.
func offCPU(f func() error) (report.Span, error) {
	queuedBefore, queueErr := queued()
	ranBefore, clockErr := cpuClock()
	begin := time.Now()
	err := f()
	took := time.Since(begin)
	ranAfter, clockErr2 := cpuClock()
	queuedAfter, queueErr2 := queued()
	busy := ranAfter - ranBefore + queuedAfter - queuedBefore
	return report.Span{Least: took - busy, Most: took}, errors.Join(err, queueErr, queueErr2, clockErr, clockErr2)
}

// queued returns how long this thread has stood in the run queue: the second number of schedstat, which is exact for a thread that runs.
// (The first, its CPU time, lacks what ran since the last tick.)
func queued() (time.Duration, error) {
	text, err := os.ReadFile("/proc/thread-self/schedstat")
	if err != nil {
		return 0, err
	}
	var ran, queued int64
	if _, err := fmt.Sscan(string(text), &ran, &queued); err != nil {
		return 0, fmt.Errorf("schedstat %q: %w", text, err)
	}
	return time.Duration(queued), nil
}

//go:noinline
func nanosleep(d time.Duration) error {
	length := unix.NsecToTimespec(d.Nanoseconds())
	return interrupted(unix.RawSyscall(unix.SYS_NANOSLEEP, uintptr(unsafe.Pointer(&length)), 0, 0))
}

// futex waits for a word that nobody will change, until its time is over.
//
//go:noinline
func futex(d time.Duration) error {
	const waitPrivate = 128 // FUTEX_WAIT | FUTEX_PRIVATE_FLAG
	length := unix.NsecToTimespec(d.Nanoseconds())
	var word uint32
	_, _, errno := unix.RawSyscall6(unix.SYS_FUTEX, uintptr(unsafe.Pointer(&word)), waitPrivate, 0, uintptr(unsafe.Pointer(&length)), 0, 0)
	if errno == unix.ETIMEDOUT {
		return nil
	}
	return interrupted(0, 0, errno)
}

// bell is a pipe that another thread writes to some time after it was ordered to.
type bell struct {
	read int
	ask  chan time.Duration
}

func newBell() (*bell, error) {
	var ends [2]int
	if err := unix.Pipe2(ends[:], unix.O_CLOEXEC); err != nil {
		return nil, err
	}
	b := &bell{read: ends[0], ask: make(chan time.Duration, 1)}
	go func() {
		for d := range b.ask {
			time.Sleep(d)
			if _, err := unix.Write(ends[1], []byte{1}); err != nil {
				fmt.Fprintln(os.Stderr, "truth: pipe:", err)
				os.Exit(1) // or the reader would wait forever
			}
		}
	}()
	return b, nil
}

// order isn't a part of pipe, because a channel waits too, at times.
func (b *bell) order(d time.Duration) { b.ask <- d }

//go:noinline
func (b *bell) pipe(time.Duration) error {
	var token [1]byte
	return interrupted(unix.RawSyscall(unix.SYS_READ, uintptr(b.read), uintptr(unsafe.Pointer(&token)), 1))
}

// interrupted lets a signal end a wait early: what counts is how long it was.
func interrupted(_, _ uintptr, errno unix.Errno) error {
	if errno == 0 || errors.Is(errno, unix.EINTR) {
		return nil
	}
	return errno
}
