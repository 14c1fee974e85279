// SPDX-License-Identifier: Apache-2.0

package knobs

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/assaylab/assay/internal/lazyregexp"
)

// sysctlKind is what sysctl(8) sets: the files under /proc/sys. Those under /proc/sys/net are of the network namespace of the thread which
// opens them.
var sysctlKind = kind{
	name:       "sysctl",
	checkName:  sysctlName,
	checkValue: func(_, value string) (string, error) { return value, nil },
	check:      checkSysctl,
	read:       func(_ place, name string) (string, error) { return procSys.read(swapSeparators(name)) },
	write:      func(_ place, name, value string) error { return writeSysctl(name, value) },
	partner:    sysctlPartner,
	perSpace:   sysctlPerSpace,
}

var sysctlPart = lazyregexp.New(`^[A-Za-z0-9_][A-Za-z0-9_.:@-]*$`)

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
		if !sysctlPart().MatchString(swapSeparators(part)) {
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
	if err == nil && name == congestionControl {
		return checkCongestion(value)
	}
	return err
}

func writeSysctl(name, value string) error {
	err := procSys.write(swapSeparators(name), value)
	if name == congestionControl && errors.Is(err, unix.EPERM) {
		return fmt.Errorf("%w: network namespaces may have those in net.ipv4.tcp_allowed_congestion_control alone, so add it there", err)
	}
	return err
}

const congestionControl = "net.ipv4.tcp_congestion_control"

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

// partners are sysctls that are two ways to say one thing: setting either sets the other, or makes it 0.
var partners = [][2]string{
	{"vm.dirty_bytes", "vm.dirty_ratio"},
	{"vm.dirty_background_bytes", "vm.dirty_background_ratio"},
	{"vm.overcommit_kbytes", "vm.overcommit_ratio"},
}

func sysctlPartner(name string) string {
	for _, pair := range partners {
		switch name {
		case pair[0]:
			return pair[1]
		case pair[1]:
			return pair[0]
		}
	}
	if strings.HasSuffix(name, ".unres_qlen") { // of a device, in net.ipv4.neigh or net.ipv6.neigh
		return name + "_bytes"
	}
	if other, ok := strings.CutSuffix(name, ".unres_qlen_bytes"); ok {
		return other + ".unres_qlen"
	}
	return ""
}

// sysctlPerSpace tries whether the network namespace of the thread lets us set it: the kernel hides what is of the whole machine in others
// than the first, or makes it read-only. A congestion control that is not among the allowed ones can be set in the first alone, and namespaces that
// are made later begin with that.
func sysctlPerSpace(name string, values []string) (bool, error) {
	if !strings.HasPrefix(name, "net.") {
		return false, nil
	}
	if name == congestionControl {
		allowed, err := procSys.read("net/ipv4/tcp_allowed_congestion_control")
		if err != nil {
			return false, err
		}
		forbidden := func(value string) bool { return !slices.Contains(strings.Fields(allowed), value) }
		if slices.ContainsFunc(values, forbidden) {
			return false, nil
		}
	}
	f, err := procSys.open(swapSeparators(name), unix.O_WRONLY)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	return true, f.Close()
}
