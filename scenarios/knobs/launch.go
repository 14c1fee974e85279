// SPDX-License-Identifier: Apache-2.0

package knobs

import (
	"fmt"
	"os/exec"

	"golang.org/x/sys/unix"
)

// A Launch is how a workload is started; the zero value is as any program is.
type Launch struct {
	Env     []string // NAME=VALUE, beside our own
	CPUs    []int    // where it may run; none: anywhere
	Policy  string   // scheduling policy, such as batch or fifo:10; "" for ours
	Nice    *int     // nil for ours
	Cgroups []string // folders of the control groups to be in, one a hierarchy
	Inside  []string // knobs to set in the network namespaces that it makes, KIND:NAME=VALUE: see [SetInside]
}

// Add puts another launch on top: what both have is as the other says.
func (l *Launch) Add(other Launch) {
	l.Env = append(l.Env[:len(l.Env):len(l.Env)], other.Env...)
	l.Cgroups = append(l.Cgroups[:len(l.Cgroups):len(l.Cgroups)], other.Cgroups...)
	l.Inside = append(l.Inside[:len(l.Inside):len(l.Inside)], other.Inside...)
	if len(other.CPUs) > 0 {
		l.CPUs = other.CPUs
	}
	if other.Policy != "" {
		l.Policy = other.Policy
	}
	if other.Nice != nil {
		l.Nice = other.Nice
	}
}

// Start starts a command so. The new process inherits from the calling thread, which Start changes: it must be locked, and must end
// with its goroutine.
func (l *Launch) Start(cmd *exec.Cmd) error {
	cmd.Env = append(cmd.Environ(), l.Env...)
	if len(l.CPUs) > 0 {
		var set unix.CPUSet
		for _, cpu := range l.CPUs {
			set.Set(cpu)
		}
		if err := unix.SchedSetaffinity(0, &set); err != nil {
			return fmt.Errorf("CPUs %v: %w", l.CPUs, err)
		}
	}
	return cmd.Start()
}
