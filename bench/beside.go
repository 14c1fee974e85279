// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/assaylab/assay/internal/lazyregexp"
)

// besider starts what runs beside the workload.
type besider interface {
	start() (running, error)
}

// running is what runs beside the workload.
type running interface {
	// cpu is the CPU time that it has used by now.
	cpu() (time.Duration, error)
	// stop ends it and says what it used and did.
	stop() (spent, error)
}

// spent is what something beside the workload used and did from its start to its end.
type spent struct {
	cpu     time.Duration
	samples int64         // that it says it took; 0: it doesn't say
	span    time.Duration // in which it took them
}

// command is a program that runs beside the workload. samples reads from what it printed how many samples it took, and in what time if it
// says that too.
type command struct {
	args    []string
	samples func(out, errOut string) (int64, time.Duration)
}

// process is a command that runs.
type process struct {
	command
	cmd         *exec.Cmd
	began       time.Time
	ended       chan struct{}
	out, errOut tail
}

// startPause is how long a program beside the workload has to come up before the warm-up begins; one that has ended by then has failed.
const startPause = 500 * time.Millisecond

func (c command) start() (running, error) {
	p := &process{command: c, cmd: exec.Command(c.args[0], c.args[1:]...), began: time.Now(), ended: make(chan struct{})}
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	p.cmd.Stdout, p.cmd.Stderr = &p.out, &p.errOut
	p.cmd.WaitDelay = time.Second // a descendant may hold the pipes
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("beside the workload: %w", err)
	}
	go func() {
		defer close(p.ended)
		p.cmd.Wait() //nolint:errcheck // ProcessState tells how it ended
	}()
	select {
	case <-p.ended:
		return nil, fmt.Errorf("beside the workload: %q ended at once (%s): %s", strings.Join(c.args, " "), p.cmd.ProcessState, p.errOut.last())
	case <-time.After(startPause):
	}
	return p, nil
}

// cpu reads the clock of the process, which counts all of its threads, to the nanosecond. The clock's number is made of the process' (the kernel's
// posix-timers_types.h, CPUCLOCK_SCHED).
func (p *process) cpu() (time.Duration, error) {
	const ofProcess = 2
	var t unix.Timespec
	if err := unix.ClockGettime(int32(^p.cmd.Process.Pid<<3|ofProcess), &t); err != nil {
		return 0, fmt.Errorf("CPU time of what runs beside the workload: %w", err)
	}
	return time.Duration(t.Nano()), nil
}

// stop ends a program as Ctrl-C does, and by force if it doesn't listen.
func (p *process) stop() (spent, error) {
	span := time.Since(p.began)
	signal := func(s syscall.Signal) error {
		err := syscall.Kill(-p.cmd.Process.Pid, s)
		if errors.Is(err, syscall.ESRCH) {
			return nil
		}
		return err
	}
	err := signal(syscall.SIGINT)
	select {
	case <-p.ended:
	case <-time.After(defaultGrace):
		err = errors.Join(err, signal(syscall.SIGKILL))
		<-p.ended
	}
	s := spent{cpu: p.cmd.ProcessState.UserTime() + p.cmd.ProcessState.SystemTime()}
	var told time.Duration
	s.samples, told = p.samples(string(p.out.text), string(p.errOut.text))
	s.span = cmp.Or(told, span)
	return s, err
}

// ownSamples reads the summary of our own recorder: CPU samples and waits. Wall mode has no type that counts, but tells its samples.
func ownSamples(out, _ string) (int64, time.Duration) {
	var summary struct {
		DurationNS  int64 `json:"duration_ns"`
		SampleTypes []struct {
			Unit  string `json:"unit"`
			Total int64  `json:"total"`
		} `json:"sample_types"`
		Samples struct {
			Taken int64 `json:"taken"`
		} `json:"samples"`
	}
	if json.Unmarshal([]byte(out), &summary) != nil {
		return 0, 0
	}
	var n int64
	for _, t := range summary.SampleTypes {
		if t.Unit == "count" {
			n += t.Total
		}
	}
	return max(n, summary.Samples.Taken), time.Duration(summary.DurationNS)
}

// sampleCount is how perf record says how many samples it wrote, and bpftrace what is in a map of that name.
var sampleCount = lazyregexp.New(`\((\d{1,18}) samples\)|(?m:^@samples: (\d{1,18})$)`)

// toldSamples reads what programs of others print.
func toldSamples(out, errOut string) (int64, time.Duration) {
	m := sampleCount().FindStringSubmatch(out + "\n" + errOut)
	if m == nil {
		return 0, 0
	}
	n, err := strconv.ParseInt(cmp.Or(m[1], m[2]), 10, 64)
	if err != nil {
		return 0, 0
	}
	return n, 0
}

// tail keeps the end of what a program wrote.
type tail struct{ text []byte }

const tailBytes = 256 << 10

func (t *tail) Write(p []byte) (int, error) {
	t.text = append(t.text, p...)
	if n := len(t.text); n > 2*tailBytes {
		t.text = append(t.text[:0], t.text[n-tailBytes:]...)
	}
	return len(p), nil
}

// last is the last line.
func (t *tail) last() string {
	text := strings.TrimSpace(string(t.text))
	return text[strings.LastIndexByte(text, '\n')+1:]
}
