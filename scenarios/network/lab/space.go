// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"sync/atomic"

	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"github.com/assaylab/assay/scenarios/internal/thread"
)

// directory has the names of network namespaces, by the convention of ip-netns(8).
const directory = "/run/netns"

// A Space is a network namespace of ours. Its methods may be called by many goroutines; it belongs to its Lab, which closes it.
type Space struct {
	Name string     // in /run/netns
	IPv4 netip.Addr // of this end of the cable; the zero Addr in a silent lab
	IPv6 netip.Addr // the zero Addr there too, and where the kernel has no IPv6

	handle netns.NsHandle
}

var spaces atomic.Int64 // how many names this process has used

// newSpace makes a namespace that has nothing in it but lo, which is down.
func newSpace() (*Space, error) {
	for {
		name := fmt.Sprintf("assay-%d-%d", os.Getpid(), spaces.Add(1))
		handle, err := newNamed(name)
		switch {
		case err == nil:
			return &Space{Name: name, handle: handle}, nil
		case !errors.Is(err, fs.ErrExist): // an earlier process with our PID may have left that name
			return nil, err
		}
	}
}

// newNamed makes a namespace with a name, and leaves nothing behind on an error, which is fs.ErrExist when the name is taken.
func newNamed(name string) (netns.NsHandle, error) {
	handle := netns.None()
	err := thread.Do(func() (err error) {
		handle, err = netns.NewNamed(name)
		return err
	})
	if err == nil {
		return handle, nil
	}
	err = fmt.Errorf("make network namespace %s: %w", name, err)
	if !errors.Is(err, fs.ErrExist) {
		err = errors.Join(err, removeName(name))
	}
	return netns.None(), err
}

// removeName takes a namespace's name away; the namespace goes when nobody uses it any more. A name that isn't there is no error.
func removeName(name string) error {
	path := filepath.Join(directory, name)
	err := unix.Unmount(path, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW)
	if err != nil && !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.ENOENT) { // EINVAL: a name without a namespace
		return fmt.Errorf("unmount %s: %w", path, err)
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// Do runs f on a thread in the namespace, and returns its error. A socket stays in the namespace in which it was made, so f may hand out
// sockets; goroutines that f starts run elsewhere. f must not end its goroutine. The thread ends with f, so f may change it as it likes.
func (s *Space) Do(f func() error) error {
	return thread.Do(func() error {
		if err := netns.Set(s.handle); err != nil {
			return fmt.Errorf("enter network namespace %s: %w", s.Name, err)
		}
		return f()
	})
}

// close removes the name and lets go of the namespace. A nil Space has nothing to close.
func (s *Space) close() error {
	if s == nil {
		return nil
	}
	return errors.Join(removeName(s.Name), s.handle.Close())
}
