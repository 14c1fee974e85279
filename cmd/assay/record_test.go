// SPDX-License-Identifier: Apache-2.0

package main_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/pprof/profile"

	"github.com/assaylab/assay/internal/facts"
	"github.com/assaylab/assay/internal/pprofio"
	"github.com/assaylab/assay/internal/truth"
)

// patience ends a command that hangs, so that the tests after it still run.
const patience = 90 * time.Second

// A recording is what a run of `assay record` left.
type recording struct {
	file   string // the pprof file
	p      *profile.Profile
	facts  facts.Facts
	stdout string // of the recorded command
	stderr string
}

// record runs `assay record` with flags that say what to record, reads the profile, and checks what holds of every profile.
func record(t testing.TB, args ...string) *recording {
	t.Helper()
	return recordBy(t, []string{assayPath}, args...)
}

// recordBy is record with the command in other words, such as another program that starts it.
func recordBy(t testing.TB, command []string, args ...string) *recording {
	t.Helper()
	r := &recording{file: filepath.Join(t.TempDir(), "profile.pb.gz")}
	args = append([]string{"record", "-o", r.file}, args...)
	var err error
	if r.stdout, r.stderr, err = run(t, append(command, args...)...); err != nil {
		t.Fatalf("%q: %v\n%s", args, err, r.stderr)
	}
	r.read(t)
	return r
}

// run runs a program and returns what it printed.
func run(t testing.TB, args ...string) (stdout, stderr string, err error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Dir = t.TempDir()
	cmd.WaitDelay = time.Second
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err = cmd.Run()
	if ctx.Err() != nil {
		err = fmt.Errorf("still running after %s", patience)
	}
	return out.String(), errs.String(), err
}

// truth returns what the recorded command said.
func (r *recording) truth(t testing.TB) truth.Says {
	t.Helper()
	said, err := truth.Parse(r.stdout)
	if err != nil {
		t.Fatalf("%v\n%s", err, r.stderr)
	}
	return said
}

// fact returns a whole number that the profile must say of itself.
func (r *recording) fact(t testing.TB, key string) int64 {
	t.Helper()
	n, ok := r.facts.Int(key)
	if !ok {
		t.Fatalf("the profile doesn't say %s:\n%s", key, r.facts.Comment())
	}
	return n
}

// time is fact for nanoseconds.
func (r *recording) time(t testing.TB, key string) time.Duration {
	t.Helper()
	return time.Duration(r.fact(t, key))
}

// mended is the number of waits whose end the kernel didn't tell of, as happens on some machines: their time was mended from the
// scheduler's own notes, and is known of the thread, but not of a stack.
func (r *recording) mended() int64 {
	n, _ := r.facts.Int("switches_mended")
	return n
}

func (r *recording) read(t testing.TB) {
	t.Helper()
	f, err := os.Open(r.file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if r.p, err = pprofio.Read(f); err != nil { // checks that it is valid
		t.Fatal(err)
	}
	if r.facts, err = facts.Parse(r.p.Comments); err != nil || r.facts == nil {
		t.Fatalf("facts: %v, %v", r.facts, err)
	}
	checkContract(t, r.p)
	checkStable(t, r.p)
}

// checkContract wants of a profile what all our profiles promise.
func checkContract(t testing.TB, p *profile.Profile) {
	t.Helper()
	if p.PeriodType == nil || p.PeriodType.Type == "" || p.Period <= 0 || p.TimeNanos <= 0 || p.DurationNanos <= 0 {
		t.Errorf("period %v %d, time %d, duration %d: each has to be set", p.PeriodType, p.Period, p.TimeNanos, p.DurationNanos)
	}
	for _, s := range p.Sample {
		if len(s.NumLabel["pid"]) != 1 || len(s.NumLabel["tid"]) != 1 || len(s.Label["comm"]) > 1 {
			t.Errorf("sample without pid and tid: %v %v", s.NumLabel, s.Label)
			break
		}
	}
}

// checkStable wants what was written to come back, and to be written the same again.
func checkStable(t testing.TB, p *profile.Profile) {
	t.Helper()
	write := func(p *profile.Profile) []byte {
		var b bytes.Buffer
		if err := p.WriteUncompressed(&b); err != nil {
			t.Fatal(err)
		}
		return b.Bytes()
	}
	first := write(p)
	again, err := profile.ParseUncompressed(first)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(first, write(again)) {
		t.Errorf("write, read, write is not stable:\n%s", cmp.Diff(p.String(), again.String()))
	}
}

// secondsArg writes a time as programs take it.
func secondsArg(seconds float64) string { return strconv.FormatFloat(seconds, 'f', -1, 64) }

// A process is a program of known truth that waits at its gate, or for the end of its input.
type process struct {
	cmd   *exec.Cmd
	stdin io.WriteCloser
	out   bytes.Buffer
}

// launch starts a program, which is killed when the test ends, if it still runs.
func launch(t testing.TB, args ...string) *process {
	t.Helper()
	p := &process{cmd: exec.Command(args[0], args[1:]...)}
	var err error
	if p.stdin, err = p.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	p.cmd.Stdout = &p.out
	p.cmd.Stderr = os.Stderr
	p.cmd.WaitDelay = time.Second
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if p.cmd.ProcessState == nil {
			p.cmd.Process.Kill() //nolint:errcheck // it may have ended by itself
			p.cmd.Wait()         //nolint:errcheck // it was killed
		}
	})
	return p
}

func (p *process) pid() string { return strconv.Itoa(p.cmd.Process.Pid) }

// open opens the gate.
func (p *process) open(t testing.TB) {
	t.Helper()
	if _, err := p.stdin.Write([]byte{'\n'}); err != nil {
		t.Fatal(err)
	}
}

// wait waits for the end and returns what the program said.
func (p *process) wait(t testing.TB) truth.Says {
	t.Helper()
	if err := p.cmd.Wait(); err != nil {
		t.Fatal(err)
	}
	said, err := truth.Parse(p.out.String())
	if err != nil {
		t.Fatal(err)
	}
	return said
}

// settlingTime is how long after its start a recorder is surely recording; the issue that it came with allows 300 ms.
const settlingTime = 700 * time.Millisecond

// recordWork records a program that stands at its gate, opens the gate when recording has begun, and ends after the program.
func recordWork(t testing.TB, p *process, work float64, args ...string) (*recording, truth.Says) {
	t.Helper()
	open := time.AfterFunc(settlingTime, func() { p.open(t) })
	defer open.Stop()
	length := time.Duration(work*float64(time.Second)) + settlingTime + 300*time.Millisecond
	r := record(t, append([]string{"--duration", length.String()}, args...)...)
	return r, p.wait(t)
}

// copyProgram copies a program to another place.
func copyProgram(t testing.TB, from, to string) string {
	t.Helper()
	data, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(to, data, 0o755); err != nil {
		t.Fatal(err)
	}
	return to
}

// remove removes a file that has to be there.
func remove(t testing.TB, file string) {
	t.Helper()
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
}

func lines(text string) []string {
	return strings.Split(strings.TrimSuffix(text, "\n"), "\n")
}
