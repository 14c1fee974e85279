// SPDX-License-Identifier: Apache-2.0

package syscall

import (
	"errors"
	"fmt"
	"io"

	"golang.org/x/sys/unix"
)

// again makes a call until no signal cuts it: Go's runtime sends some to its threads.
func again(f func() (int, error)) (int, error) {
	for {
		n, err := f()
		if err != unix.EINTR { //nolint:errorlint // the call's own number, in a hot loop
			return n, err
		}
	}
}

// readAll fills a buffer from a descriptor; the descriptor's end before that is io.ErrUnexpectedEOF.
func readAll(fd int, buffer []byte) error {
	for len(buffer) > 0 {
		n, err := again(func() (int, error) { return unix.Read(fd, buffer) })
		switch {
		case err != nil:
			return fmt.Errorf("read: %w", err)
		case n == 0:
			return fmt.Errorf("read: %w", io.ErrUnexpectedEOF)
		}
		buffer = buffer[n:]
	}
	return nil
}

// writeAll writes a buffer to a descriptor.
func writeAll(fd int, buffer []byte) error {
	for len(buffer) > 0 {
		n, err := again(func() (int, error) { return unix.Write(fd, buffer) })
		if err != nil {
			return fmt.Errorf("write: %w", err)
		}
		buffer = buffer[n:]
	}
	return nil
}

// closeAll closes descriptors.
func closeAll(fds ...int) error {
	var errs []error
	for _, fd := range fds {
		if err := unix.Close(fd); err != nil {
			errs = append(errs, fmt.Errorf("close: %w", err))
		}
	}
	return errors.Join(errs...)
}
