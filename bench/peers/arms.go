// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
)

const freq = 997

func (b *bench) comparisons() []comparison {
	return []comparison{
		{"cpu", "eBPF ns a sample, by the kernel's meter", "bar: assay at or under bpftrace", []arm{
			{"bpftrace profile:hz:997", b.bpftraceSample}, {"assay record -F 997", b.assaySample},
		}},
		{"agent", "CPU us of the recorder a sample, start and names included", "bar: a tenth of perf record", []arm{
			{"perf record -g -F 997", b.perfAgent}, {"assay record -F 997", b.assayAgent},
		}},
		{"offcpu", "us an operation of a pinned pipe storm", "bars: assay 1.15, exact 1.8", []arm{
			{"nothing", storm}, {"assay offcpu", b.stormWith("offcpu")}, {"assay offcpu --exact", b.stormWith("offcpu", "--exact")},
			{"bpftrace offcpu script", b.stormBpftrace}, {"perf record sched_switch", b.stormPerf},
		}},
	}
}

// start runs a command in the background; the function that it returns interrupts and awaits it.
func start(name string, args ...string) (*exec.Cmd, func() error, error) {
	cmd := exec.Command(name, args...)
	var errOut bytes.Buffer
	cmd.Stderr = &errOut
	if err := cmd.Start(); err != nil {
		return nil, nil, err
	}
	return cmd, func() error {
		if err := cmd.Process.Signal(unix.SIGINT); err != nil {
			return err
		}
		err := cmd.Wait()
		var exit *exec.ExitError
		if errors.As(err, &exit) && exit.Sys().(syscall.WaitStatus).Signaled() {
			err = nil
		}
		if err != nil {
			return fmt.Errorf("%s: %w: %s", name, err, errOut.String())
		}
		return nil
	}, nil
}

// load runs the busy program for the duration.
func (b *bench) load() error {
	return exec.Command(b.busy, fmt.Sprint(b.duration.Seconds())).Run()
}

// metered runs the busy program with the kernel's meter on, and returns ns a run of the loaded programs of a type.
func (b *bench) metered() (float64, error) {
	meter, err := ebpf.EnableStats(unix.BPF_STATS_RUN_TIME)
	if err != nil {
		return 0, err
	}
	runErr := b.load()
	var ns time.Duration
	var runs uint64
	for id := ebpf.ProgramID(0); ; {
		if id, err = ebpf.ProgramGetNextID(id); err != nil {
			break
		}
		p, err := ebpf.NewProgramFromID(id)
		if err != nil {
			continue
		}
		if p.Type() == ebpf.PerfEvent {
			s, serr := p.Stats()
			if serr == nil {
				ns += s.Runtime
				runs += s.RunCount
			}
		}
		if err := p.Close(); err != nil {
			return 0, err
		}
	}
	if err := errors.Join(runErr, meter.Close()); err != nil {
		return 0, err
	}
	if runs == 0 {
		return 0, errors.New("no perf_event program ran")
	}
	return float64(ns) / float64(runs), nil
}

const settle = time.Second // for a tool to attach

func (b *bench) whileRunning(measure func() (float64, error), name string, args ...string) (float64, error) {
	_, stop, err := start(name, args...)
	if err != nil {
		return 0, err
	}
	time.Sleep(settle)
	f, err := measure()
	return f, errors.Join(err, stop())
}

func (b *bench) bpftraceSample() (float64, error) {
	return b.whileRunning(b.metered, "bpftrace", "-o", filepath.Join(b.dir, "bpftrace.out"), "-e", "profile:hz:997 { @[kstack, ustack, comm] = count(); }")
}

func (b *bench) assaySample() (float64, error) {
	return b.whileRunning(b.metered, b.assay, "record", "-q", "-F", strconv.Itoa(freq), "-o", filepath.Join(b.dir, "cpu.pb.gz"))
}

// costOf is the CPU time that a process took, in microseconds.
func costOf(cmd *exec.Cmd) float64 {
	return float64((cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()).Microseconds())
}

func (b *bench) perfAgent() (float64, error) {
	file := filepath.Join(b.dir, "perf.data")
	cmd, stop, err := start("perf", "record", "-q", "-a", "-g", "-F", strconv.Itoa(freq), "-o", file)
	if err != nil {
		return 0, err
	}
	time.Sleep(settle)
	if err := errors.Join(b.load(), stop()); err != nil {
		return 0, err
	}
	// The report's own count: one line a sample.
	out, err := exec.Command("perf", "script", "-i", file, "-F", "event", "-G").Output()
	if err != nil {
		return 0, fmt.Errorf("perf script: %w", err)
	}
	return costOf(cmd) / float64(max(1, bytes.Count(out, []byte("cpu-clock"))+bytes.Count(out, []byte("cycles")))), nil
}

func (b *bench) assayAgent() (float64, error) {
	cmd := exec.Command(b.assay, "record", "-q", "--json", "-F", strconv.Itoa(freq), "-d", (b.duration + settle).String(), "-o", filepath.Join(b.dir, "cpu.pb.gz"))
	var out bytes.Buffer
	cmd.Stdout = &out
	if err := cmd.Start(); err != nil {
		return 0, err
	}
	time.Sleep(settle / 2)
	if err := errors.Join(b.load(), cmd.Wait()); err != nil {
		return 0, err
	}
	var summary struct {
		Samples struct {
			Taken int64 `json:"taken"`
		} `json:"samples"`
	}
	if err := json.Unmarshal(out.Bytes(), &summary); err != nil {
		return 0, fmt.Errorf("summary: %w", err)
	}
	return costOf(cmd) / float64(max(1, summary.Samples.Taken)), nil
}

var perOp = regexp.MustCompile(`([0-9.]+) usecs/op`)

// storm is two tasks that switch on one CPU, steadier than on two.
func storm() (float64, error) {
	out, err := exec.Command("taskset", "-c", "1", "perf", "bench", "sched", "pipe", "-l", "150000").CombinedOutput()
	if err != nil {
		return 0, fmt.Errorf("perf bench: %w: %s", err, out)
	}
	m := perOp.FindSubmatch(out)
	if m == nil {
		return 0, fmt.Errorf("perf bench: no figure in %q", strings.TrimSpace(string(out)))
	}
	return strconv.ParseFloat(string(m[1]), 64)
}

func (b *bench) stormWith(mode string, more ...string) func() (float64, error) {
	args := append([]string{"record", "-q", "-m", mode, "-o", filepath.Join(b.dir, "off.pb.gz")}, more...)
	return func() (float64, error) { return b.whileRunning(storm, b.assay, args...) }
}

const offcpuScript = `tracepoint:sched:sched_switch {
	@start[tid] = nsecs;
	if (@start[args->next_pid]) { @[kstack, ustack, comm] = sum(nsecs - @start[args->next_pid]); delete(@start[args->next_pid]); }
}`

func (b *bench) stormBpftrace() (float64, error) {
	return b.whileRunning(storm, "bpftrace", "-o", filepath.Join(b.dir, "bpftrace.out"), "-e", offcpuScript)
}

func (b *bench) stormPerf() (float64, error) {
	return b.whileRunning(storm, "perf", "record", "-q", "-a", "-g", "-e", "sched:sched_switch", "-o", filepath.Join(b.dir, "sched.data"))
}
