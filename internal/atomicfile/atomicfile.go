// SPDX-License-Identifier: Apache-2.0

// Package atomicfile writes a file whole or not at all.
//
// A reader of the path sees the old content or the new one, never a part, also after a crash: the bytes go to a
// temporary file in the same folder, which is synced and renamed over the path, and then the folder is synced.
// On any error the temporary file is removed. Where two things fail, the first is reported: an error is one line.
//
// What is not an ordinary file can't be renamed into place, so it is written directly:
//
//   - "-", /dev/stdout, /dev/stderr, /dev/fd/N and /proc/self/fd/N mean a descriptor that is already open, even when it
//     leads to an ordinary file (a shell's >file);
//   - a device, pipe or socket at the path itself.
//
// Any other symbolic link is replaced by the new file and never followed. The profiler runs as root and may write to a
// folder where others can write too: following their links would let them choose which file is overwritten.
package atomicfile

import (
	"bufio"
	"cmp"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// Write calls write once with a buffered writer and puts what it wrote at path. A new file gets the permissions perm, less
// the umask. An error names path and wraps the cause (fs.ErrNotExist, fs.ErrPermission, unix.ENOSPC, what write returned);
// what was at path before is then still there, except behind the targets that are written directly.
func Write(path string, perm fs.FileMode, write func(io.Writer) error) error {
	t, err := resolve(path)
	if err == nil {
		err = t.write(perm, write)
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", path, plain(err))
	}
	return nil
}

// Check reports the error that a Write to path would meet as far as it can be known now: a missing or read-only folder, a full
// disk, a directory at path. It leaves nothing behind and doesn't touch what is at path.
func Check(path string) error {
	t, err := resolve(path)
	if err == nil {
		err = t.check()
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", path, plain(err))
	}
	return nil
}

// replace writes a temporary file and renames it to path.
func replace(path string, perm fs.FileMode, write func(io.Writer) error) (err error) {
	f, err := createTemp(filepath.Dir(path), perm)
	if err != nil {
		return err
	}
	renamed := false
	defer func() { // also when write panics
		if !renamed {
			err = cmp.Or(err, discard(f))
		}
	}()
	if err := fill(f, write); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return err
	}
	renamed = true
	return SyncFolder(filepath.Dir(path))
}

// createTemp makes a new file with a short name of its own: one derived from the target's could be too long. os.CreateTemp isn't
// used because it ignores the umask.
func createTemp(folder string, perm fs.FileMode) (*os.File, error) {
	name := filepath.Join(folder, ".assay-"+rand.Text()+".tmp")
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, perm)
	if err != nil {
		return nil, fmt.Errorf("folder %s: %w", folder, plain(err))
	}
	return f, nil
}

// discard removes a temporary file, which may be closed already.
func discard(f *os.File) error {
	err := f.Close()
	if errors.Is(err, fs.ErrClosed) {
		err = nil
	}
	return cmp.Or(err, os.Remove(f.Name()))
}

// fill lets write produce the content of f.
func fill(f *os.File, write func(io.Writer) error) error {
	w := bufio.NewWriterSize(plainWriter{f}, 64<<10)
	if err := write(w); err != nil {
		return err
	}
	return w.Flush()
}

// SyncFolder makes last what was made, renamed or removed in a folder. Some network and FUSE file systems can't sync a folder and say so with
// EINVAL or ENOTSUP; the file is in place then and nothing is left to do.
func SyncFolder(folder string) error {
	d, err := os.Open(folder)
	if err != nil {
		return err
	}
	err = d.Sync()
	if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOTSUP) {
		err = nil
	}
	return cmp.Or(err, d.Close())
}

// plainWriter hides the name of the temporary file in the errors of f.
type plainWriter struct{ f *os.File }

func (w plainWriter) Write(b []byte) (int, error) {
	n, err := w.f.Write(b)
	return n, plain(err)
}

// plain returns the cause within an error of package os, whose text repeats operation and path.
func plain(err error) error {
	switch e := err.(type) { //nolint:errorlint // only the outermost error is opened: what is around it has something to say
	case *fs.PathError:
		return e.Err
	case *os.LinkError:
		return e.Err
	}
	return err
}
