// SPDX-License-Identifier: Apache-2.0

package profiler

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/assaylab/assay/bpf"
	"github.com/assaylab/assay/profiler/internal/target"
)

// configure says to the kernel side what o asks for.
func (o *Options) configure() (bpf.Config, error) {
	c := bpf.Config{
		CPU: o.samples(), OffCPU: o.accounts(),
		PIDs: len(o.PIDs) > 0 || len(o.Command) > 0, Comm: o.Comm,
		Exact: o.Exact, Wakers: o.Wakers, WithCPU: o.CPULabel, Stop: o.Stop, MinBlock: o.MinBlock,
		Tables: o.Unwind == ByTables, GoLabels: !o.NoGoLabels,
	}
	if o.Cgroup != "" {
		t, err := target.FindCgroup(o.Cgroup)
		if err != nil {
			return c, err
		}
		c.CgroupID, c.CgroupSubsys = t.ID, t.Subsys
	}
	var err error
	c.PIDNSLevel, c.PIDNSInum, err = target.PIDNamespace()
	return c, err
}

// addTargets tells the kernel side which processes to record.
func addTargets(k *bpf.Kernel, o *Options) error {
	for _, pid := range o.PIDs {
		tgid, err := target.ThreadGroup(pid)
		if err != nil {
			return err
		}
		if err := k.AddTarget(tgid, o.Children); err != nil {
			return err
		}
		if o.Children {
			children, err := target.Descendants(tgid)
			if err != nil {
				return err
			}
			for _, child := range children {
				if err := k.AddTarget(child, true); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// command is a process that we start and record from its first instruction on.
type command struct {
	cmd  *exec.Cmd
	done chan struct{} // closed when it has ended
	code int
	err  error
}

// time is the CPU time of a command that has ended, and of the children that it has waited for; 0 if it runs still, or there is none.
func (c *command) time() time.Duration {
	if c == nil {
		return 0
	}
	select {
	case <-c.done:
		return c.cmd.ProcessState.UserTime() + c.cmd.ProcessState.SystemTime()
	default:
		return 0
	}
}

// startCommand starts a command and holds it at its first instruction, as a tracer: then runs ready and lets
// it go.
func startCommand(argv []string, ready func(pid int) error) (*command, error) {
	c := &command{cmd: exec.Command(argv[0], argv[1:]...), done: make(chan struct{})}
	c.cmd.Stdin, c.cmd.Stdout, c.cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	c.cmd.SysProcAttr = &syscall.SysProcAttr{Ptrace: true}
	started := make(chan error, 1)
	go func() {
		// A tracer is a thread.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		started <- c.start(ready)
	}()
	if err := <-started; err != nil {
		return nil, err
	}
	go func() {
		defer close(c.done)
		c.err = c.cmd.Wait()
		c.code = target.ExitCode(c.cmd.ProcessState)
		var exit *exec.ExitError
		if errors.As(c.err, &exit) {
			c.err = nil
		}
	}()
	return c, nil
}

func (c *command) start(ready func(pid int) error) error {
	if err := c.cmd.Start(); err != nil {
		return fmt.Errorf("start command: %w", err)
	}
	pid := c.cmd.Process.Pid
	var status unix.WaitStatus
	if _, err := unix.Wait4(pid, &status, 0, nil); err != nil {
		return fmt.Errorf("start command: %w", err)
	}
	err := ready(pid)
	if err != nil {
		err = errors.Join(err, c.cmd.Process.Kill())
	}
	return errors.Join(err, unix.PtraceDetach(pid))
}
