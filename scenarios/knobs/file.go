// SPDX-License-Identifier: Apache-2.0

package knobs

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// A tree is a folder of the kernel's under which settings are files.
type tree string

const (
	procSys tree = "/proc/sys"
	// A sysfs shows the network devices of the namespace in which it was mounted; the one at /sys, those of the namespace of whoever mounted it.
	sysfs    tree = "/sys"
	newSysfs tree = "a sysfs of the network namespace"
)

// folder opens the folder of a tree.
func (t tree) folder() (*os.File, error) {
	if t == newSysfs {
		return mountSysfs()
	}
	return os.OpenFile(string(t), unix.O_PATH|unix.O_DIRECTORY, 0)
}

// mountSysfs mounts a sysfs nowhere: it ends with the file that is returned.
func mountSysfs() (*os.File, error) {
	system, err := unix.Fsopen("sysfs", unix.FSOPEN_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("mount sysfs: %w", err)
	}
	defer unix.Close(system) //nolint:errcheck // the mount is what counts
	if err := unix.FsconfigCreate(system); err != nil {
		return nil, fmt.Errorf("mount sysfs: %w", err)
	}
	mount, err := unix.Fsmount(system, unix.FSMOUNT_CLOEXEC, unix.MOUNT_ATTR_NOSUID|unix.MOUNT_ATTR_NOEXEC|unix.MOUNT_ATTR_NODEV)
	if err != nil {
		return nil, fmt.Errorf("mount sysfs: %w", err)
	}
	return os.NewFile(uintptr(mount), string(newSysfs)), nil
}

// open opens what lies in the tree, and nothing outside of it. Errors of a tree say nothing of its paths: users know knobs by other names.
func (t tree) open(path string, flags int) (*os.File, error) {
	folder, err := t.folder()
	if err != nil {
		return nil, err
	}
	defer folder.Close()
	fd, err := unix.Openat2(int(folder.Fd()), path, &unix.OpenHow{
		Flags: uint64(flags | unix.O_CLOEXEC), Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_MAGICLINKS,
	})
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), path), nil
}

// read reads a small file: one line, with single spaces. A file that has more is no setting.
func (t tree) read(path string) (string, error) {
	f, err := t.open(path, unix.O_RDONLY)
	if err != nil {
		return "", err
	}
	defer f.Close()
	text := make([]byte, maxValue+1)
	n, err := unix.Read(int(f.Fd()), text)
	switch {
	case err != nil:
		return "", err
	case n > maxValue:
		return "", fmt.Errorf("it has more than %d bytes", maxValue)
	}
	return strings.Join(strings.Fields(string(text[:n])), " "), nil
}

// write writes in one call, as these files need it.
func (t tree) write(path, value string) error {
	f, err := t.open(path, unix.O_WRONLY)
	if err != nil {
		return err
	}
	_, err = unix.Write(int(f.Fd()), []byte(value+"\n"))
	return errors.Join(err, f.Close())
}

// check says why a file can't be read or written. Opening it for writing changes nothing.
func (t tree) check(path string) error {
	if _, err := t.read(path); err != nil {
		return err
	}
	f, err := t.open(path, unix.O_WRONLY)
	switch {
	case err == nil:
		return f.Close()
	case errors.Is(err, unix.EROFS):
		return errors.New("it is on a read-only file system (as in a container): set it on the host")
	case errors.Is(err, unix.EACCES) && os.Geteuid() != 0:
		return errors.New("it takes root to set it: use sudo")
	}
	return fmt.Errorf("it can't be set: %w", err)
}

// list returns the names in a folder, sorted.
func (t tree) list(path string) ([]string, error) {
	f, err := t.open(path, unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	names, err := f.Readdirnames(-1)
	slices.Sort(names)
	return names, err
}

// same compares two texts of a value, numbers by what they are: the kernel takes 0x10 and 010 too.
func same(a, b string) bool {
	return slices.EqualFunc(strings.Fields(a), strings.Fields(b), func(a, b string) bool {
		x, errX := strconv.ParseInt(a, 0, 64)
		y, errY := strconv.ParseInt(b, 0, 64)
		return a == b || errX == nil && errY == nil && x == y
	})
}
