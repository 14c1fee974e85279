// SPDX-License-Identifier: Apache-2.0

package main_test

import (
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/assaylab/assay/internal/truth"
)

// TestInterrupt ends a recording early, as Ctrl-C does: what there is, is written.
func TestInterrupt(t *testing.T) {
	program := truth.Build(t, "split.c")
	for _, signal := range []os.Signal{syscall.SIGINT, syscall.SIGTERM} {
		t.Run(signal.String(), func(t *testing.T) {
			work := launch(t, program, "3")
			r := &recording{file: filepath.Join(t.TempDir(), "profile.pb.gz")}
			cmd := exec.Command(assayPath, "record", "-o", r.file, "--duration", "1m", "--pid", work.pid())
			cmd.Stderr = os.Stderr
			cmd.Args = append(cmd.Args, "--quiet")
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			time.Sleep(settlingTime + 500*time.Millisecond)
			if err := cmd.Process.Signal(signal); err != nil {
				t.Fatal(err)
			}
			if err := cmd.Wait(); err != nil {
				t.Fatalf("ended early: %v", err)
			}
			r.read(t)
			if n := sum(t, r.p, "samples", onStack("seventy")); n == 0 {
				t.Error("no samples in seventy")
			}
			if d := r.time(t, "duration_ns"); d < 400*time.Millisecond || d > 3*time.Second {
				t.Errorf("recorded %s", d)
			}
		})
	}
}

// TestInterruptCommand sends the signal to the whole foreground, as a terminal does: the command ends by it, and its status is passed on.
func TestInterruptCommand(t *testing.T) {
	file := filepath.Join(t.TempDir(), "profile.pb.gz")
	cmd := exec.Command(assayPath, "record", "--quiet", "-o", file, "--", truth.Build(t, "split.c"), "20")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	time.Sleep(settlingTime + 500*time.Millisecond)
	if err := syscall.Kill(-cmd.Process.Pid, syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	var exit *exec.ExitError
	if err := cmd.Wait(); !errors.As(err, &exit) || exit.ExitCode() != 128+int(syscall.SIGINT) {
		t.Errorf("%v, want exit status 130", err)
	}
	r := &recording{file: file}
	r.read(t)
	if n := sum(t, r.p, "samples", onStack("seventy")); n == 0 {
		t.Error("no samples in seventy")
	}
}

// TestTerminateAlone ends Assay but not the foreground: the command is ended too, and its status is passed on. The profile is there before.
func TestTerminateAlone(t *testing.T) {
	r := &recording{file: filepath.Join(t.TempDir(), "profile.pb.gz")}
	cmd := exec.Command(assayPath, "record", "--quiet", "-o", r.file, "--", truth.Build(t, "split.c"), "20")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	time.Sleep(settlingTime)
	begin := time.Now()
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	var exit *exec.ExitError
	if err := cmd.Wait(); !errors.As(err, &exit) || exit.ExitCode() != 128+int(syscall.SIGTERM) {
		t.Errorf("%v, want exit status 143", err)
	}
	if waited := time.Since(begin); waited > 10*time.Second {
		t.Errorf("ended %s after the signal, as if the command had not got it", waited)
	}
	r.read(t)
}

// TestOutlived records a part of a command: its status is passed on when it ends, long after the profile is written.
func TestOutlived(t *testing.T) {
	r := &recording{file: filepath.Join(t.TempDir(), "profile.pb.gz")}
	cmd := exec.Command(assayPath, "record", "--quiet", "--duration", "200ms", "-o", r.file, "--", "sh", "-c", "sleep 3; exit 7")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(2500 * time.Millisecond); ; time.Sleep(20 * time.Millisecond) {
		if _, err := os.Stat(r.file); err == nil {
			break
		}
		if time.Now().After(deadline) {
			t.Error("no profile while the command still runs")
			break
		}
	}
	var exit *exec.ExitError
	if err := cmd.Wait(); !errors.As(err, &exit) || exit.ExitCode() != 7 {
		t.Errorf("%v, want exit status 7", err)
	}
	r.read(t)
}

// TestSplit writes a file a mode, and each has the sample types of its mode alone.
func TestSplit(t *testing.T) {
	folder := t.TempDir()
	stdout, stderr, err := run(t, assayPath, "record", "--mode", "cpu,offcpu,wall", "--split", "-o", filepath.Join(folder, "run.pb.gz"), "--", truth.Build(t, "sleeper.c"), "0.3")
	if err != nil {
		t.Fatalf("%v\n%s%s", err, stdout, stderr)
	}
	for mode, want := range map[string][]string{
		"cpu":    {"samples/count", "cpu/nanoseconds"},
		"offcpu": {"off_cpu_events/count", "off_cpu/nanoseconds", "runqueue/nanoseconds"},
		"wall":   {"wall/nanoseconds"},
	} {
		r := &recording{file: filepath.Join(folder, "run-"+mode+".pb.gz")}
		r.read(t)
		var got []string
		for _, v := range r.p.SampleType {
			got = append(got, v.Type+"/"+v.Unit)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: %s", mode, diff)
		}
	}
}

// TestFormats writes each format and looks for what makes it one.
func TestFormats(t *testing.T) {
	program := truth.Build(t, "split.c")
	for format, want := range map[string]string{
		"folded":     "split;",
		"text":       "seventy",
		"flamegraph": "<!doctype html>",
	} {
		file := filepath.Join(t.TempDir(), "report")
		if _, stderr, err := run(t, assayPath, "record", "--format", format, "-o", file, "--", program, "0.2"); err != nil {
			t.Fatalf("%s: %v\n%s", format, err, stderr)
		}
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(strings.ToLower(string(text)), want) || !strings.Contains(string(text), "seventy") {
			t.Errorf("%s: no %q and seventy in %.200q", format, want, text)
		}
	}
}

// TestSummaryJSON reads the summary as programs do.
func TestSummaryJSON(t *testing.T) {
	stdout, stderr, err := run(t, assayPath, "record", "--json", "-o", "profile.pb.gz", "--duration", "300ms")
	if err != nil {
		t.Fatalf("%v\n%s", err, stderr)
	}
	var summary struct {
		File        string
		DurationNS  int64 `json:"duration_ns"`
		SampleTypes []struct {
			Type string
			Top  []struct{ Name string }
		} `json:"sample_types"`
		Cost struct {
			BPFNS        int64 `json:"bpf_ns"`
			AgentCPUNS   int64 `json:"agent_cpu_ns"`
			PeakRSSBytes int64 `json:"peak_rss_bytes"`
		}
	}
	if err := json.Unmarshal([]byte(stdout), &summary); err != nil {
		t.Fatalf("%v\n%s", err, stdout)
	}
	if summary.File == "" || summary.DurationNS < 3e8 || len(summary.SampleTypes) != 2 || summary.Cost.AgentCPUNS <= 0 || summary.Cost.PeakRSSBytes <= 0 {
		t.Errorf("%+v", summary)
	}
}

// TestManyPIDs records two processes and not a third, and with --children what one of them starts.
func TestManyPIDs(t *testing.T) {
	program, storm := truth.Build(t, "split.c"), truth.Build(t, "storm.c")
	first, other, parent := launch(t, program, "2"), launch(t, program, "2"), launch(t, storm, "2", "20")
	r := record(t, "--duration", "1s", "--children", "--pid", first.pid()+","+parent.pid())
	if n := sum(t, r.p, "samples", every(numbered("pid", int64(first.cmd.Process.Pid)), onStack("seventy"))); n == 0 {
		t.Error("no samples of the first process")
	}
	if n := sum(t, r.p, "samples", onStack("storm_work")); n == 0 {
		t.Error("no samples of children")
	}
	if n := sum(t, r.p, "samples", numbered("pid", int64(other.cmd.Process.Pid))); n != 0 {
		t.Errorf("%d samples of a process that wasn't asked for", n)
	}
}

// TestPIDNamespace records in a PID namespace of its own: numbers in the profile are those of the namespace.
func TestPIDNamespace(t *testing.T) {
	program := truth.Build(t, "split.c")
	inside := []string{"unshare", "--pid", "--fork", "--mount-proc", assayPath}
	r := recordBy(t, inside, "--mode", "cpu,offcpu", "--freq", "997", "--", program, "1")
	said := r.truth(t)
	tid := said.Want(t, "tid.main")
	if tid > 100 {
		t.Fatalf("thread %d is not in a namespace of its own", tid)
	}
	if n, all := sum(t, r.p, "samples", numbered("tid", tid)), sum(t, r.p, "samples", all); n == 0 || n != all {
		t.Errorf("%d of %d samples of thread %d", n, all, tid)
	}
	if err := compareCPU(t, r.p, said.Group("cpu_ns")); err != nil {
		t.Error(err)
	}
}
