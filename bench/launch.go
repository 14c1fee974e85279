// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/assaylab/assay/scenarios"
	"github.com/assaylab/assay/scenarios/knobs"
)

// Launcher is the command that serves as a worker: a program whose arguments make it call [Serve] on its stdin and stdout.
type Launcher struct {
	Command      []string
	knobs.Launch // how the worker is started; what is Inside is set when the work has made its namespaces
	// Grace is how long a worker may take to end; one that takes twice as long more than four times what it was asked for hangs, and is
	// killed, with all that it started. 0: 10 s.
	Grace time.Duration
}

// worker is a process that works for us.
type worker struct {
	grace   time.Duration
	cmd     *exec.Cmd
	in      io.WriteCloser
	answers *bufio.Reader
	errOut  bytes.Buffer
}

// defaultGrace is also what programs beside the workload get to end.
const defaultGrace = 10 * time.Second

// start starts a worker. It is killed when we end, however we end.
func (l *Launcher) start() (*worker, error) {
	w := &worker{grace: cmp.Or(l.Grace, defaultGrace), cmd: exec.Command(l.Command[0], l.Command[1:]...)}
	w.cmd.Stderr = &w.errOut
	w.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	var err error
	if w.in, err = w.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := w.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	w.answers = bufio.NewReader(out)
	started := make(chan error, 1)
	ended := make(chan struct{})
	go func() {
		// The thread that starts a process is the one whose end kills it, and whose CPUs and the like it inherits.
		runtime.LockOSThread()
		err := l.Start(w.cmd)
		started <- err
		if err == nil {
			<-ended
		}
	}()
	if err := <-started; err != nil {
		return nil, fmt.Errorf("worker: %w", err)
	}
	w.onEnd(ended)
	return w, nil
}

// onEnd lets the thread that started the worker go when it has ended.
func (w *worker) onEnd(ended chan struct{}) {
	pidfd, err := unix.PidfdOpen(w.cmd.Process.Pid, 0)
	if err != nil {
		return // the thread stays until we end
	}
	go func() {
		polled := []unix.PollFd{{Fd: int32(pidfd), Events: unix.POLLIN}}
		for {
			if _, err := unix.Poll(polled, -1); !errors.Is(err, unix.EINTR) {
				break
			}
		}
		close(ended)
		unix.Close(pidfd) //nolint:errcheck // it was only polled
	}()
}

// ask sends a request and waits for its answer, at most for a time.
func (w *worker) ask(ctx context.Context, q request, limit time.Duration) (*outcome, error) {
	text, err := json.Marshal(q)
	if err != nil {
		return nil, err
	}
	if _, err := w.in.Write(append(text, '\n')); err != nil {
		return nil, w.died(err)
	}
	type answer struct {
		line []byte
		err  error
	}
	got := make(chan answer, 1)
	go func() {
		line, err := w.answers.ReadBytes('\n')
		got <- answer{line, err}
	}()
	timeout := time.NewTimer(limit)
	defer timeout.Stop()
	select {
	case a := <-got:
		return w.read(a.line, a.err)
	case <-ctx.Done():
		return nil, errors.Join(ctx.Err(), w.end())
	case <-timeout.C:
		return nil, errors.Join(fmt.Errorf("workload: no answer after %s: it hangs, and was killed", limit), w.kill())
	}
}

func (w *worker) read(line []byte, err error) (*outcome, error) {
	if err != nil {
		return nil, w.died(err)
	}
	var a response
	if err := json.Unmarshal(line, &a); err != nil {
		return nil, fmt.Errorf("answer of the workload: %w", err)
	}
	if a.Error != "" {
		return nil, errors.New(a.Error)
	}
	return a.Outcome, nil
}

// died says why a worker doesn't answer.
func (w *worker) died(err error) error {
	killErr := w.kill()
	said := strings.TrimSpace(w.errOut.String())
	if i := strings.LastIndexByte(said, '\n'); i >= 0 {
		said = said[i+1:]
	}
	return errors.Join(fmt.Errorf("workload died (%s): %s: %w", w.cmd.ProcessState, said, err), killErr)
}

// end asks a worker to leave its work and take back what it made.
func (w *worker) end() error {
	err := w.cmd.Process.Signal(syscall.SIGTERM)
	if errors.Is(err, os.ErrProcessDone) {
		err = nil
	}
	return errors.Join(err, w.close())
}

// kill ends the worker and all that it started, and waits for it.
func (w *worker) kill() error {
	if w.cmd.ProcessState != nil {
		return nil
	}
	familyErr := killDescendants(w.cmd.Process.Pid)
	if err := syscall.Kill(-w.cmd.Process.Pid, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
		return errors.Join(familyErr, fmt.Errorf("kill workload: %w", err))
	}
	return errors.Join(familyErr, w.wait())
}

// wait waits for the end; to be killed is one.
func (w *worker) wait() error {
	err := w.cmd.Wait()
	if exit := new(exec.ExitError); errors.As(err, &exit) {
		return nil
	}
	return err
}

// close lets the worker take back what it made, and kills it if that takes too long.
func (w *worker) close() error {
	if w.cmd.ProcessState != nil {
		return nil
	}
	err := w.in.Close()
	late := time.AfterFunc(w.grace, func() {
		killDescendants(w.cmd.Process.Pid)                //nolint:errcheck // it may just have ended
		syscall.Kill(-w.cmd.Process.Pid, syscall.SIGKILL) //nolint:errcheck // it may just have ended
	})
	defer late.Stop()
	waitErr := w.cmd.Wait()
	if waitErr != nil {
		waitErr = fmt.Errorf("workload: %w: %s", waitErr, strings.TrimSpace(w.errOut.String()))
	}
	return errors.Join(err, waitErr)
}

// prepare asks a new worker to get ready.
func (w *worker) prepare(ctx context.Context, kind string, values scenarios.Values, inside []string) error {
	_, err := w.ask(ctx, request{Kind: kind, Values: values, Inside: inside}, 6*w.grace)
	return err
}

// run asks for work. Kinds that run programs of others end those themselves, after four times the duration and some seconds.
func (w *worker) run(ctx context.Context, d time.Duration) (*outcome, error) {
	o, err := w.ask(ctx, request{RunNS: d.Nanoseconds()}, 4*d+2*w.grace)
	if err == nil && o == nil {
		err = errors.New("workload: no outcome")
	}
	return o, err
}
