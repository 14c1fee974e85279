// SPDX-License-Identifier: Apache-2.0

package profiler

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/assaylab/assay/bpf"
)

// configure says to the kernel side what o asks for.
func (o *Options) configure() (bpf.Config, error) {
	c := bpf.Config{
		CPU: o.samples(), OffCPU: o.accounts(),
		PIDs: len(o.PIDs) > 0 || len(o.Command) > 0, Comm: o.Comm,
		Exact: o.Exact, Wakers: o.Wakers, WithCPU: o.CPULabel, MinBlock: o.MinBlock,
	}
	if o.Cgroup != "" {
		t, err := findCgroup(o.Cgroup)
		if err != nil {
			return c, err
		}
		c.CgroupID, c.CgroupSubsys = t.id, t.subsys
	}
	var err error
	c.PIDNSLevel, c.PIDNSInum, err = ownPIDNamespace()
	return c, err
}

// initialPIDNamespace is the inode of the PID namespace of init (PROC_PID_INIT_INO in the kernel).
const initialPIDNamespace = 0xEFFFFFFC

// ownPIDNamespace is the depth and inode of the PID namespace that we are in; depth 0 is the initial one.
func ownPIDNamespace() (level, inum uint32, err error) {
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
	if ns := statusField(b, "NSpid"); ns != strconv.Itoa(os.Getpid()) {
		return 0, 0, errors.New("/proc belongs to another PID namespace than ours, so PIDs could not be told: mount a /proc of this namespace (unshare --mount-proc does), or run in the host's namespace")
	}
	level, err = namespaceDepth()
	return level, uint32(st.Ino), err
}

func statusField(status []byte, name string) string {
	for _, line := range bytes.Split(status, []byte("\n")) {
		if rest, ok := bytes.CutPrefix(line, []byte(name+":")); ok {
			return strings.TrimSpace(string(rest))
		}
	}
	return ""
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

// addTargets tells the kernel side which processes to record.
func addTargets(k *bpf.Kernel, o *Options) error {
	for _, pid := range o.PIDs {
		tgid, err := threadGroup(pid)
		if err != nil {
			return err
		}
		if err := k.AddTarget(tgid, o.Children); err != nil {
			return err
		}
		if o.Children {
			if err := addDescendants(k, tgid); err != nil {
				return err
			}
		}
	}
	return nil
}

// threadGroup is the process that a PID, or the ID of any of its threads, belongs to.
func threadGroup(pid int) (int, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, fmt.Errorf("no process %d is running", pid)
	}
	return strconv.Atoi(statusField(b, "Tgid"))
}

// addDescendants adds the children that a process has already, and theirs.
func addDescendants(k *bpf.Kernel, pid int) error {
	children, err := childrenByParent()
	if err != nil {
		return err
	}
	queue := children[pid]
	for seen := map[int]bool{}; len(queue) > 0; queue = queue[1:] {
		child := queue[0]
		if seen[child] {
			continue
		}
		seen[child] = true
		if err := k.AddTarget(child, true); err != nil {
			return err
		}
		queue = append(queue, children[child]...)
	}
	return nil
}

func childrenByParent() (map[int][]int, error) {
	dirs, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		return nil, err
	}
	children := map[int][]int{}
	for _, dir := range dirs {
		b, err := os.ReadFile(dir + "/status")
		if err != nil {
			continue // ended meanwhile
		}
		pid, err1 := strconv.Atoi(filepath.Base(dir))
		parent, err2 := strconv.Atoi(statusField(b, "PPid"))
		if err1 == nil && err2 == nil {
			children[parent] = append(children[parent], pid)
		}
	}
	return children, nil
}

// command is a process that we start and record from its first instruction on.
type command struct {
	cmd  *exec.Cmd
	done chan struct{} // closed when it has ended
	code int
	err  error
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
		c.code = exitCode(c.cmd.ProcessState)
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

// exitCode is the status that a shell would give: 128 and the signal for one that a signal ended.
func exitCode(s *os.ProcessState) int {
	if s == nil {
		return 1
	}
	if ws, ok := s.Sys().(syscall.WaitStatus); ok && ws.Signaled() {
		return 128 + int(ws.Signal())
	}
	return s.ExitCode()
}
