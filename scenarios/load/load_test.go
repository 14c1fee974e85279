// SPDX-License-Identifier: Apache-2.0

package load

import (
	"context"
	"errors"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/assaylab/assay/scenarios"
)

const ms = time.Millisecond

// values checks parameters, written as name=value.
func values(t *testing.T, kind string, params ...string) (*scenarios.Kind, scenarios.Values) {
	t.Helper()
	given := map[string]string{}
	for _, p := range params {
		name, value, _ := strings.Cut(p, "=")
		given[name] = value
	}
	for _, k := range Kinds() {
		if k.Name == kind {
			v, err := k.Check(given)
			if err != nil {
				t.Fatal(err)
			}
			return &k, v
		}
	}
	t.Fatalf("no kind %s", kind)
	return nil, nil
}

// prepare makes a workload that is closed when the test ends.
func prepare(t *testing.T, kind string, params ...string) scenarios.Workload {
	t.Helper()
	k, v := values(t, kind, params...)
	w, err := k.New(v)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := w.Close(); err != nil {
			t.Error(err)
		}
	})
	if err := w.Prepare(t.Context()); err != nil {
		t.Fatal(err)
	}
	return w
}

// run prepares a workload and runs it once.
func run(t *testing.T, d time.Duration, kind string, params ...string) *scenarios.Outcome {
	t.Helper()
	o, err := prepare(t, kind, params...).Run(t.Context(), d)
	if err != nil {
		t.Fatal(err)
	}
	return o
}

// refused wants New to say what is wrong.
func refused(t *testing.T, want, kind string, params ...string) {
	t.Helper()
	k, v := values(t, kind, params...)
	switch w, err := k.New(v); {
	case err == nil:
		t.Errorf("%s %q: want an error with %q", kind, params, want)
		if err := w.Close(); err != nil {
			t.Error(err)
		}
	case !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n"):
		t.Errorf("%s %q: %q, want one line with %q", kind, params, err, want)
	}
}

// openFiles counts this process's file descriptors.
func openFiles(t *testing.T) int {
	t.Helper()
	files, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(files)
}

// TestLeaks runs each kind twice, once until the context ends, and wants goroutines, files and the runtime's setting back.
func TestLeaks(t *testing.T) {
	check := func(kind string, params ...string) {
		t.Helper()
		t.Setenv("TMPDIR", t.TempDir())
		goroutines, files, procs := runtime.NumGoroutine(), openFiles(t), runtime.GOMAXPROCS(0)
		k, v := values(t, kind, params...)
		w, err := k.New(v)
		if err != nil {
			t.Fatal(err)
		}
		if err := w.Prepare(t.Context()); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Run(t.Context(), 50*ms); err != nil {
			t.Errorf("%s: %v", kind, err)
		}
		between := runtime.NumGoroutine()
		cut, cancel := context.WithTimeout(t.Context(), 50*ms)
		defer cancel()
		if _, err := w.Run(cut, time.Hour); err != nil && kind != "load/exec" && !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%s, cut: %v", kind, err)
		}
		settled(t, kind+", after Run: goroutines", between, runtime.NumGoroutine)
		if err := w.Close(); err != nil {
			t.Errorf("%s: %v", kind, err)
		}
		settled(t, kind+": goroutines", goroutines, runtime.NumGoroutine)
		settled(t, kind+": open files", files, func() int { return openFiles(t) })
		settled(t, kind+": GOMAXPROCS", procs, func() int { return runtime.GOMAXPROCS(0) })
		if left, err := os.ReadDir(os.Getenv("TMPDIR")); err != nil || len(left) > 0 {
			t.Errorf("%s left files: %v, %v", kind, left, err)
		}
	}
	if _, err := newAlarmOnce(t); err != nil { // the runtime's own files, for polling, stay
		t.Fatal(err)
	}
	check("load/http", "arrivals=closed")
	check("load/http", "arrivals=poisson", "connections=3")
	check("load/service", "cpu=10us", "lock=10us", "io=100", "stall_every=20ms", "stall_for=10ms", "rate=100")
	check("load/service", "stall_every=1h", "stall_for=3599999ms", "arrivals=constant", "rate=100", "timeout=100ms", "connections=2") // all but 1 ms is stalled
	check("load/cpu", "threads=3", "duty=0.5")
	check("load/memory", "threads=2", "size=1M")
	check("load/chase", "threads=2", "size=1M")
	check("load/replay", "file="+writeLog(t, "log.csv", recorded))
	check("load/exec", "command=sh -c 'echo 1; sleep 0.1'", "metric=regexp", "pattern=(.)")
}

func newAlarmOnce(t *testing.T) (*alarm, error) {
	a, err := newAlarm(t.Context())
	if err != nil {
		return nil, err
	}
	return a, a.close()
}

// settled wants a number to come down to what it was, in its time: what ends has sometimes still to be scheduled.
func settled(t *testing.T, what string, want int, got func() int) {
	t.Helper()
	for range 200 {
		if got() <= want {
			return
		}
		time.Sleep(10 * ms)
	}
	t.Errorf("%s: %d, want %d", what, got(), want)
}

// TestDefaults wants each kind to be complete and, but for what only a user can know, to work without parameters.
func TestDefaults(t *testing.T) {
	for _, k := range Kinds() {
		if k.Name == "" || k.About == "" || k.New == nil {
			t.Errorf("%+v lacks something", k)
		}
		v, err := k.Check(nil)
		if err != nil {
			t.Errorf("%s: %v", k.Name, err)
			continue
		}
		if _, err := k.New(v); err != nil && k.Name != "load/exec" && k.Name != "load/replay" {
			t.Errorf("%s: %v", k.Name, err)
		}
	}
}
