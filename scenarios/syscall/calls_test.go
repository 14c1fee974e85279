// SPDX-License-Identifier: Apache-2.0

package syscall

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/assaylab/assay/scenarios"
)

// checkOutcome checks what holds for any run of two threads in which all is well.
func checkOutcome(t *testing.T, o *scenarios.Outcome, timed bool) {
	t.Helper()
	if o.Operations <= 0 || o.Errors != 0 {
		t.Errorf("%d operations, %d errors, notes %q; want some, and no errors", o.Operations, o.Errors, o.Notes)
	}
	low, high := o.Values["per_thread_min_count"], o.Values["per_thread_max_count"]
	if low > high || low+high != float64(o.Operations) {
		t.Errorf("operations a thread %v to %v, of two that did %d", low, high, o.Operations)
	}
	if (o.Latency != nil) != timed {
		t.Fatalf("latencies: %v, want %v", o.Latency != nil, timed)
	}
	if timed && o.Latency.TotalCount() != o.Operations {
		t.Errorf("%d latencies of %d operations", o.Latency.TotalCount(), o.Operations)
	}
}

func TestStorm(t *testing.T) {
	for _, c := range calls {
		t.Run(c.name, func(t *testing.T) {
			given := map[string]string{"call": c.name, "threads": "2"}
			w := prepared(t, "syscall/storm", given)
			if made := entries(t, given["folder"]) > 0; made != c.file {
				t.Errorf("Prepare made files: %v, want %v", made, c.file)
			}
			for range 2 {
				o, err := w.Run(t.Context(), 50*time.Millisecond)
				if err != nil {
					t.Fatal(err)
				}
				checkOutcome(t, o, c.timed)
			}
		})
	}
}

// TestSizes does an operation of the largest size, and of one that is no whole number of pages.
func TestSizes(t *testing.T) {
	for _, c := range calls {
		for _, size := range []int{c.maxSize, 12345} {
			if c.maxSize == 0 {
				continue
			}
			t.Run(fmt.Sprintf("%s %d", c.name, size), func(t *testing.T) {
				w := prepared(t, "syscall/storm", map[string]string{"call": c.name, "size": fmt.Sprint(size)})
				if o, err := w.Run(t.Context(), time.Nanosecond); err != nil || o.Errors > 0 {
					t.Errorf("outcome %+v, error %v", o, err)
				}
				wantOperation(t, w.(*storm))
			})
		}
	}
}

func wantOperation(t *testing.T, s *storm) {
	t.Helper()
	p, err := s.call.open(site{size: s.size, file: s.folder.file(0)})
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(p.do(), p.close()); err != nil {
		t.Error(err)
	}
}

// TestNoGarbage wants calls not to allocate: otherwise storms would measure Go's collector too.
func TestNoGarbage(t *testing.T) {
	for _, c := range calls {
		if c.name == "spawn" { // which is syscall.ForkExec's
			continue
		}
		w := prepared(t, "syscall/storm", map[string]string{"call": c.name})
		s := w.(*storm)
		p, err := c.open(site{size: s.size, file: s.folder.file(0)})
		if err != nil {
			t.Fatal(err)
		}
		var failure error
		allocations := testing.AllocsPerRun(100, func() { failure = errors.Join(failure, p.do()) })
		if err := errors.Join(failure, p.close()); err != nil || allocations != 0 {
			t.Errorf("%s: %v allocations an operation, error %v", c.name, allocations, err)
		}
	}
}

// TestKernelAgrees compares operations with what the kernel counted meanwhile, where it keeps a count that the calls can't but raise.
func TestKernelAgrees(t *testing.T) {
	reads, writes := kernelCount("/proc/self/io", "syscr: %d"), kernelCount("/proc/self/io", "syscw: %d")
	tests := []struct {
		call         string
		size         string
		count        func() (int64, error)
		perOperation int64
		others       bool // the system's other processes raise the count too
	}{
		{call: "read", count: reads, perOperation: 1},
		{call: "write", count: writes, perOperation: 1},
		{call: "epoll", count: reads, perOperation: 1},
		{call: "epoll", count: writes, perOperation: 1},
		{call: "pipe", count: reads, perOperation: 2},
		{call: "pipe", count: writes, perOperation: 2},
		{call: "socketpair", count: reads, perOperation: 2},
		{call: "socketpair", count: writes, perOperation: 2},
		{call: "mmap", size: fmt.Sprint(2 * unix.Getpagesize()), count: pageFaults, perOperation: 2},
		{call: "spawn", count: kernelCount("/proc/stat", "processes %d"), perOperation: 1, others: true},
	}
	for _, test := range tests {
		t.Run(test.call, func(t *testing.T) {
			given := map[string]string{"call": test.call}
			if test.size != "" {
				given["size"] = test.size
			}
			w := prepared(t, "syscall/storm", given)
			before, err := test.count()
			if err != nil {
				t.Fatal(err) // of reads and writes, it takes a kernel with CONFIG_TASK_IO_ACCOUNTING
			}
			o, runErr := w.Run(t.Context(), 20*time.Millisecond)
			after, err2 := test.count()
			if err := errors.Join(err, runErr, err2); err != nil {
				t.Fatal(err)
			}
			want := o.Operations * test.perOperation
			slack := want/10 + 1000 // for Go's runtime, and the test's own reading
			if got := after - before; got < want || !test.others && got > want+slack {
				t.Errorf("the kernel counted %d, want %d for %d operations", got, want, o.Operations)
			}
		})
	}
}

// kernelCount returns a function that finds the line of such a format in a file and reads the number in it.
func kernelCount(file, format string) func() (int64, error) {
	return func() (int64, error) {
		text, err := os.ReadFile(file)
		if err != nil {
			return 0, err
		}
		for line := range strings.Lines(string(text)) {
			var count int64
			if n, err := fmt.Sscanf(line, format, &count); err == nil && n == 1 {
				return count, nil
			}
		}
		return 0, fmt.Errorf("%s: no line %q", file, format)
	}
}

func pageFaults() (int64, error) {
	var usage unix.Rusage
	err := unix.Getrusage(unix.RUSAGE_SELF, &usage)
	return usage.Minflt, err
}

func TestCancel(t *testing.T) {
	cancelled := func(t *testing.T, kind string, given map[string]string) {
		t.Helper()
		w := prepared(t, kind, given)
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
		defer cancel()
		start := time.Now()
		if _, err := w.Run(ctx, time.Hour); err != nil {
			t.Error(err)
		}
		if took := time.Since(start); took > 10*time.Second {
			t.Errorf("the run took %v after the end of its context", took)
		}
	}
	all := make([]string, len(calls))
	for i, c := range calls {
		all[i] = c.name + "=1"
		t.Run(c.name, func(t *testing.T) { cancelled(t, "syscall/storm", map[string]string{"call": c.name, "threads": "3"}) })
	}
	t.Run("mix", func(t *testing.T) {
		cancelled(t, "syscall/mix", map[string]string{"mix": strings.Join(all, ","), "threads": "3"})
	})
}

// TestPartnerEnds wants a driver whose partner has ended to fail, not to wait for ever.
func TestPartnerEnds(t *testing.T) {
	end := map[string]func(pattern) error{
		"socketpair": func(p pattern) error { return unix.Shutdown(p.(*echo).in, unix.SHUT_RDWR) },
		"futex":      func(p pattern) error { return p.(*handOff).end() },
	}
	for name, end := range end {
		t.Run(name, func(t *testing.T) {
			wantNoLeaks(t)
			c, err := findCall(name)
			if err != nil {
				t.Fatal(err)
			}
			p, err := c.open(site{size: 64})
			if err != nil {
				t.Fatal(err)
			}
			if err := errors.Join(p.do(), end(p)); err != nil {
				t.Fatal(err)
			}
			if err := p.do(); err == nil {
				t.Error("an operation without partner: no error")
			}
			if err := p.close(); err != nil {
				t.Error(err)
			}
		})
	}
}
