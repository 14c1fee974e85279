// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/assaylab/assay/scenarios"
	"github.com/assaylab/assay/scenarios/knobs"
)

// workerEnv makes this test program a worker of fake kinds.
const workerEnv = "ASSAY_BENCH_TEST_WORKER"

func TestMain(m *testing.M) {
	if os.Getenv(workerEnv) == "" {
		os.Exit(m.Run())
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	err := Serve(ctx, os.Stdin, os.Stdout, findFake)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// What moreOps looks at; the sysctl is how often, in seconds, the kernel sums up counters: changing it does no harm.
const (
	fakeEnv    = "ASSAY_BENCH_TEST_MORE"
	fakeSysctl = "/proc/sys/vm/stat_interval"
)

func testLauncher() Launcher {
	return Launcher{Command: []string{os.Args[0]}, Launch: knobs.Launch{Env: []string{workerEnv + "=1"}}, Grace: time.Second}
}

// fake does nothing, and says that it did as much as it was told to.
type fake struct{ values scenarios.Values }

func findFake(name string) (*scenarios.Kind, error) {
	if name != "fake" {
		return nil, fmt.Errorf("kind %q: there is none of that name", name)
	}
	return &scenarios.Kind{
		Name: name,
		Params: []scenarios.Param{
			{Name: "ops", Type: scenarios.Int, Default: "1000", Min: 0, Max: 1e9},
			{Name: "fault", Type: scenarios.Choice, Default: "none", Choices: []string{"none", "prepare", "run", "slow", "rest", "hang", "die", "leave", "daemon", "close"}},
			{Name: "file", Type: scenarios.Text},
			{Name: "tuned", Type: scenarios.Flag, Default: "false"},
		},
		New: func(v scenarios.Values) (scenarios.Workload, error) { return &fake{v}, nil },
	}, nil
}

func (f *fake) Prepare(context.Context) error {
	switch f.values.Text("fault") {
	case "prepare":
		return errors.New("port 80 is in use")
	case "leave":
		// A child that outlives the work, unless it is killed with it.
		cmd := exec.Command("sleep", "1000")
		if err := cmd.Start(); err != nil {
			return err
		}
		return os.WriteFile(f.values.Text("file"), fmt.Appendf(nil, "%d", cmd.Process.Pid), 0o644)
	case "daemon":
		// One that forks twice, into a session of its own: its parents have ended when it works.
		return exec.Command("setsid", "--fork", "sh", "-c", `sleep 1000 >/dev/null 2>&1 & echo -n $! >"$0"`, f.values.Text("file")).Run()
	}
	return nil
}

func (f *fake) Run(ctx context.Context, d time.Duration) (*scenarios.Outcome, error) {
	switch f.values.Text("fault") {
	case "slow":
		<-ctx.Done()
	case "rest":
		time.Sleep(50 * time.Millisecond) // which the interrupt of a timer ends
	case "run":
		return nil, errors.New("disk full")
	case "hang", "leave", "daemon":
		select {}
	case "die":
		fmt.Fprintln(os.Stderr, "first line\nsegmentation fault")
		os.Exit(3)
	}
	h := scenarios.NewHistogram()
	ops := int64(f.values.Int("ops"))
	if f.values.Flag("tuned") {
		ops += moreOps()
	}
	for i := range ops {
		if err := h.RecordValue(1000 + i); err != nil {
			return nil, err
		}
	}
	return &scenarios.Outcome{
		Elapsed: d, Operations: ops, Latency: h, Values: map[string]float64{"sent_bytes": 5}, Notes: []string{"a note"},
	}, nil
}

// moreOps is what knobs may have the fake do beside: as many operations as the environment says, and as a setting of the machine is.
func moreOps() int64 {
	more := int64(0)
	text, err := os.ReadFile(fakeSysctl)
	for _, number := range []string{os.Getenv(fakeEnv), strings.TrimSpace(string(text))} {
		if n, parseErr := strconv.ParseInt(number, 10, 64); err == nil && parseErr == nil {
			more += n
		}
	}
	return more
}

func (f *fake) Close() error {
	if file := f.values.Text("file"); file != "" {
		return os.WriteFile(file, []byte("closed"), 0o644)
	}
	if f.values.Text("fault") == "close" {
		return errors.New("could not unmount")
	}
	return nil
}

// TestWorker asks a worker for work, and sees each way in which that can fail.
func TestWorker(t *testing.T) {
	for _, c := range []struct {
		kind, fault string
		wantErr     string // "" for none
	}{
		{"fake", "none", ""},
		{"fake", "prepare", "port 80 is in use"},
		{"fake", "run", "disk full"},
		{"fake", "hang", "it hangs, and was killed"},
		{"fake", "die", "workload died (exit status 3): segmentation fault"},
		{"fake", "close", "could not unmount"},
		{"fake", "sleepy", `"sleepy": want one of`},
		{"other", "none", "there is none of that name"},
	} {
		t.Run(c.kind+" "+c.fault, func(t *testing.T) {
			err := workOnce(t, c.kind, scenarios.Values{"fault": c.fault})
			if c.wantErr == "" && err != nil || c.wantErr != "" && (err == nil || !strings.Contains(err.Error(), c.wantErr)) {
				t.Errorf("%v, want %q", err, c.wantErr)
			}
		})
	}
}

func workOnce(t *testing.T, kind string, values scenarios.Values) (err error) {
	t.Helper()
	l := testLauncher()
	w, err := l.start()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.close()) }()
	if err := w.prepare(t.Context(), kind, values, nil); err != nil {
		return err
	}
	o, err := w.run(t.Context(), 50*time.Millisecond)
	if err != nil {
		return err
	}
	if o.Operations != 1000 || o.ElapsedNS != 50e6 || o.Values["sent_bytes"] != 5 || len(o.Notes) != 1 || o.Latency == "" {
		t.Errorf("%+v", o)
	}
	return nil
}

// TestLeftBehind kills what a hanging workload has started, too, also a daemon that has left its process group.
func TestLeftBehind(t *testing.T) {
	for _, fault := range []string{"leave", "daemon"} {
		t.Run(fault, func(t *testing.T) { testLeftBehind(t, fault) })
	}
}

func testLeftBehind(t *testing.T, fault string) {
	t.Helper()
	file := t.TempDir() + "/pid"
	if err := workOnce(t, "fake", scenarios.Values{"fault": fault, "file": file}); err == nil {
		t.Fatal("a workload that hangs gave no error")
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var pid int
	if _, err := fmt.Sscan(string(text), &pid); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(5 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		// Its new parent may take a while to wait for it.
		if err := syscall.Kill(pid, 0); errors.Is(err, syscall.ESRCH) || isZombie(pid) {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("process %d outlived its workload", pid)
		}
	}
}

func isZombie(pid int) bool {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return false
	}
	_, after, _ := strings.Cut(string(text), ") ")
	return strings.HasPrefix(after, "Z")
}

// TestPinned starts a worker on one CPU.
func TestPinned(t *testing.T) {
	l := testLauncher()
	l.CPUs = []int{0}
	w, err := l.start()
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", w.cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(text), "\nCpus_allowed_list:\t0\n") {
		t.Errorf("not on CPU 0 alone:\n%s", text)
	}
	if err := w.close(); err != nil {
		t.Error(err)
	}
}

// TestCancel ends the worker when its owner has no time any more: one that listens takes back what it made, one that doesn't is killed.
func TestCancel(t *testing.T) {
	for fault, wantClosed := range map[string]bool{"slow": true, "hang": false} {
		t.Run(fault, func(t *testing.T) {
			l := testLauncher()
			w, err := l.start()
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithCancel(t.Context())
			file := t.TempDir() + "/closed"
			if err := w.prepare(ctx, "fake", scenarios.Values{"fault": fault, "file": file}, nil); err != nil {
				t.Fatal(err)
			}
			time.AfterFunc(50*time.Millisecond, cancel)
			if _, err := w.run(ctx, time.Millisecond); !errors.Is(err, context.Canceled) {
				t.Errorf("%v, want %v", err, context.Canceled)
			}
			if w.cmd.ProcessState == nil {
				t.Error("the worker still runs")
			}
			if _, err := os.Stat(file); (err == nil) != wantClosed {
				t.Errorf("closed: %v, want %v", err == nil, wantClosed)
			}
		})
	}
}
