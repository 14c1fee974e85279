// SPDX-License-Identifier: Apache-2.0

package atomicfile

import (
	"cmp"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// A target is where a path leads, and how it is written.
type target struct {
	path string
	fd   int  // an open descriptor to write to, or -1
	node bool // a device, pipe or socket to open and write to
}

// resolve decides how path is written, without opening or changing anything.
func resolve(path string) (target, error) {
	t := target{path: path, fd: descriptor(path)}
	switch {
	case path == "":
		return t, errors.New("the name is empty")
	case t.fd >= 0:
		return t, nil
	case strings.HasSuffix(path, "/"):
		return t, errors.New("names a folder, not a file")
	}
	if info, err := os.Stat(path); err == nil && info.IsDir() { // through a link too: nobody means to replace a link to a folder
		return t, unix.EISDIR
	}
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist): // a new file, or a missing folder: creating the temporary file tells
		return t, nil
	case err != nil:
		return t, err
	}
	t.node = info.Mode()&(fs.ModeDevice|fs.ModeNamedPipe|fs.ModeSocket) != 0
	return t, nil
}

// descriptor returns the number of the open descriptor that path names, or -1.
func descriptor(path string) int {
	switch path {
	case "-", "/dev/stdout":
		return unix.Stdout
	case "/dev/stderr":
		return unix.Stderr
	}
	for _, folder := range []string{"/dev/fd/", "/proc/self/fd/"} {
		if number, ok := strings.CutPrefix(path, folder); ok {
			if fd, err := strconv.ParseUint(number, 10, 31); err == nil {
				return int(fd)
			}
		}
	}
	return -1
}

func (t target) write(perm fs.FileMode, write func(io.Writer) error) error {
	if t.fd < 0 && !t.node {
		return replace(t.path, perm, write)
	}
	f, err := t.open()
	if err != nil {
		return err
	}
	return cmp.Or(fill(f, write), f.Close())
}

// open returns what is written directly. A descriptor is duplicated, not opened anew: opening /dev/stdout would start at
// offset 0 of the file behind it, and is refused for a socket.
func (t target) open() (*os.File, error) {
	if t.fd < 0 {
		return os.OpenFile(t.path, os.O_WRONLY, 0)
	}
	fd, err := unix.FcntlInt(uintptr(t.fd), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), t.path), nil
}

func (t target) check() error {
	switch {
	case t.fd >= 0:
		return checkDescriptor(t.fd)
	case t.node: // opening a pipe would wait for its reader
		return unix.Faccessat(unix.AT_FDCWD, t.path, unix.W_OK, unix.AT_EACCESS)
	}
	return checkFolder(t.path)
}

func checkDescriptor(fd int) error {
	flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFL, 0)
	if err == nil && flags&unix.O_ACCMODE == unix.O_RDONLY {
		err = errors.New("open for reading only")
	}
	return err
}

// checkFolder writes one block beside path and removes it: an empty file can be made on a full disk.
func checkFolder(path string) error {
	f, err := createTemp(filepath.Dir(path), 0o600)
	if err != nil {
		return err
	}
	_, err = plainWriter{f}.Write(make([]byte, 4096))
	return cmp.Or(err, discard(f))
}
