// SPDX-License-Identifier: Apache-2.0

package knobs

import (
	"errors"
	"fmt"
	"io/fs"
	"regexp"
	"slices"
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
	read:       func(_ place, name string) (string, error) { return procSys.read(swapSeparators(name)) },
	write:      func(_ place, name, value string) error { return procSys.write(swapSeparators(name), value) },
	perSpace:   sysctlPerSpace,
}

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

// checkSysctl says what is wrong with a sysctl here.
func checkSysctl(_ place, name, value string) error {
	err := procSys.check(swapSeparators(name))
	if errors.Is(err, fs.ErrNotExist) {
		return errors.New("this kernel has no such sysctl (or its module is not loaded): sysctl -a lists all")
	}
	if err == nil && name == "net.ipv4.tcp_congestion_control" {
		return checkCongestion(value)
	}
	return err
}

// checkCongestion looks for a TCP congestion control among those that are loaded.
func checkCongestion(name string) error {
	available, err := procSys.read("net/ipv4/tcp_available_congestion_control")
	if err != nil {
		return err
	}
	if !slices.Contains(strings.Fields(available), name) {
		return fmt.Errorf("%s is not among the TCP congestion controls here (%s): modprobe tcp_%s loads it, if the kernel has it", name, available, name)
	}
	return nil
}

// sysctlPerSpace tries whether the network namespace of the thread lets us set it: the kernel hides what is of the whole machine in others
// than the first, or makes it read-only.
func sysctlPerSpace(name string) (bool, error) {
	if !strings.HasPrefix(name, "net.") {
		return false, nil
	}
	f, err := procSys.open(swapSeparators(name), unix.O_WRONLY)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) {
		return false, nil
	}
	if err != nil {
		return false, plain(err)
	}
	return true, f.Close()
}
