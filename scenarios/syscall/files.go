// SPDX-License-Identifier: Apache-2.0

package syscall

import (
	"errors"
	"fmt"
	"io"
	"unsafe"

	"golang.org/x/sys/unix"
)

// A fileIO reads or writes the start of a file. It tells the place with each call, so that an operation is a single system call.
type fileIO struct {
	name   string
	call   func(fd int, buffer []byte, offset int64) (int, error)
	fd     int
	buffer []byte
}

func openRead(where site) (pattern, error) {
	return openFileIO(where, fileIO{name: "pread64", call: unix.Pread}, unix.O_RDONLY)
}

func openWrite(where site) (pattern, error) {
	return openFileIO(where, fileIO{name: "pwrite64", call: unix.Pwrite}, unix.O_WRONLY)
}

func openFileIO(where site, f fileIO, mode int) (pattern, error) {
	fd, err := again(func() (int, error) { return unix.Open(where.file, mode|unix.O_CLOEXEC, 0) })
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", where.file, err)
	}
	f.fd, f.buffer = fd, make([]byte, where.size)
	return &f, nil
}

func (f *fileIO) do() error {
	n, err := again(func() (int, error) { return f.call(f.fd, f.buffer, 0) })
	if err != nil {
		return fmt.Errorf("%s: %w", f.name, err)
	}
	if n < len(f.buffer) {
		return fmt.Errorf("%s: %d bytes, want %d: %w", f.name, n, len(f.buffer), io.ErrUnexpectedEOF)
	}
	return nil
}

func (f *fileIO) close() error { return closeAll(f.fd) }

// An opening opens a file, asks for its size and time, and closes it.
type opening struct {
	path   *byte // ends in 0; made once, since unix.Open would allocate it each time
	status unix.Stat_t
}

func openOpen(where site) (pattern, error) {
	path, err := unix.BytePtrFromString(where.file)
	if err != nil {
		return nil, fmt.Errorf("file %q: %w", where.file, err)
	}
	return &opening{path: path}, nil
}

func (o *opening) do() error {
	fd, err := again(o.openat)
	if err != nil {
		return fmt.Errorf("openat: %w", err)
	}
	if err := unix.Fstat(fd, &o.status); err != nil {
		return errors.Join(fmt.Errorf("fstat: %w", err), closeAll(fd))
	}
	return closeAll(fd)
}

func (o *opening) openat() (int, error) {
	here := unix.AT_FDCWD
	fd, _, errno := unix.Syscall6(unix.SYS_OPENAT, uintptr(here), uintptr(unsafe.Pointer(o.path)), unix.O_RDONLY|unix.O_CLOEXEC, 0, 0, 0)
	if errno != 0 {
		return -1, errno
	}
	return int(fd), nil
}

func (o *opening) close() error { return nil }
