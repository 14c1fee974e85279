// SPDX-License-Identifier: Apache-2.0

package replay

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// maxContent bounds the files that a recording implies.
	maxContent = 1 << 30
	maxEntries = 100_000
	// chunk is how much of a file is written at a time. The kernel holds a file in pieces as large, and on a large piece calls take longer than
	// on those that a program's own writes leave.
	chunk = 64 << 10
)

// checkSize says whether there is too much to make.
func (w *world) checkSize() error {
	total, entries := int64(0), int64(len(w.files))
	for _, f := range w.files {
		if f.size > maxContent-total {
			return fmt.Errorf("the recording worked on more than %d MB of files: record a smaller run", maxContent>>20)
		}
		total += f.size
		entries += f.listing / entryBytes("000000")
	}
	if entries > maxEntries {
		return fmt.Errorf("the recording worked on %d files: want up to %d; record a smaller run", entries, maxEntries)
	}
	return nil
}

// build makes the files in a folder.
func (w *world) build(ctx context.Context, root string) error {
	if err := os.Mkdir(root, 0o755); err != nil {
		return err
	}
	content := make([]byte, chunk)
	for i := range content {
		content[i] = byte(i*7 + i>>8)
	}
	names := slices.Sorted(maps.Keys(w.files)) // folders before what is in them
	children := map[string][]string{}
	for _, name := range names {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if name == "/" {
			continue
		}
		children[filepath.Dir(name)] = append(children[filepath.Dir(name)], filepath.Base(name))
		if err := w.files[name].build(filepath.Join(root, name), name, content); err != nil {
			return err
		}
	}
	for _, name := range names {
		if err := w.files[name].fill(filepath.Join(root, name), children[name]); err != nil {
			return err
		}
	}
	return w.age(root, names)
}

// age makes files look as if they had been there, and in use, for long: a program that reads a new file for the first time pays for the
// time of access, which relatime updates unless it is later than the last change, and who looks for a name that nobody has looked for yet
// has the file system read its folder, even if there is no such name.
func (w *world) age(root string, names []string) error {
	changed := time.Now()
	times := []unix.Timespec{unix.NsecToTimespec(changed.Add(time.Hour).UnixNano()), unix.NsecToTimespec(changed.UnixNano())}
	for _, name := range names {
		if err := unix.UtimesNanoAt(unix.AT_FDCWD, filepath.Join(root, name), times, unix.AT_SYMLINK_NOFOLLOW); err != nil {
			return fmt.Errorf("set the times of %s: %w", name, err)
		}
	}
	var found unix.Stat_t
	for name := range w.now {
		unix.Lstat(filepath.Join(root, name), &found) //nolint:errcheck // that there is none is a find too
	}
	return nil
}

// build makes a file. What is only known to be there is a folder if something is in it.
func (f *file) build(at, name string, content []byte) error {
	switch {
	case f.child || f.kind == directory:
		return os.Mkdir(at, 0o755)
	case f.kind == symlink:
		return os.Symlink(strings.Repeat("x", int(min(max(f.size, 1), 255))), at)
	case f.kind == device, f.kind == unknown && strings.HasPrefix(name, "/dev/") && !strings.HasPrefix(name, "/dev/shm/"):
		return makeDevice(at, name)
	}
	return writeFile(at, f.size, content)
}

func writeFile(at string, size int64, content []byte) (err error) {
	out, err := os.OpenFile(at, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o755)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	for size > 0 {
		n, err := out.Write(content[:min(size, chunk)])
		if err != nil {
			return err
		}
		size -= int64(n)
	}
	return nil
}

// devices are those that a replay may have the real ones of, by their numbers; all others are the first.
var devices = map[string]uint32{"/dev/null": 3, "/dev/zero": 5, "/dev/full": 7, "/dev/random": 8, "/dev/urandom": 9}

func makeDevice(at, name string) error {
	minor, known := devices[name]
	if !known {
		minor = devices["/dev/null"]
	}
	return unix.Mknod(at, unix.S_IFCHR|0o666, int(unix.Mkdev(1, minor)))
}

// fill adds entries until a folder's listing has as many bytes as in the recording.
func (f *file) fill(at string, children []string) error {
	left := f.listing - entryBytes(".") - entryBytes("..")
	for _, name := range children {
		left -= entryBytes(name)
	}
	for i := 0; left >= entryBytes("0"); i++ {
		name := fmt.Sprintf("%06x", i)
		if left < 2*entryBytes(name) && left != entryBytes(name) {
			name += strings.Repeat("x", int(min(left, 200)-entryBytes(name)))
		}
		if err := writeFile(filepath.Join(at, name), 0, nil); err != nil {
			return err
		}
		left -= entryBytes(name)
	}
	return nil
}

// entryBytes is the length of a struct linux_dirent64 with a name, as getdents64 rounds it.
func entryBytes(name string) int64 { return int64(19+len(name)+1+7) &^ 7 }
