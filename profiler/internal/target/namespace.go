// SPDX-License-Identifier: Apache-2.0

package target

import (
	"errors"
	"fmt"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// initialPIDNamespace is the inode of the PID namespace of init (PROC_PID_INIT_INO in the kernel).
const initialPIDNamespace = 0xEFFFFFFC

// PIDNamespace is the depth and inode of the PID namespace that we are in; depth 0 is the initial one.
func PIDNamespace() (level, inum uint32, err error) {
	var st unix.Stat_t
	if err := unix.Stat("/proc/self/ns/pid", &st); err != nil {
		return 0, 0, fmt.Errorf("PID namespace (is /proc mounted?): %w", err)
	}
	if st.Ino == initialPIDNamespace {
		return 0, 0, nil
	}
	// NSpid lists our number in each namespace from /proc's own to ours; /proc must be that of ours for
	// PIDs to mean the same on both sides.
	b, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0, 0, fmt.Errorf("PID namespace: %w", err)
	}
	if ns := StatusField(b, "NSpid"); ns != strconv.Itoa(os.Getpid()) {
		return 0, 0, errors.New("/proc belongs to another PID namespace than ours, so PIDs could not be told: mount a /proc of this namespace (unshare --mount-proc does), or run in the host's namespace")
	}
	level, err = namespaceDepth()
	return level, uint32(st.Ino), err
}

// maxPIDNamespaces is the kernel's own limit of nesting (MAX_PID_NS_LEVEL).
const maxPIDNamespaces = 32

// namespaceDepth counts the parents of our PID namespace up to the initial one.
func namespaceDepth() (uint32, error) {
	fd, err := unix.Open("/proc/self/ns/pid", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return 0, fmt.Errorf("PID namespace: %w", err)
	}
	for level := uint32(1); level < maxPIDNamespaces; level++ {
		parent, err := unix.IoctlRetInt(fd, unix.NS_GET_PARENT)
		cerr := unix.Close(fd)
		if errors.Is(err, unix.EPERM) {
			// What is above is out of our sight: we are one level below the namespace that we see as the top.
			return level, cerr
		}
		if err != nil || cerr != nil {
			return 0, fmt.Errorf("PID namespace: %w", errors.Join(err, cerr))
		}
		var st unix.Stat_t
		if err := unix.Fstat(parent, &st); err != nil {
			return 0, fmt.Errorf("PID namespace: %w", err)
		}
		if st.Ino == initialPIDNamespace {
			return level, unix.Close(parent)
		}
		fd = parent
	}
	return 0, errors.New("PID namespace: nested too deep")
}
