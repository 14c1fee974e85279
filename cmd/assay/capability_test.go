// SPDX-License-Identifier: Apache-2.0

package main_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/pprof/profile"

	"github.com/assaylab/assay/internal/truth"
	"github.com/assaylab/assay/profiler/doctor"
)

// useful are the capabilities that add something to a recording, by the names of setpriv.
var useful = []string{"bpf", "perfmon", "sys_ptrace", "dac_read_search", "syslog", "checkpoint_restore"}

// withCapabilities is how to run a program as root with these capabilities alone: its bounding set is what root gets at exec.
func withCapabilities(capabilities []string) []string {
	return []string{"setpriv", "--inh-caps=-all", "--bounding-set=-all" + strings.Join(append([]string{""}, capabilities...), ",+")}
}

// without returns list without one.
func without(list []string, one string) []string {
	return slices.DeleteFunc(slices.Clone(list), func(s string) bool { return s == one })
}

// TestCapabilities drops each useful capability in turn, asks the doctor what a recording will be able to do, records, and compares.
func TestCapabilities(t *testing.T) {
	sets := map[string][]string{"none": nil, "all useful": useful, "core": useful[:2], "administrator": {"sys_admin"}}
	for _, one := range useful {
		sets["without "+one] = without(useful, one)
	}
	private := startPrivate(t)
	for name, set := range sets {
		t.Run(name, func(t *testing.T) {
			report := askDoctor(t, withCapabilities(set))
			if found := observe(t, withCapabilities(set), private); found != foretold(report) {
				t.Errorf("happened %+v\nforetold %+v", found, foretold(report))
			}
		})
	}
}

// outcome is what a recording was able to do.
type outcome struct {
	cpu, offcpu    bool // it was made
	kernelNames    bool // kernel frames have names
	otherProcesses bool // so have those of another user's program that only its owner may read
}

// foretold is what the doctor makes one expect.
func foretold(r *doctor.Report) outcome {
	return outcome{
		cpu: r.CanRecord[doctor.ModeCPU], offcpu: r.CanRecord[doctor.ModeOffCPU],
		kernelNames:    r.CanRecord[doctor.ModeOffCPU] && r.Foretold.KernelNames,
		otherProcesses: r.CanRecord[doctor.ModeCPU] && r.Foretold.OtherProcesses && r.Foretold.OtherFiles,
	}
}

// askDoctor runs `assay doctor --json`, which exits with 1 if nothing can be recorded.
func askDoctor(t *testing.T, command []string) *doctor.Report {
	t.Helper()
	stdout, stderr, err := run(t, append(slices.Clone(command), assayPath, "doctor", "--json")...)
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	var report doctor.Report
	if err := json.Unmarshal([]byte(stdout), &report); err != nil {
		t.Fatalf("%v\n%s%s", err, stdout, stderr)
	}
	if report.OK() != (err == nil) {
		t.Errorf("can record %v, and the doctor ends with %v", report.CanRecord, err)
	}
	return &report
}

// startPrivate starts a program of another user, from a file that only this one may read, and returns its PID.
func startPrivate(t *testing.T) int64 {
	t.Helper()
	folder := t.TempDir()
	program := copyProgram(t, truth.Build(t, "split.c"), filepath.Join(folder, "private"))
	const nobody = 65534
	for _, path := range []string{program, folder} {
		if err := errors.Join(os.Chmod(path, 0o700), os.Chown(path, nobody, nobody)); err != nil {
			t.Fatal(err)
		}
	}
	p := launch(t, "setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups", program, "60")
	time.Sleep(100 * time.Millisecond) // until it is the program
	return int64(p.cmd.Process.Pid)
}

// observe records the machine in each mode and says how far that went. What can't be recorded has to be refused in one line.
func observe(t *testing.T, command []string, private int64) outcome {
	t.Helper()
	attempt := func(mode string) (*profile.Profile, bool) {
		file := filepath.Join(t.TempDir(), "profile.pb.gz")
		args := []string{assayPath, "record", "--quiet", "--mode", mode, "--freq", "499", "--duration", "400ms", "-o", file}
		_, stderr, err := run(t, append(slices.Clone(command), args...)...)
		if err != nil {
			if !strings.HasPrefix(stderr, "assay: ") || strings.Count(stderr, "\n") != 1 {
				t.Errorf("%s refused with %q, want one line", mode, stderr)
			}
			return nil, false
		}
		r := &recording{file: file}
		r.read(t)
		return r.p, true
	}
	var found outcome
	var p *profile.Profile
	if p, found.offcpu = attempt(doctor.ModeOffCPU); found.offcpu { // whoever waits, waits in the kernel
		found.kernelNames = slices.ContainsFunc(p.Location, func(l *profile.Location) bool { return inKernel(l) && len(l.Line) > 0 })
	}
	if p, found.cpu = attempt(doctor.ModeCPU); found.cpu {
		found.otherProcesses = sum(t, p, "samples", every(numbered("pid", private), onStack("seventy"))) > 0
	}
	return found
}

// TestFileCapabilities gives a copy of the command the rights that it needs and runs it as an ordinary user: such a program is not
// dumpable, which closes much of /proc/self to it.
func TestFileCapabilities(t *testing.T) {
	folder := t.TempDir()
	if err := os.Chmod(folder, 0o777); err != nil {
		t.Fatal(err)
	}
	granted := copyProgram(t, assayPath, filepath.Join(folder, "assay"))
	if _, stderr, err := run(t, "setcap", "cap_bpf,cap_perfmon,cap_sys_ptrace,cap_dac_read_search=ep", granted); err != nil {
		t.Fatalf("%v\n%s", err, stderr)
	}
	ordinary := []string{"setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups", granted}
	program := truth.Build(t, "split.c")
	settle(t, 1, func(seconds float64) error {
		r := &recording{file: filepath.Join(folder, fmt.Sprintf("profile-%g.pb.gz", seconds))}
		args := []string{"record", "-o", r.file, "--mode", "cpu,offcpu,wall", "--freq", strconv.Itoa(cpuHz), "--", program, secondsArg(seconds)}
		var err error
		if r.stdout, r.stderr, err = run(t, append(slices.Clone(ordinary), args...)...); err != nil {
			t.Fatalf("%v\n%s", err, r.stderr)
		}
		r.read(t)
		return compareCPU(t, r.p, r.truth(t).Group("cpu_ns"))
	})
}
