// SPDX-License-Identifier: Apache-2.0

package knobs

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"strconv"
	"syscall"

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
	for _, folder := range l.Cgroups { // before the CPUs, which a group sets too
		group, err := joinGroup(cmd, folder)
		if err != nil {
			return fmt.Errorf("control group %s: %w", folder, err)
		}
		defer group.Close()
	}
	if len(l.CPUs) > 0 {
		var set unix.CPUSet
		for _, cpu := range l.CPUs {
			set.Set(cpu)
		}
		if err := unix.SchedSetaffinity(0, &set); err != nil {
			return fmt.Errorf("CPUs %v: %w", l.CPUs, err)
		}
	}
	if err := l.schedule(); err != nil {
		return err
	}
	return cmd.Start()
}

// joinGroup puts the thread into a group of version 1, or has the command begin in one of version 2, whose folder is to be kept open until then.
func joinGroup(cmd *exec.Cmd, folder string) (*os.File, error) {
	f, err := os.OpenFile(folder, unix.O_DIRECTORY, 0)
	if err != nil {
		return nil, err
	}
	err = tree(folder).write("tasks", strconv.Itoa(unix.Gettid()))
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
		if cmd.SysProcAttr == nil {
			cmd.SysProcAttr = &syscall.SysProcAttr{}
		}
		cmd.SysProcAttr.UseCgroupFD, cmd.SysProcAttr.CgroupFD = true, int(f.Fd())
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// schedule sets the policy and the nice value of the thread.
func (l *Launch) schedule() error {
	if l.Policy == "" && l.Nice == nil {
		return nil
	}
	attr, err := unix.SchedGetAttr(0, 0)
	if err != nil {
		return fmt.Errorf("scheduling: %w", err)
	}
	if l.Policy != "" {
		policy, err := parsePolicy(l.Policy)
		if err != nil {
			return fmt.Errorf("scheduling policy %s: %w", l.Policy, err)
		}
		attr.Policy, attr.Priority = policy.Policy, policy.Priority
	}
	if l.Nice != nil {
		attr.Nice = int32(*l.Nice)
	}
	if err := unix.SchedSetAttr(0, attr, 0); err != nil {
		return fmt.Errorf("scheduling as %s, nice %d: %w", policyText(attr), attr.Nice, err)
	}
	return nil
}
