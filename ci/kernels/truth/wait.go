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
	bell, err := newBell()
	if err != nil {
		return nil, err
	}
	// A goroutine that comes back from a system call and finds no P free waits on the scheduler's stack, where its own functions
	// are not seen: there must always be one.
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(16))
	done := map[string]report.Span{}
	for time.Now().Before(until) {
		for _, part := range []struct {
			name string
			wait func(time.Duration) error
			mean time.Duration
		}{
			{"main.nanosleep", nanosleep, 50 * time.Millisecond},
			{"main.futex", futex, 30 * time.Millisecond},
			{"main.(*bell).pipe", bell.pipe, 20 * time.Millisecond},
		} {
			took, err := offCPU(func() error { return part.wait(vary(part.mean)) })
			if err != nil {
				return nil, err
			}
			sum := done[part.name]
			done[part.name] = report.Span{Least: sum.Least + took.Least, Most: sum.Most + took.Most}
		}
	}
	return done, nil
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
	return interrupted(unix.Syscall(unix.SYS_NANOSLEEP, uintptr(unsafe.Pointer(&length)), 0, 0))
}

// futex waits for a word that nobody will change, until its time is over.
//
//go:noinline
func futex(d time.Duration) error {
	const waitPrivate = 128 // FUTEX_WAIT | FUTEX_PRIVATE_FLAG
	length := unix.NsecToTimespec(d.Nanoseconds())
	var word uint32
	_, _, errno := unix.Syscall6(unix.SYS_FUTEX, uintptr(unsafe.Pointer(&word)), waitPrivate, 0, uintptr(unsafe.Pointer(&length)), 0, 0)
	if errno == unix.ETIMEDOUT {
		return nil
	}
	return interrupted(0, 0, errno)
}

// bell is a pipe that another thread writes to some time after it was asked to.
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

//go:noinline
func (b *bell) pipe(d time.Duration) error {
	b.ask <- d
	var token [1]byte
	return interrupted(unix.Syscall(unix.SYS_READ, uintptr(b.read), uintptr(unsafe.Pointer(&token)), 1))
}

// interrupted lets a signal end a wait early: what counts is how long it was.
func interrupted(_, _ uintptr, errno unix.Errno) error {
	if errno == 0 || errors.Is(errno, unix.EINTR) {
		return nil
	}
	return errno
}
