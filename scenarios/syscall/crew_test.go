// SPDX-License-Identifier: Apache-2.0

package syscall

import (
	"context"
	"errors"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

var errTest = errors.New("made up by the test")

// A fake counts its operations, which fail when fails says so.
type fake struct {
	operations int64
	fails      func(operation int64) bool
	closeErr   error
	closed     bool
}

func (f *fake) do() error {
	f.operations++
	if f.fails != nil && f.fails(f.operations) {
		return errTest
	}
	return nil
}

func (f *fake) close() error {
	f.closed = true
	return f.closeErr
}

func opener(f *fake) func(int, site) (pattern, error) {
	return func(int, site) (pattern, error) { return f, nil }
}

func TestFailures(t *testing.T) {
	tests := []struct {
		name  string
		fails func(operation int64) bool
		want  func(operations int64) (failed int64)
	}{
		{"none", nil, func(int64) int64 { return 0 }},
		{"each other", func(i int64) bool { return i%2 == 0 }, func(n int64) int64 { return n / 2 }},
		{"all but one in a thousand", func(i int64) bool { return i%1000 != 0 }, func(n int64) int64 { return n - n/1000 }},
	}
	for _, test := range tests {
		for _, timed := range []bool{false, true} {
			c := crew{threads: 1, timed: timed}
			f := &fake{fails: test.fails}
			o, err := c.run(t.Context(), 5*time.Millisecond, opener(f))
			if err != nil {
				t.Fatalf("%s: %v", test.name, err)
			}
			failed := test.want(f.operations)
			if o.Errors != failed || o.Operations != f.operations-failed || !f.closed {
				t.Errorf("%s: %d operations and %d errors of %d, want %d errors; closed: %v",
					test.name, o.Operations, o.Errors, f.operations, failed, f.closed)
			}
			if timed && o.Latency.TotalCount() != o.Operations {
				t.Errorf("%s: %d latencies of %d operations", test.name, o.Latency.TotalCount(), o.Operations)
			}
			if said := strings.Contains(strings.Join(o.Notes, "\n"), errTest.Error()); said != (failed > 0) {
				t.Errorf("%s: notes %q", test.name, o.Notes)
			}
		}
	}
}

func TestIdleThreads(t *testing.T) {
	c := crew{threads: 2}
	o, err := c.run(t.Context(), 0, func(int, site) (pattern, error) { return &fake{}, nil })
	if err != nil || len(o.Notes) != 1 || !strings.Contains(o.Notes[0], "2 of 2 threads did nothing") {
		t.Errorf("outcome %+v, error %v", o, err)
	}
}

// TestTooManyFailures wants a thread for which nothing works to end the others' run too.
func TestTooManyFailures(t *testing.T) {
	wantNoLeaks(t)
	broken, others := &fake{fails: func(int64) bool { return true }}, []*fake{{}, {}}
	c := crew{threads: 3}
	_, err := c.run(t.Context(), time.Hour, func(thread int, _ site) (pattern, error) {
		return append(others, broken)[thread], nil
	})
	if !errors.Is(err, errTest) || !strings.Contains(err.Error(), "thread 2: 1000 failures in a row") {
		t.Errorf("error %v", err)
	}
	if broken.operations != maxInRow || !broken.closed || !others[0].closed || !others[1].closed {
		t.Errorf("%d operations; closed: %v, %v, %v", broken.operations, broken.closed, others[0].closed, others[1].closed)
	}
}

func TestOpenFails(t *testing.T) {
	wantNoLeaks(t)
	other := &fake{}
	c := crew{threads: 2}
	_, err := c.run(t.Context(), time.Hour, func(thread int, _ site) (pattern, error) {
		if thread == 1 {
			return nil, errTest
		}
		return other, nil
	})
	if !errors.Is(err, errTest) || other.operations != 0 || !other.closed {
		t.Errorf("error %v; the other thread did %d operations, closed: %v", err, other.operations, other.closed)
	}
}

func TestCloseFails(t *testing.T) {
	c := crew{threads: 1}
	if _, err := c.run(t.Context(), time.Millisecond, opener(&fake{closeErr: errTest})); !errors.Is(err, errTest) {
		t.Errorf("error %v", err)
	}
}

func TestMixtureOpenFails(t *testing.T) {
	wantNoLeaks(t)
	w, err := newWorkload("syscall/mix", map[string]string{"mix": "pipe=1,futex=1,read=1", "threads": "2"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Run(t.Context(), time.Hour); err == nil || !strings.Contains(err.Error(), "read: open ") { // without Prepare, no file
		t.Errorf("error %v", err)
	}
}

func TestPrepareFails(t *testing.T) {
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	empty := t.TempDir()
	missing := filepath.Join(empty, "missing")
	tests := []struct {
		name, folder string
		ctx          context.Context
		want         string
	}{
		{"no folder", missing, t.Context(), missing},
		{"cancelled", empty, cancelled, context.Canceled.Error()},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			w, err := newWorkload("syscall/storm", map[string]string{"call": "read", "folder": test.folder})
			if err != nil {
				t.Fatal(err)
			}
			if err := w.Prepare(test.ctx); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %v, want %s", err, test.want)
			}
			if err := w.Close(); err != nil {
				t.Errorf("Close: %v", err)
			}
			if left := entries(t, empty); left != 0 {
				t.Errorf("%d files left", left)
			}
		})
	}
}

// TestFolderNotes asks stat(1) what is a tmpfs.
func TestFolderNotes(t *testing.T) {
	for _, parent := range []string{"", sharedMemory, t.TempDir()} {
		f := folder{parent: parent}
		if err := f.make(t.Context(), 1, 1); err != nil {
			t.Fatal(err)
		}
		out, err := exec.Command("stat", "-f", "-c", "%T", f.path).Output()
		if err != nil {
			t.Fatal(err)
		}
		kind, notes := strings.TrimSpace(string(out)), f.notes()
		if (len(notes) == 0) != (kind == "tmpfs") {
			t.Errorf("%q lies in a %s: notes %q", f.path, kind, notes)
		}
		if err := f.remove(); err != nil {
			t.Error(err)
		}
		if err := f.remove(); err != nil {
			t.Errorf("the second time: %v", err)
		}
	}
}

func TestNextBatch(t *testing.T) {
	grown := []int{}
	for batch := 1; len(grown) < 12; {
		batch = nextBatch(batch, time.Microsecond)
		grown = append(grown, batch)
	}
	if want := []int{2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 1024, 1024}; !slices.Equal(grown, want) {
		t.Errorf("short batches become %v, want %v", grown, want)
	}
	tests := []struct {
		batch int
		took  time.Duration
		want  int
	}{
		{64, 49 * time.Microsecond, 128},
		{64, 50 * time.Microsecond, 64},
		{64, 200 * time.Microsecond, 64},
		{64, 201 * time.Microsecond, 32},
		{3, time.Second, 1},
		{1, time.Second, 1},
	}
	for _, test := range tests {
		if got := nextBatch(test.batch, test.took); got != test.want {
			t.Errorf("after %d in %v: %d, want %d", test.batch, test.took, got, test.want)
		}
	}
}

// TestSpin adds work to each operation: a millisecond leaves no more than ten of them in ten, however fast the call is.
func TestSpin(t *testing.T) {
	c := crew{threads: 1, spin: time.Millisecond}
	o, err := c.run(t.Context(), 10*time.Millisecond, opener(&fake{}))
	if err != nil {
		t.Fatal(err)
	}
	// The step of the spin is calibrated while others want the CPU too: it may be off, but not by half.
	if o.Operations < 1 || o.Operations > 20 {
		t.Errorf("%d operations of a millisecond in 10 ms", o.Operations)
	}
}
