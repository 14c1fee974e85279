// SPDX-License-Identifier: Apache-2.0

package syscall

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"
)

// sharedMemory is where Linux systems have a tmpfs that everyone may write to.
const sharedMemory = "/dev/shm"

// A folder holds a file for each thread.
type folder struct {
	parent string // the one to make it in; "" for the default
	path   string // what make made; "" if nothing
}

// make makes the folder and so many files of so many bytes. After an error, there may be something to remove.
func (f *folder) make(ctx context.Context, files, size int) error {
	parent := f.parent
	if parent == "" {
		parent = defaultParent()
	}
	path, err := os.MkdirTemp(parent, "assay-syscall-")
	if err != nil {
		return err
	}
	f.path = path
	content := make([]byte, size)
	for i := range files {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err := os.WriteFile(f.file(i), content, 0o600); err != nil {
			return err
		}
	}
	return nil
}

// defaultParent is a tmpfs where there is one, so that it is system calls that are measured and not a disk.
func defaultParent() string {
	if info, err := os.Stat(sharedMemory); err == nil && info.IsDir() {
		return sharedMemory
	}
	return os.TempDir()
}

// file is the path of a thread's file.
func (f *folder) file(thread int) string { return filepath.Join(f.path, strconv.Itoa(thread)) }

// notes says what to know of the folder, if it was made.
func (f *folder) notes() []string {
	var fs unix.Statfs_t
	if f.path == "" || unix.Statfs(f.path, &fs) == nil && fs.Type == unix.TMPFS_MAGIC {
		return nil
	}
	return []string{fmt.Sprintf("%s is not known to be in memory: a disk may be part of the figures; "+
		"set the parameter folder to one that lies in a tmpfs", filepath.Dir(f.path))}
}

// remove removes what make made.
func (f *folder) remove() error {
	if f.path == "" {
		return nil
	}
	err := os.RemoveAll(f.path)
	if err == nil {
		f.path = ""
	}
	return err
}
