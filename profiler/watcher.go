// SPDX-License-Identifier: Apache-2.0

package profiler

import (
	"errors"
	"fmt"
	"os"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// watcher reads what comes from the kernel, when the kernel asks for it or a while has passed. A recording of a machine where
// nothing is new sleeps: its own wake-ups would be a part of its cost.
//
// The files that tell are in an epoll of ours, and that is in the one of Go's scheduler. To wait in a system call instead would keep
// Go's monitor thread busy for 10 ms at each wake-up, which cost more than all the rest.
type watcher struct {
	set     *os.File // the epoll
	read    func() error
	ticks   chan time.Time // one each lookPeriod
	stopped atomic.Bool
	done    chan struct{} // closed at the end
	err     error         // after done
}

// restlessPeriod is how long the watcher sleeps after it was woken: the kernel side wakes it only every 20 ms, so
// something may have come since that nobody woke it for.
const restlessPeriod = 40 * time.Millisecond

// startWatcher calls read whenever one of the files is readable, which read has to change, and at least each lookPeriod. More
// files may be added later.
func startWatcher(fds []int, read func() error) (*watcher, error) {
	epoll, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("epoll: %w", err)
	}
	if err := unix.SetNonblock(epoll, true); err != nil { // or Go would not wait for it by its scheduler
		return nil, errors.Join(fmt.Errorf("epoll: %w", err), unix.Close(epoll))
	}
	w := &watcher{set: os.NewFile(uintptr(epoll), "epoll"), read: read, ticks: make(chan time.Time, 1), done: make(chan struct{})}
	for _, fd := range fds {
		if err := w.add(fd); err != nil {
			return nil, errors.Join(err, w.set.Close())
		}
	}
	go func() {
		defer close(w.done)
		w.err = w.run()
	}()
	return w, nil
}

// add watches one more file, until it is closed.
func (w *watcher) add(fd int) error {
	raw, err := w.set.SyscallConn()
	if err != nil {
		return fmt.Errorf("epoll: %w", err)
	}
	event := unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(fd)}
	cerr := raw.Control(func(epoll uintptr) { err = unix.EpollCtl(int(epoll), unix.EPOLL_CTL_ADD, fd, &event) })
	if err := errors.Join(err, cerr); err != nil {
		return fmt.Errorf("epoll: %w", err)
	}
	return nil
}

func (w *watcher) run() error {
	next := time.Now().Add(lookPeriod)
	restless := false
	for {
		until := next
		if soon := time.Now().Add(restlessPeriod); restless && soon.Before(next) {
			until = soon
		}
		var err error
		if restless, err = w.wait(until); err != nil || w.stopped.Load() {
			return err
		}
		if err := w.read(); err != nil {
			return err
		}
		now := time.Now()
		if now.Before(next) {
			continue
		}
		next = now.Add(lookPeriod)
		select {
		case w.ticks <- now:
		default: // whom it is for is busy with the last one
		}
	}
}

// wait returns when one of the files is readable, which it tells, the time has come, or the watcher is to stop.
func (w *watcher) wait(until time.Time) (woken bool, err error) {
	raw, err := w.set.SyscallConn()
	if err != nil {
		return false, fmt.Errorf("epoll: %w", err)
	}
	if err := w.set.SetReadDeadline(until); err != nil {
		return false, fmt.Errorf("epoll: %w", err)
	}
	if w.stopped.Load() { // it may have been set before the deadline, which would outlive it
		return false, nil
	}
	var events [1]unix.EpollEvent
	err = raw.Read(func(epoll uintptr) bool {
		n, err := unix.EpollWait(int(epoll), events[:], 0)
		return n > 0 || err != nil && !errors.Is(err, unix.EINTR)
	})
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return false, nil
	} else if err != nil {
		return false, fmt.Errorf("epoll: %w", err)
	}
	return true, nil
}

// stop ends the watcher and returns why it had ended before, if it had.
func (w *watcher) stop() error {
	w.stopped.Store(true)
	err := w.set.SetReadDeadline(time.Now())
	<-w.done
	return errors.Join(w.err, err, w.set.Close())
}
