// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

// patience is how long any process may take before it is killed.
const patience = 2 * time.Minute

// A child is a program that runs.
type child struct {
	cmd         *exec.Cmd
	out, errOut bytes.Buffer
	deadline    *time.Timer
}

// usage is what the kernel says that a process, with the children that it waited for, has used.
type usage struct {
	cpu     time.Duration
	peakRSS int64 // bytes
}

// launch starts a program that reads nothing.
func launch(name string, args ...string) (*child, error) { return feed(nil, name, args...) }

// feed starts a program that reads in.
func feed(in io.Reader, name string, args ...string) (*child, error) {
	c := &child{cmd: exec.Command(name, args...)}
	c.cmd.Stdin = in
	c.cmd.Stdout, c.cmd.Stderr = &c.out, &c.errOut
	if err := c.cmd.Start(); err != nil {
		return nil, err
	}
	c.deadline = time.AfterFunc(patience, func() { c.cmd.Process.Kill() }) //nolint:errcheck // it may just have ended; wait tells
	return c, nil
}

// wait waits for the end. To be ended by the interrupt of [child.interrupt] is a good end.
func (c *child) wait() (usage, error) {
	err := c.cmd.Wait()
	c.deadline.Stop()
	state := c.cmd.ProcessState
	if state == nil {
		return usage{}, err
	}
	if status, ok := state.Sys().(syscall.WaitStatus); ok && status.Signaled() && status.Signal() == syscall.SIGINT {
		err = nil
	}
	if err != nil {
		return usage{}, fmt.Errorf("%s: %w: %s", strings.Join(c.cmd.Args[:min(2, len(c.cmd.Args))], " "), err, lastLine(c.errOut.String()))
	}
	rusage, ok := state.SysUsage().(*syscall.Rusage)
	if !ok {
		return usage{}, fmt.Errorf("%s: no resource usage", c.cmd.Args[0])
	}
	return usage{state.UserTime() + state.SystemTime(), rusage.Maxrss * 1024}, nil
}

// interrupt asks for the end, and waits for it.
func (c *child) interrupt() (usage, error) {
	if err := c.cmd.Process.Signal(os.Interrupt); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return usage{}, err
	}
	return c.wait()
}

func lastLine(s string) string {
	lines := strings.Split(strings.TrimSpace(s), "\n")
	return lines[len(lines)-1]
}

// output runs a program to its end and returns what it wrote to stdout and stderr.
func output(name string, args ...string) (string, error) {
	c, err := launch(name, args...)
	if err != nil {
		return "", err
	}
	_, err = c.wait()
	return c.out.String() + c.errOut.String(), err
}

// A load is a program that keeps the machine busy until it is stopped.
type load struct {
	cmd *exec.Cmd
	out io.Reader
}

// startLoad starts one of our loads and waits until it says that it is ready.
func startLoad(program string, args ...string) (*load, error) {
	cmd := exec.Command(program, args...)
	pipe, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	l := &load{cmd, bufio.NewReader(pipe)}
	var word string
	if _, err := fmt.Fscanln(l.out, &word); err != nil || word != "ready" {
		return nil, errors.Join(fmt.Errorf("load %s: said %q, not ready", program, word), l.stop())
	}
	return l, nil
}

// stop kills the load.
func (l *load) stop() error {
	if err := l.cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	err := l.cmd.Wait()
	if exit := new(exec.ExitError); errors.As(err, &exit) {
		return nil
	}
	return err
}

// finish waits until the load ends by itself, and returns what it said after it was ready.
func (l *load) finish() (string, error) {
	said, err := io.ReadAll(l.out)
	return string(said), errors.Join(err, l.cmd.Wait())
}
