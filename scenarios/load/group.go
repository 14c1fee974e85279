// SPDX-License-Identifier: Apache-2.0

package load

import (
	"errors"
	"fmt"
	"io"
	"os/exec"
	"syscall"

	"golang.org/x/sys/unix"
)

// guard is what leads a group: it waits until its input ends, which it does when we have ended, and kills the group, itself too. If the
// group has a folder, it first asks all to end, and removes the folder. Signals that are sent to the group don't end it before.
const guard = `trap "" HUP INT QUIT TERM; read -r _; [ -z "$1" ] || { kill -INT 0; sleep 1; rm -rf "$1"; }; kill -KILL 0`

// A group is a process group for programs of others. All of it ends when we do, however we end: a death signal from the kernel would
// reach the programs that we started, but not what they started. What leaves the group, to be a daemon, escapes.
type group struct {
	leader *exec.Cmd
	life   io.Closer // of the leader
}

// newGroup makes a group. A folder, if there is one, is removed when we end without a close.
func newGroup(folder string) (*group, error) {
	g := &group{leader: exec.Command("/bin/sh", "-c", guard, "sh", folder)}
	g.leader.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	var err error
	if g.life, err = g.leader.StdinPipe(); err != nil {
		return nil, err
	}
	if err := g.leader.Start(); err != nil {
		return nil, fmt.Errorf("process group: %w", err)
	}
	return g, nil
}

// adopt has a command start in the group.
func (g *group) adopt(cmd *exec.Cmd) {
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Setpgid, cmd.SysProcAttr.Pgid = true, g.leader.Process.Pid
}

// kill ends all that is in the group. Until close its number can't become another's.
func (g *group) kill() error {
	if err := unix.Kill(-g.leader.Process.Pid, unix.SIGKILL); err != nil && !errors.Is(err, unix.ESRCH) {
		return fmt.Errorf("kill process group %d: %w", g.leader.Process.Pid, err)
	}
	return nil
}

// close ends the group for good.
func (g *group) close() error {
	err := g.kill()
	waitErr := g.leader.Wait()
	if killed := new(exec.ExitError); errors.As(waitErr, &killed) {
		waitErr = nil
	}
	return errors.Join(err, waitErr)
}
