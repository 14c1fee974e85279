// SPDX-License-Identifier: Apache-2.0

package caps

import (
	"fmt"
	"strings"

	"golang.org/x/sys/unix"
)

// Cap is the number of a capability, as in include/uapi/linux/capability.h.
type Cap uint

// The capabilities that a profiler has to do with.
const (
	DACOverride       = Cap(unix.CAP_DAC_OVERRIDE)
	DACReadSearch     = Cap(unix.CAP_DAC_READ_SEARCH)
	IPCLock           = Cap(unix.CAP_IPC_LOCK)
	SysPtrace         = Cap(unix.CAP_SYS_PTRACE)
	SysAdmin          = Cap(unix.CAP_SYS_ADMIN)
	SysResource       = Cap(unix.CAP_SYS_RESOURCE)
	Syslog            = Cap(unix.CAP_SYSLOG)
	Perfmon           = Cap(unix.CAP_PERFMON)
	BPF               = Cap(unix.CAP_BPF)
	CheckpointRestore = Cap(unix.CAP_CHECKPOINT_RESTORE)
)

// names lists the capabilities in the order of their numbers.
var names = [...]string{
	"CHOWN", "DAC_OVERRIDE", "DAC_READ_SEARCH", "FOWNER", "FSETID", "KILL", "SETGID", "SETUID",
	"SETPCAP", "LINUX_IMMUTABLE", "NET_BIND_SERVICE", "NET_BROADCAST", "NET_ADMIN", "NET_RAW", "IPC_LOCK", "IPC_OWNER",
	"SYS_MODULE", "SYS_RAWIO", "SYS_CHROOT", "SYS_PTRACE", "SYS_PACCT", "SYS_ADMIN", "SYS_BOOT", "SYS_NICE",
	"SYS_RESOURCE", "SYS_TIME", "SYS_TTY_CONFIG", "MKNOD", "LEASE", "AUDIT_WRITE", "AUDIT_CONTROL", "SETFCAP",
	"MAC_OVERRIDE", "MAC_ADMIN", "SYSLOG", "WAKE_ALARM", "BLOCK_SUSPEND", "AUDIT_READ", "PERFMON", "BPF",
	"CHECKPOINT_RESTORE",
}

// String is the name that the manual pages use, such as CAP_BPF.
func (c Cap) String() string {
	if int(c) < len(names) {
		return "CAP_" + names[c]
	}
	return fmt.Sprintf("CAP_%d", uint(c))
}

// Set is a set of capabilities, one bit for each number.
type Set uint64

// Of is the set of the given capabilities. A number over 63 can't be in a set
// and is left out.
func Of(capabilities ...Cap) Set {
	var s Set
	for _, c := range capabilities {
		s |= 1 << c
	}
	return s
}

// Has says whether the capability is in the set.
func (s Set) Has(c Cap) bool { return s&(1<<c) != 0 }

// HasAny says whether one or more of the capabilities are in the set.
func (s Set) HasAny(capabilities ...Cap) bool { return s&Of(capabilities...) != 0 }

// Without is the set with the given capabilities taken out.
func (s Set) Without(capabilities ...Cap) Set { return s &^ Of(capabilities...) }

// Caps lists the members by rising number.
func (s Set) Caps() []Cap {
	var members []Cap
	for c := Cap(0); c < 64; c++ {
		if s.Has(c) {
			members = append(members, c)
		}
	}
	return members
}

// String lists the names by rising number with commas between, or says "none".
func (s Set) String() string {
	if s == 0 {
		return "none"
	}
	var list []string
	for _, c := range s.Caps() {
		list = append(list, c.String())
	}
	return strings.Join(list, ",")
}
