// SPDX-License-Identifier: Apache-2.0

package load

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/assaylab/assay/scenarios"
)

const (
	startLimit = 30 * time.Second // for a program to accept connections
	endLimit   = 5 * time.Second  // for a program to end when it is asked to
)

// portParam is the parameter of kinds that start a server.
func portParam() scenarios.Param {
	return scenarios.Param{Name: "port", Type: scenarios.Int, Default: "0", Max: 65535, About: "of 127.0.0.1 where the server listens; 0: one that is free"}
}

// A server is a program of others that we start for a load: with a configuration of its own, in a folder of its own, on 127.0.0.1. When
// we are root it runs as nobody, since some refuse root and none needs it.
type server struct {
	need   scenarios.Need
	folder string
	port   int
	owner  *syscall.Credential // nil: we
	group  *group

	running *exec.Cmd
	said    tail
	ended   chan struct{} // closed when the program has ended
}

// newServer makes the folder, and finds a port. Close takes it all back.
func newServer(ctx context.Context, need scenarios.Need, port int) (*server, error) {
	s := &server{need: need}
	var err error
	if s.port, err = freePort(ctx, port); err != nil {
		return nil, err
	}
	if s.folder, err = os.MkdirTemp("", "assay-"+string(need)+"-"); err != nil {
		return nil, err
	}
	if s.owner, err = nobody(); err == nil && s.owner != nil {
		err = os.Chown(s.folder, int(s.owner.Uid), int(s.owner.Gid))
	}
	if err == nil {
		s.group, err = newGroup(s.folder)
	}
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(s.folder))
	}
	return s, nil
}

// freePort returns a port of 127.0.0.1 on which nobody listens: the one that is wanted, or any for 0.
func freePort(ctx context.Context, wanted int) (int, error) {
	var config net.ListenConfig
	l, err := config.Listen(ctx, "tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(wanted)))
	switch {
	case errors.Is(err, unix.EADDRINUSE):
		return 0, fmt.Errorf("port %d of 127.0.0.1 is in use: want one that is free, or 0 for any", wanted)
	case err != nil:
		return 0, err
	}
	return l.Addr().(*net.TCPAddr).Port, l.Close()
}

// nobody is the user with the least rights, for whom root starts programs; nil if we aren't root.
func nobody() (*syscall.Credential, error) {
	if os.Geteuid() != 0 {
		return nil, nil
	}
	u, err := user.Lookup("nobody")
	if err != nil {
		return nil, err
	}
	uid, uidErr := strconv.ParseUint(u.Uid, 10, 32)
	gid, gidErr := strconv.ParseUint(u.Gid, 10, 32)
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, errors.Join(uidErr, gidErr)
}

// path is where a file of the server lies.
func (s *server) path(name string) string { return filepath.Join(s.folder, name) }

// write makes a file in the folder.
func (s *server) write(name string, text []byte) error {
	return os.WriteFile(s.path(name), text, 0o644)
}

func (s *server) address() string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(s.port)) }

// command is a program that runs in the folder, as the server does.
func (s *server) command(need scenarios.Need, args ...string) (*exec.Cmd, error) {
	path, err := need.Program()
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(path, args...)
	cmd.Dir = s.folder
	cmd.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C", "TZ=UTC", "HOME=" + s.folder, "TMPDIR=" + s.folder}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: s.owner}
	s.group.adopt(cmd)
	return cmd, nil
}

// start starts the server and waits until it accepts connections.
func (s *server) start(ctx context.Context, args ...string) error {
	cmd, err := s.command(s.need, args...)
	if err != nil {
		return err
	}
	cmd.Stdout, cmd.Stderr = &s.said, &s.said
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("%s: %w", s.need, err)
	}
	s.running, s.ended = cmd, make(chan struct{})
	go func() {
		cmd.Wait() //nolint:errcheck // how it ended is in ProcessState
		close(s.ended)
	}()
	return s.await(ctx)
}

// await waits until the server accepts connections.
func (s *server) await(ctx context.Context) error {
	limited, cancel := context.WithTimeoutCause(ctx, startLimit, fmt.Errorf("%s accepts no connection after %v", s.need, startLimit))
	defer cancel()
	var dialer net.Dialer
	for {
		conn, err := dialer.DialContext(limited, "tcp", s.address())
		if err == nil {
			return conn.Close()
		}
		select {
		case <-s.ended:
			return fmt.Errorf("%s ended (%s)%s", s.need, s.running.ProcessState, lastLine(s.said.text()))
		case <-limited.Done():
			return fmt.Errorf("%w%s", context.Cause(limited), lastLine(s.said.text()))
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// close ends the server with all its children, and removes its folder. A server that was asked to end takes back what it has of the kernel.
func (s *server) close() error {
	if s == nil { // none was made
		return nil
	}
	var err error
	if s.running != nil {
		err = s.end()
	}
	return errors.Join(err, s.group.close(), os.RemoveAll(s.folder))
}

func (s *server) end() error {
	if err := s.running.Process.Signal(unix.SIGINT); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	select {
	case <-s.ended:
		return nil
	case <-time.After(endLimit):
	}
	err := s.group.kill()
	<-s.ended
	return err
}

// A tail keeps the end of what is written to it.
type tail struct {
	mu   sync.Mutex
	kept []byte
}

const maxTail = 4 << 10

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.kept = append(t.kept, p...)
	t.kept = t.kept[max(0, len(t.kept)-maxTail):]
	return len(p), nil
}

func (t *tail) text() []byte {
	t.mu.Lock()
	defer t.mu.Unlock()
	return append([]byte{}, t.kept...)
}
