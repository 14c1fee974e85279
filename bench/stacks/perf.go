// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// A perf is a perf record that takes a stack when the kernel makes the signal that stops the program: in the interrupt of the sample, before
// the program gets on.
type perf struct {
	ctx     context.Context //nolint:containedctx // of the commands that it runs
	program *exec.Cmd
	record  *exec.Cmd
	said    bytes.Buffer // by perf
	data    string
	left    int // stops
}

// startPerf starts a program and then perf. Stops that come before perf is ready have no stack of it, and are not compared.
func (l *lab) startPerf(ctx context.Context, work string, args []string) (*perf, error) {
	p := &perf{ctx: ctx, data: filepath.Join(work, "perf.data"), left: l.settings.stops}
	p.program = exec.CommandContext(ctx, args[0], args[1:]...)
	p.program.Dir = work
	if err := p.program.Start(); err != nil {
		return nil, err
	}
	p.record = exec.CommandContext(ctx, "perf", "record", "-q", "-e", "signal:signal_generate", "--filter", "sig=="+strconv.Itoa(int(unix.SIGSTOP)),
		"-k", "mono", "--call-graph", l.perf, "-p", strconv.Itoa(p.pid()), "-o", p.data)
	p.record.Stderr = &p.said
	err := p.record.Start()
	if err == nil {
		err = p.await()
	}
	if err != nil {
		return nil, errors.Join(err, p.end())
	}
	return p, nil
}

// await returns when perf has begun to write its file.
func (p *perf) await() error {
	const patience = 10 * time.Second
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if st, err := os.Stat(p.data); err == nil && st.Size() > 0 {
			return nil
		}
	}
	return fmt.Errorf("perf has not begun in %s", patience)
}

func (p *perf) pid() int { return p.program.Process.Pid }

// stops lets the program go on from each stop, and asks perf at the end.
func (p *perf) stops() ([]stop, error) {
	for p.left > 0 {
		stopped, err := p.stopped()
		if err != nil {
			return nil, err
		}
		if !stopped {
			break
		}
		if p.left--; p.left > 0 {
			if err := p.program.Process.Signal(unix.SIGCONT); err != nil {
				return nil, err
			}
		}
	}
	if err := p.record.Process.Signal(os.Interrupt); err != nil {
		return nil, err
	}
	if err := p.record.Wait(); err != nil && p.record.ProcessState.ExitCode() >= 0 {
		return nil, fmt.Errorf("perf record: %w: %s", err, strings.TrimSpace(p.said.String()))
	}
	script, err := exec.CommandContext(p.ctx, "perf", "script", "-i", p.data, "--ns", "-F", "time,ip,dso", "--no-inline").Output()
	if err != nil {
		return nil, fmt.Errorf("perf script: %w", err)
	}
	return parseScript(script)
}

// stopped waits until the program stops; false when it has ended.
func (p *perf) stopped() (bool, error) {
	const cldStopped = 5
	var info unix.Siginfo
	// The end of the program is left to its own Wait.
	for _, look := range []int{unix.WSTOPPED | unix.WEXITED | unix.WNOWAIT, unix.WSTOPPED} {
		var err error = unix.EINTR
		for errors.Is(err, unix.EINTR) {
			err = unix.Waitid(unix.P_PID, p.pid(), &info, look, nil)
		}
		if err != nil {
			return false, fmt.Errorf("wait for the program: %w", err)
		}
		if info.Code != cldStopped {
			return false, nil
		}
	}
	return true, nil
}

// parseScript reads what perf script says: a line with the time of a stack, and a line for each of its frames: an offset, and the file in
// parentheses. A return address counts as the byte before it there.
func parseScript(script []byte) ([]stop, error) {
	var all []stop
	lines := bufio.NewScanner(bytes.NewReader(script))
	for lines.Scan() {
		text := strings.TrimSpace(lines.Text())
		if text == "" {
			continue
		}
		if at, isTime := strings.CutSuffix(text, ":"); isTime {
			s, ns, _ := strings.Cut(at, ".")
			t, err := strconv.ParseUint(s+ns, 10, 64)
			if err != nil || len(ns) != 9 {
				return nil, fmt.Errorf("perf script says %q: want a time in nanoseconds", text)
			}
			all = append(all, stop{At: t})
			continue
		}
		hex, file, ok := strings.Cut(strings.TrimSuffix(text, ")"), " (")
		address, err := strconv.ParseUint(hex, 16, 64)
		if err != nil || !ok || len(all) == 0 {
			return nil, fmt.Errorf("perf script says %q: want an offset in a file", text)
		}
		const kernel = 1 << 63
		if last := &all[len(all)-1]; address < kernel {
			last.Frames = append(last.Frames, frame{strings.TrimSuffix(file, " (deleted)"), address})
		}
	}
	return all, lines.Err()
}

// end waits for the program and for perf, whatever they do.
func (p *perf) end() error {
	var errs []error
	for _, cmd := range []*exec.Cmd{p.program, p.record} {
		if cmd.Process == nil || cmd.ProcessState != nil {
			continue
		}
		if err := cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
			errs = append(errs, err)
		}
		var ended *exec.ExitError
		if err := cmd.Wait(); err != nil && !errors.As(err, &ended) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}
