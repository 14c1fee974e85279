// SPDX-License-Identifier: Apache-2.0

package syscall

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// An event is an eventfd that an epoll instance watches.
type event struct {
	fd, epoll int
	one       [8]byte // the number that is added to the eventfd
	got       [8]byte
	ready     [1]unix.EpollEvent
}

func openEpoll(site) (pattern, error) {
	fd, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		return nil, fmt.Errorf("eventfd: %w", err)
	}
	epoll, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("epoll_create: %w", err), closeAll(fd))
	}
	if err := unix.EpollCtl(epoll, unix.EPOLL_CTL_ADD, fd, &unix.EpollEvent{Events: unix.EPOLLIN}); err != nil {
		return nil, errors.Join(fmt.Errorf("epoll_ctl: %w", err), closeAll(epoll, fd))
	}
	return &event{fd: fd, epoll: epoll, one: [8]byte{1}}, nil
}

// do writes first, so that there is nothing to wait for.
func (e *event) do() error {
	if err := writeAll(e.fd, e.one[:]); err != nil {
		return err
	}
	const patience = 1000 // ms, after which the event was lost
	n, err := again(func() (int, error) { return unix.EpollWait(e.epoll, e.ready[:], patience) })
	if err != nil {
		return fmt.Errorf("epoll_wait: %w", err)
	}
	if n != 1 {
		return fmt.Errorf("epoll_wait: %d events, want 1", n)
	}
	return readAll(e.fd, e.got[:])
}

func (e *event) close() error { return closeAll(e.epoll, e.fd) }
