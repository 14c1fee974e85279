// SPDX-License-Identifier: Apache-2.0

package profiler

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// watcher reads what comes from the kernel, when the kernel asks for it or a while has passed. A recording of a machine where
// nothing is new sleeps: its own wake-ups would be a part of its cost.
type watcher struct {
	fds  func() []int         // readable when there is something to read
	read func() (bool, error) // says whether there was anything
	bell int                  // an eventfd that tells to stop
	done chan struct{}        // closed at the end
	err  error                // after done
}

// restlessPeriod is how long the watcher sleeps after it found something: the kernel side wakes it only every 20 ms, so
// something may have come since that nobody woke it for.
const restlessPeriod = 40 * time.Millisecond

func startWatcher(fds func() []int, read func() (bool, error)) (*watcher, error) {
	bell, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		return nil, fmt.Errorf("eventfd: %w", err)
	}
	w := &watcher{fds: fds, read: read, bell: bell, done: make(chan struct{})}
	go func() {
		defer close(w.done)
		w.err = w.run()
	}()
	return w, nil
}

func (w *watcher) run() error {
	wait := lookPeriod
	for {
		stop, err := w.wait(wait)
		if stop || err != nil {
			return err
		}
		found, err := w.read()
		if err != nil {
			return err
		}
		if wait = lookPeriod; found {
			wait = restlessPeriod
		}
	}
}

// wait returns when one of the files is readable or the time is over, and whether the bell rang.
func (w *watcher) wait(d time.Duration) (stop bool, err error) {
	polled := []unix.PollFd{{Fd: int32(w.bell), Events: unix.POLLIN}}
	for _, fd := range w.fds() {
		polled = append(polled, unix.PollFd{Fd: int32(fd), Events: unix.POLLIN})
	}
	if _, err := unix.Poll(polled, int(d.Milliseconds())); err != nil && !errors.Is(err, unix.EINTR) {
		return false, fmt.Errorf("poll: %w", err)
	}
	return polled[0].Revents != 0, nil
}

// stop ends the watcher and returns why it had ended before, if it had.
func (w *watcher) stop() error {
	_, err := unix.Write(w.bell, binary.NativeEndian.AppendUint64(nil, 1))
	if err != nil {
		return fmt.Errorf("eventfd: %w", err)
	}
	<-w.done
	return errors.Join(w.err, unix.Close(w.bell))
}
