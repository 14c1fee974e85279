// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/features"
	"golang.org/x/sys/unix"
)

const lockdownPath = "/sys/kernel/security/lockdown"

// lookLockdown asks in the order of how much each way tells: the file, the
// file in a securityfs that only we see, and whether the one thing that
// matters to us, reading kernel memory, is still allowed.
func lookLockdown(h *host, detached func() (string, error), allowed func() error) finding {
	text, err := h.read(lockdownPath)
	how := "says " + lockdownPath
	if err != nil {
		text, err = detached()
		how = "says securityfs, which is not mounted"
	}
	if level, ok := lockdownLevel(text); err == nil && ok {
		return judgeLockdown(level, how)
	}
	switch err := allowed(); {
	case err == nil:
		return finding{status: OK, found: "not confidentiality: bpf_probe_read_kernel is allowed (securityfs is not readable)"}
	case errors.Is(err, ebpf.ErrNotSupported):
		return judgeLockdown("confidentiality", "as bpf_probe_read_kernel is refused")
	default:
		return unknown(err)
	}
}

func judgeLockdown(level, how string) finding {
	status := OK
	if level == "confidentiality" {
		status = Missing
	}
	return finding{status: status, found: level + ", " + how}
}

// lockdownLevel picks the level in force from a text such as
// "none [integrity] confidentiality".
func lockdownLevel(text string) (string, bool) {
	_, rest, _ := strings.Cut(text, "[")
	level, _, ok := strings.Cut(rest, "]")
	return level, ok && level != ""
}

// readsKernel loads a program that reads kernel memory. The error is
// ebpf.ErrNotSupported when the kernel has taken that helper away.
func readsKernel() error {
	return features.HaveProgramHelper(ebpf.PerfEvent, asm.FnProbeReadKernel)
}

// detachedLockdown reads the lockdown file from a securityfs that is mounted
// nowhere: it has a file descriptor, no place, and goes when that is closed.
// Needs CAP_SYS_ADMIN. (Kernel 5.2+.)
func detachedLockdown() (string, error) {
	mount, err := detachedMount("securityfs")
	if err != nil {
		return "", err
	}
	defer mount.Close()
	fd, err := unix.Openat(int(mount.Fd()), "lockdown", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return "", fmt.Errorf("open lockdown: %w", err)
	}
	file := os.NewFile(uintptr(fd), "lockdown")
	defer file.Close()
	text, err := io.ReadAll(io.LimitReader(file, maxText))
	return string(text), err
}

// detachedMount makes a mount of a kind of file system that has no place in
// the tree.
func detachedMount(kind string) (*os.File, error) {
	fd, err := unix.Fsopen(kind, unix.FSOPEN_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("fsopen %s: %w", kind, err)
	}
	context := os.NewFile(uintptr(fd), kind)
	defer context.Close()
	if err := unix.FsconfigCreate(fd); err != nil {
		return nil, fmt.Errorf("fsconfig %s: %w", kind, err)
	}
	mount, err := unix.Fsmount(fd, unix.FSMOUNT_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("fsmount %s: %w", kind, err)
	}
	return os.NewFile(uintptr(mount), kind), nil
}
