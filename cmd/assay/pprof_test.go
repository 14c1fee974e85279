// SPDX-License-Identifier: Apache-2.0

package main_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/assaylab/assay/internal/pprofio"
	"github.com/assaylab/assay/internal/truth"
)

// pprofPath is where `go tool pprof` is, so that ending it ends it, and not the go command around it.
func pprofPath(t *testing.T) string {
	t.Helper()
	out, err := exec.Command("go", "tool", "-n", "pprof").Output()
	if err != nil {
		t.Fatalf("go tool pprof: %v", err)
	}
	return strings.TrimSpace(string(out))
}

// TestPprof gives a profile of each mode, of a C and of a Go program, to `go tool pprof`, and wants the function back from each of its reports.
func TestPprof(t *testing.T) {
	pprof := pprofPath(t)
	for _, c := range []struct {
		source, function string
		listed           string // a line of the function's source
		symbolize        string // names of C come without lines, so pprof has to be told to look into the binary for these
	}{
		{"split.c", "seventy", "WORK(seventy)", "force"},
		{"split.go", "main.seventy", "wheel[(i+1)%8]*6364136223846793005", "none"},
	} {
		t.Run(c.source, func(t *testing.T) {
			program := truth.Build(t, c.source)
			r := record(t, flags(accountFlags, "--freq", "499", "--", program, "0.6")...)
			for _, report := range []struct {
				args []string
				want string
			}{
				{[]string{"-top", "-sample_index=samples", r.file}, c.function},
				{[]string{"-top", "-sample_index=cpu", r.file}, c.function},
				{[]string{"-top", "-sample_index=off_cpu_events", r.file}, "off_cpu_events"},
				{[]string{"-top", "-sample_index=off_cpu", r.file}, "off_cpu"},
				{[]string{"-top", "-sample_index=runqueue", r.file}, "runqueue"},
				{[]string{"-top", "-cum", "-sample_index=wall", r.file}, "thread split"},
				{[]string{"-traces", "-sample_index=cpu", r.file}, c.function},
				{[]string{"-tags", "-sample_index=cpu", r.file}, "comm"},
				{[]string{"-raw", r.file}, "PeriodType: "},
				{[]string{"-sample_index=cpu", "-symbolize=" + c.symbolize, "-list=" + regexp.QuoteMeta(c.function), program, r.file}, c.listed},
				{[]string{"-sample_index=cpu", "-disasm=" + regexp.QuoteMeta(c.function), program, r.file}, "imul"},
			} {
				out, stderr, err := run(t, append([]string{pprof}, report.args...)...)
				if err != nil || !strings.Contains(strings.ToLower(out), strings.ToLower(report.want)) {
					t.Errorf("pprof %q: %v, no %q in:\n%.2000s%s", report.args, err, report.want, out, stderr)
				}
			}
			checkProto(t, pprof, r)
		})
	}
}

// checkProto has pprof read the profile and write it again: sums have to stay.
func checkProto(t *testing.T, pprof string, r *recording) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "again.pb.gz")
	if _, stderr, err := run(t, pprof, "-proto", "-output", file, r.file); err != nil {
		t.Fatalf("pprof -proto: %v\n%s", err, stderr)
	}
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	again, err := pprofio.Read(f)
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range r.p.SampleType {
		if got, want := sum(t, again, v.Type, all), sum(t, r.p, v.Type, all); got != want {
			t.Errorf("%s: %d through pprof, want %d", v.Type, got, want)
		}
	}
}

// TestPprofWeb serves a profile on a port of pprof's choice and opens its pages.
func TestPprofWeb(t *testing.T) {
	r := record(t, flags(accountFlags, "--", truth.Build(t, "split.c"), "0.3")...)
	cmd := exec.Command(pprofPath(t), "-no_browser", "-http=localhost:", r.file)
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := errors.Join(cmd.Process.Kill(), ignoreExit(cmd.Wait())); err != nil {
			t.Error(err)
		}
	}()
	address := ""
	for said := bufio.NewScanner(stderr); address == "" && said.Scan(); {
		address = regexp.MustCompile(`http://\S+`).FindString(said.Text())
	}
	if address == "" {
		t.Fatal("pprof doesn't say where it serves")
	}
	for _, page := range []string{"/top?si=cpu", "/flamegraph?si=wall", "/peek?si=off_cpu"} {
		if body := get(t, address+page); !strings.Contains(body, "seventy") && !strings.Contains(page, "off_cpu") {
			t.Errorf("%s shows no seventy:\n%.1000s", page, body)
		}
	}
}

// ignoreExit leaves out that a program which was killed did not end well.
func ignoreExit(err error) error {
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return nil
	}
	return err
}

// get fetches a page, and tries again while nobody listens yet.
func get(t *testing.T, url string) string {
	t.Helper()
	var response *http.Response
	var err error
	for range 50 {
		if response, err = http.Get(url); err == nil {
			break
		}
		time.Sleep(50 * time.Millisecond)
	}
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s, %v", url, response.Status, err)
	}
	return string(body)
}

// TestPGO gives a profile of a Go program to the compiler: it builds with it, and finds the calls that the program spends its time in, which it
// does only if frames have lines and functions say where they start.
func TestPGO(t *testing.T) {
	r := record(t, "--freq", "499", "--", truth.Build(t, "split.go"), "1")
	out, stderr, err := run(t, "go", "tool", "preprofile", "-i", r.file)
	if err != nil {
		t.Fatalf("%v\n%s", err, stderr)
	}
	for _, callee := range []string{"main.seventy", "main.twenty"} {
		edge := regexp.MustCompile(`(?m)^main\.\(\*part\)\.compute\n` + regexp.QuoteMeta(callee) + `\n(\d+) \d+$`)
		if line := edge.FindStringSubmatch(out); line == nil || line[1] == "0" {
			t.Errorf("no call from compute to %s with a line in:\n%s", callee, out)
		}
	}
	source := filepath.Join(truth.Sources(t), "split.go")
	program := filepath.Join(t.TempDir(), "optimised")
	if _, stderr, err := run(t, "go", "build", "-pgo="+r.file, "-o", program, source); err != nil {
		t.Fatalf("%v\n%s", err, stderr)
	}
	if out, stderr, err := run(t, "go", "version", "-m", program); err != nil || !strings.Contains(out, "-pgo=") {
		t.Errorf("%v, built without the profile:\n%s%s", err, out, stderr)
	}
}

// TestPerfAgrees records one run with perf too and compares the shares: the same program, the same time, another profiler.
func TestPerfAgrees(t *testing.T) {
	program := truth.Build(t, "split.c")
	settle(t, 1.5, func(seconds float64) error {
		p := launch(t, program, secondsArg(seconds), "gate")
		data := filepath.Join(t.TempDir(), "perf.data")
		perf := exec.Command("perf", "record", "-q", "-F", fmt.Sprint(cpuHz), "-e", "cpu-clock", "-o", data, "-p", p.pid())
		perf.Stderr = os.Stderr
		if err := perf.Start(); err != nil {
			t.Fatal(err)
		}
		r, said := recordWork(t, p, seconds, flags(cpuFlags, "--pid", p.pid())...)
		if err := perf.Wait(); err != nil { // it ends with the program
			t.Fatal(err)
		}
		functions := said.Group("cpu_ns")
		return compareProfilers(samplesOf(t, r.p, functions), perfSamples(t, data, functions))
	})
}

// perfSamples counts perf's samples in each function.
func perfSamples(t *testing.T, data string, functions map[string]time.Duration) map[string]int64 {
	t.Helper()
	out, stderr, err := run(t, "perf", "script", "-i", data, "-F", "ip,sym")
	if err != nil {
		t.Fatalf("%v\n%s", err, stderr)
	}
	counts := map[string]int64{}
	for _, line := range lines(out) {
		if f := strings.Fields(line); len(f) == 2 {
			if _, wanted := functions[f[1]]; wanted {
				counts[f[1]]++
			}
		}
	}
	return counts
}
