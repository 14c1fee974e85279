// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strconv"
	"time"

	"github.com/google/pprof/profile"
	"golang.org/x/sys/unix"

	"github.com/assaylab/assay/ci/kernels/report"
)

// hotPlugged is the CPU that goes and comes back. The first one can't.
const hotPlugged = 1

// hotPlug takes a CPU away while the machine is recorded and brings it back, then computes on it: all of that has to be in the profile.
func hotPlug() (seen observation, err error) {
	for range attempts {
		if seen, err = plugOnce(); err == nil {
			return seen, nil
		}
	}
	return seen, err
}

func plugOnce() (seen observation, err error) {
	const file = "/tmp/hotplug.pb.gz"
	recorded := make(chan error, 1)
	go func() {
		_, complaints, err := assay("record", "--freq", strconv.Itoa(recordHz), "--cpu-label", "--duration", "12s", "--output", file)
		seen.output = complaints
		recorded <- err
	}()
	truth, err := workAfterPlug()
	if err := errors.Join(err, <-recorded); err != nil {
		return seen, err
	}
	p, err := readProfile(file)
	if err != nil {
		return seen, err
	}
	p.Sample = slices.DeleteFunc(p.Sample, func(s *profile.Sample) bool { return !slices.Contains(s.NumLabel["cpu"], hotPlugged) })
	times, err := measures(p, "cpu", truth)
	if err != nil {
		return seen, err
	}
	seen.detail = describe(times, truth)
	return seen, sampled(times, truth)
}

// workAfterPlug unplugs, plugs and computes, and returns the truth about that.
func workAfterPlug() (map[string]report.Span, error) {
	time.Sleep(3 * time.Second) // until it records, with a look at the CPUs
	if err := plug(false); err != nil {
		return nil, err
	}
	time.Sleep(2 * time.Second)
	if err := plug(true); err != nil {
		return nil, err
	}
	time.Sleep(2 * time.Second) // until the next look
	out, err := onCPU(hotPlugged, "/bin/truth", "split", "2")
	if err != nil {
		return nil, err
	}
	var truth map[string]report.Span
	if err := json.Unmarshal(out, &truth); err != nil {
		return nil, fmt.Errorf("truth %q: %w", out, err)
	}
	return truth, nil
}

// plug brings the CPU online or takes it off.
func plug(in bool) error {
	state := []byte("0")
	if in {
		state = []byte("1")
	}
	return os.WriteFile(fmt.Sprintf("/sys/devices/system/cpu/cpu%d/online", hotPlugged), state, 0)
}

// onCPU runs a program on one CPU.
func onCPU(cpu int, name string, args ...string) ([]byte, error) {
	type result struct {
		out []byte
		err error
	}
	done := make(chan result)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread, which has lost its other CPUs, ends with the goroutine
		var set unix.CPUSet
		set.Set(cpu)
		if err := unix.SchedSetaffinity(0, &set); err != nil {
			done <- result{nil, fmt.Errorf("affinity: %w", err)}
			return
		}
		out, err := exec.Command(name, args...).Output()
		done <- result{out, err}
	}()
	r := <-done
	return r.out, r.err
}
