// SPDX-License-Identifier: Apache-2.0

package load

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"github.com/assaylab/assay/scenarios"
	"github.com/assaylab/assay/scenarios/load/arrivals"
)

// fake is an operator that is a function of how many operations it did before.
type fake struct {
	done int
	do   func(ctx context.Context, n int) error
}

func (f *fake) operate(ctx context.Context, _ int) error {
	f.done++
	return f.do(ctx, f.done-1)
}

// generate has one operator do what is due at 100 a second; closed if the rate is 0.
func generate(t *testing.T, ctx context.Context, d time.Duration, rate float64, do func(context.Context, int) error) *scenarios.Outcome {
	t.Helper()
	g := &generator{}
	if rate > 0 {
		g.schedule = func(time.Duration) arrivals.Schedule { return arrivals.Constant(rate) }
	}
	o, err := g.run(ctx, time.Now(), d, []operator{&fake{do: do}})
	if err != nil {
		t.Fatal(err)
	}
	return o
}

// atLeast counts times of a bound or more.
func atLeast(h *hdrhistogram.Histogram, bound time.Duration) (n int64) {
	for _, bar := range h.Distribution() {
		if bar.From >= bound.Nanoseconds() {
			n += bar.Count
		}
	}
	return n
}

// pauseFirst hangs in the first operation.
func pauseFirst(d time.Duration) func(context.Context, int) error {
	return func(_ context.Context, n int) error {
		if n == 0 {
			time.Sleep(d)
		}
		return nil
	}
}

// TestNoOmission has the only operator hang for 100 ms: the operation that is due k·10 ms later takes at least 100 − k·10 ms.
func TestNoOmission(t *testing.T) {
	o := generate(t, t.Context(), 200*ms, 100, pauseFirst(100*ms))
	if o.Operations != 20 || o.Errors != 0 {
		t.Errorf("%d operations and %d errors, want 20 and 0", o.Operations, o.Errors)
	}
	for k := range int64(9) {
		// A millisecond less, so that buckets' bounds don't matter.
		if bound := 100*ms - time.Duration(k)*10*ms - ms; atLeast(o.Latency, bound) < k+1 {
			t.Errorf("%d operations took at least %v, want %d", atLeast(o.Latency, bound), bound, k+1)
		}
	}
	if o.Values["queued_count"] < 9 {
		t.Errorf("%v operations found the operator busy, want at least 9", o.Values["queued_count"])
	}
	if o.Lateness.TotalCount() != 20 {
		t.Errorf("the lateness of %d operations is known, want 20", o.Lateness.TotalCount())
	}
	if o.Elapsed < 200*ms {
		t.Errorf("ended after %v", o.Elapsed)
	}
}

// TestClosed has the operator hang likewise: no other operation sees anything of it.
func TestClosed(t *testing.T) {
	o := generate(t, t.Context(), 150*ms, 0, func(_ context.Context, n int) error {
		time.Sleep(map[bool]time.Duration{true: 100 * ms, false: ms}[n == 0])
		return nil
	})
	if o.Operations < 2 || o.Latency.TotalCount() != o.Operations || o.Latency.Max() < (99*ms).Nanoseconds() || o.Lateness != nil {
		t.Errorf("%d operations, the longest %v", o.Operations, time.Duration(o.Latency.Max()))
	}
}

// TestNotStarted hangs for longer than the run and its drain take: what was due in the run, and no more, was not started.
func TestNotStarted(t *testing.T) {
	o := generate(t, t.Context(), 100*ms, 100, pauseFirst(100*ms+drain(100*ms)+50*ms))
	if o.Operations != 1 || o.Errors != 9 || o.Values["not_started_count"] != 9 {
		t.Errorf("%d operations, %d errors, %v not started; want 1, 9 and 9", o.Operations, o.Errors, o.Values["not_started_count"])
	}
	if !strings.Contains(strings.Join(o.Notes, "\n"), "9 operations were due and never started") {
		t.Errorf("notes: %q", o.Notes)
	}
}

func TestFailures(t *testing.T) {
	o := generate(t, t.Context(), 100*ms, 100, func(_ context.Context, n int) error {
		if n%5 == 1 {
			return errors.New("out of tea")
		}
		return nil
	})
	if o.Operations != 8 || o.Errors != 2 || o.Latency.TotalCount() != 8 {
		t.Errorf("%d operations, %d errors, %d latencies; want 8, 2 and 8", o.Operations, o.Errors, o.Latency.TotalCount())
	}
	if len(o.Notes) == 0 || !strings.Contains(o.Notes[0], "2 operations failed") || !strings.Contains(o.Notes[0], "out of tea") {
		t.Errorf("notes: %q", o.Notes)
	}
}

// TestCancelled ends the context while the operator hangs, and while the generator waits for an arrival.
func TestCancelled(t *testing.T) {
	hang := func(ctx context.Context, n int) error {
		if n < 3 {
			return nil
		}
		<-ctx.Done()
		return ctx.Err()
	}
	for _, rate := range []float64{0, 100} {
		ctx, cancel := context.WithTimeout(t.Context(), 100*ms)
		o := generate(t, ctx, time.Hour, rate, hang)
		cancel()
		if o.Operations != 3 || o.Values["not_started_count"] != float64(o.Errors) {
			t.Errorf("rate %v: %d operations and %d errors: %q", rate, o.Operations, o.Errors, o.Notes)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*ms)
	defer cancel()
	if o := generate(t, ctx, time.Hour, 0.01, hang); o.Operations != 1 || o.Errors != 0 {
		t.Errorf("%d operations and %d errors, want only the first", o.Operations, o.Errors)
	}
}

// TestLate checks what of a delay is the generator's fault.
func TestLate(t *testing.T) {
	check := func(due, free, begin, want time.Duration) {
		t.Helper()
		o := operation{due: due, free: free, begin: begin}
		if got := o.late(); got != want {
			t.Errorf("due at %v, free since %v, begun at %v: %v late, want %v", due, free, begin, got, want)
		}
	}
	check(5, 1, 5, 0)
	check(5, 1, 7, 2)
	check(5, 7, 7, 0) // it was in the queue
	check(5, 7, 8, 1)
	record := newTally()
	record.add(t.Context(), operation{due: 0, free: 0, begin: 3 * ms, end: 4 * ms, open: true})
	if notes := record.outcome(time.Second, 1).Notes; len(notes) != 1 || !strings.Contains(notes[0], "could not keep up") {
		t.Errorf("notes: %q", notes)
	}
}
