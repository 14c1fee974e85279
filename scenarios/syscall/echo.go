// SPDX-License-Identifier: Apache-2.0

package syscall

import (
	"errors"
	"fmt"
	"sync"

	"golang.org/x/sys/unix"
)

// An end is where one side of a connection reads and writes; it owns the descriptors, which may be the same.
type end struct{ in, out int }

func (e end) close() error {
	if e.in == e.out {
		return closeAll(e.in)
	}
	return closeAll(e.in, e.out)
}

// An echo is messages that a partner sends back.
type echo struct {
	end
	message []byte
	partner sync.WaitGroup
}

// openPipe connects by two pipes, with messages of a byte whatever the size is.
func openPipe(where site) (pattern, error) {
	var there, back [2]int
	if err := unix.Pipe2(there[:], unix.O_CLOEXEC); err != nil {
		return nil, fmt.Errorf("pipe: %w", err)
	}
	if err := unix.Pipe2(back[:], unix.O_CLOEXEC); err != nil {
		return nil, errors.Join(fmt.Errorf("pipe: %w", err), closeAll(there[:]...))
	}
	return newEcho(where, end{back[0], there[1]}, end{there[0], back[1]}, 1), nil
}

// openSocketpair connects by two UNIX sockets.
func openSocketpair(where site) (pattern, error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("socketpair: %w", err)
	}
	return newEcho(where, end{fds[0], fds[0]}, end{fds[1], fds[1]}, where.size), nil
}

// newEcho starts the partner, which owns its end.
func newEcho(where site, mine, theirs end, size int) *echo {
	e := &echo{end: mine, message: make([]byte, size)}
	where.startPartner(&e.partner, func() { answer(theirs, make([]byte, size)) }, func() {
		theirs.close() //nolint:errcheck // a socket or pipe that nobody reads any more: nothing can be lost
	})
	return e
}

// answer sends messages back until the other end is closed.
func answer(e end, message []byte) {
	for readAll(e.in, message) == nil && writeAll(e.out, message) == nil {
	}
}

// do sends a message and gets it back. If the partner has ended, it fails and doesn't wait.
func (e *echo) do() error {
	if err := writeAll(e.out, e.message); err != nil {
		return err
	}
	return readAll(e.in, e.message)
}

// close ends the partner, for which a closed connection is the end.
func (e *echo) close() error {
	err := e.end.close()
	e.partner.Wait()
	return err
}
