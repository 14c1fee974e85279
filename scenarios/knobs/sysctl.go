// SPDX-License-Identifier: Apache-2.0

package knobs

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// sysctlKind is what sysctl(8) sets: the files under /proc/sys. Those under /proc/sys/net are of the network namespace of the thread which
// opens them.
var sysctlKind = kind{
	name:       "sysctl",
	checkName:  sysctlName,
	checkValue: func(_, value string) (string, error) { return value, nil },
	check:      checkSysctl,
	read:       func(_ place, name string) (string, error) { return readSetting(sysctlPath(name)) },
	write:      func(_ place, name, value string) error { return writeSetting(sysctlPath(name), value) },
	perSpace:   sysctlPerSpace,
}

const sysctls = "/proc/sys"

var sysctlPart = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.:@-]*$`)

// refusedSysctls do something when they are written, can't be put back, or have the kernel run a program.
var refusedSysctls = []string{
	"fs.binfmt_misc", "kernel.core_pattern", "kernel.hotplug", "kernel.kexec_load_disabled", "kernel.modprobe", "kernel.modules_disabled",
	"kernel.ns_last_pid", "kernel.poweroff_cmd", "kernel.unprivileged_bpf_disabled", "kernel.usermodehelper", "kernel.yama",
	"vm.compact_memory", "vm.drop_caches", "vm.stat_refresh",
}

// sysctlName returns a name with dots between its parts; a dot within a part is a slash then, as in sysctl(8): net.ipv4.conf.eth0/1.mtu.
// What separates parts in a name that is given is the first of the two.
func sysctlName(name string) (string, error) {
	if i := strings.IndexAny(name, "./"); i >= 0 && name[i] == '/' {
		name = swapSeparators(name)
	}
	parts := strings.Split(name, ".")
	for _, part := range parts {
		if !sysctlPart.MatchString(swapSeparators(part)) {
			return "", errors.New("want the name of a sysctl, such as net.core.somaxconn")
		}
	}
	if len(parts) < 2 {
		return "", errors.New("want the name of a sysctl, such as net.core.somaxconn")
	}
	for _, refused := range refusedSysctls {
		if name == refused || strings.HasPrefix(name, refused+".") {
			return "", errors.New("it could not be put back, or does more than to set a value: it is no knob")
		}
	}
	return name, nil
}

// swapSeparators makes dots of slashes and slashes of dots.
func swapSeparators(name string) string {
	return strings.Map(func(r rune) rune {
		switch r {
		case '.':
			return '/'
		case '/':
			return '.'
		}
		return r
	}, name)
}

func sysctlPath(name string) string { return filepath.Join(sysctls, swapSeparators(name)) }

// checkSysctl says what is wrong with a sysctl here.
func checkSysctl(_ place, name, value string) error {
	path := sysctlPath(name)
	if _, err := readSetting(path); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return errors.New("this kernel has no such sysctl (or its module is not loaded); sysctl -a lists all")
		}
		return err
	}
	if err := writable(path); err != nil {
		return err
	}
	if name == "net.ipv4.tcp_congestion_control" {
		return checkCongestion(value)
	}
	return nil
}

// checkCongestion looks for a TCP congestion control among those that are loaded.
func checkCongestion(name string) error {
	available, err := readSetting(sysctlPath("net.ipv4.tcp_available_congestion_control"))
	if err != nil {
		return err
	}
	if !slices.Contains(strings.Fields(available), name) {
		return fmt.Errorf("%s is not among the kernel's TCP congestion controls (%s): modprobe tcp_%s loads it, if the kernel has it", name, available, name)
	}
	return nil
}

// writable says why a file of the kernel can't be written.
func writable(path string) error {
	switch err := unix.Access(path, unix.W_OK); {
	case err == nil:
		return nil
	case errors.Is(err, unix.EROFS):
		return errors.New("it is on a read-only file system (as in a container): set it on the host")
	case errors.Is(err, unix.EACCES) && os.Geteuid() != 0:
		return errors.New("it takes root to set it: use sudo")
	default:
		return fmt.Errorf("it can't be set: %w", err)
	}
}

// sysctlPerSpace tries whether a new network namespace lets us set it: the kernel hides what is of the whole machine there, or makes it
// read-only. What neither has, such as net.ipv4.conf.assay0.rp_filter, can only be of the namespace to come.
func sysctlPerSpace(name string) (inside bool, err error) {
	if !strings.HasPrefix(name, "net.") {
		return false, nil
	}
	err = inNewSpace(func() error {
		info, err := os.Stat(sysctlPath(name))
		inside = err == nil && info.Mode()&0o200 != 0
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return err
	})
	return inside, err
}

// readSetting reads a small file of the kernel: one line, with single spaces.
func readSetting(path string) (string, error) {
	f, err := openSetting(path, unix.O_RDONLY)
	if err != nil {
		return "", err
	}
	defer f.Close()
	text := make([]byte, maxValue+1)
	n, err := f.Read(text)
	if n > maxValue {
		return "", fmt.Errorf("%s has more than %d bytes", path, maxValue)
	}
	if n > 0 {
		err = nil
	}
	text = text[:n]
	return strings.Join(strings.Fields(string(text)), " "), plain(err)
}

// writeSetting writes in one call, as these files need it.
func writeSetting(path, value string) error {
	f, err := openSetting(path, unix.O_WRONLY)
	if err != nil {
		return err
	}
	_, err = f.WriteString(value + "\n")
	return errors.Join(err, f.Close())
}

// openSetting opens a file under its folder, and neither a link nor another file system on the way.
func openSetting(path string, flags int) (*os.File, error) {
	fd, err := unix.Openat2(unix.AT_FDCWD, path, &unix.OpenHow{
		Flags: uint64(flags | unix.O_CLOEXEC), Resolve: unix.RESOLVE_NO_SYMLINKS,
	})
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: path, Err: err}
	}
	return os.NewFile(uintptr(fd), path), nil
}

// same compares two texts of a value, numbers by what they are: the kernel takes 0x10 and 010 too.
func same(a, b string) bool {
	left, right := strings.Fields(a), strings.Fields(b)
	return slices.EqualFunc(left, right, func(a, b string) bool {
		x, errX := strconv.ParseInt(a, 0, 64)
		y, errY := strconv.ParseInt(b, 0, 64)
		return a == b || errX == nil && errY == nil && x == y
	})
}

// plain returns the cause within an error of package os, whose text repeats operation and path.
func plain(err error) error {
	var path *fs.PathError
	if errors.As(err, &path) {
		return path.Err
	}
	return err
}
