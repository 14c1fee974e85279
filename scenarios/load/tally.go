// SPDX-License-Identifier: Apache-2.0

package load

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"github.com/assaylab/assay/scenarios"
)

// tooLate is how late a generator may start one operation in a hundred and still be said to keep its schedule.
const tooLate = time.Millisecond

// An operation is what became of one; times are from the start of the load.
type operation struct {
	due        time.Duration // when it was to start
	free       time.Duration // since when its operator had nothing to do
	begin, end time.Duration
	err        error
	open       bool // it had a schedule
}

// late is how long the generator let an operation wait. While it waited because each operator was busy, the generator wasn't late: such
// an operation is in the queue that users would be in too, which is part of its latency.
func (o *operation) late() time.Duration { return o.begin - max(o.due, o.free) }

// A tally counts operations, of all operators together: a histogram for each would take more memory than the lock takes time.
type tally struct {
	mu         sync.Mutex
	latency    *hdrhistogram.Histogram
	lateness   *hdrhistogram.Histogram
	failed     int64
	queued     int64 // operations that found no operator free
	firstError error
	open       bool

	// For who has the turn:
	notStarted int64 // operations that were due, and never started
	broken     error // why the generator couldn't go on
}

func newTally() *tally {
	return &tally{latency: scenarios.NewHistogram(), lateness: scenarios.NewHistogram()}
}

// add counts an operation, unless the end of the context cut it.
func (t *tally) add(ctx context.Context, o operation) {
	if o.err != nil && ctx.Err() != nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if o.open {
		t.open = true
		scenarios.Note(t.lateness, o.late())
	}
	if o.free > o.due {
		t.queued++
	}
	if o.err == nil {
		scenarios.Note(t.latency, o.end-o.due)
		return
	}
	t.failed++
	if t.firstError == nil {
		t.firstError = o.err
	}
}

// fail keeps why the generator couldn't go on; that the context is done is no such reason.
func (t *tally) fail(ctx context.Context, err error) {
	if ctx.Err() == nil {
		t.broken = err
	}
}

// outcome says what was counted, when all operators have ended.
func (t *tally) outcome(elapsed time.Duration, operators int) *scenarios.Outcome {
	o := &scenarios.Outcome{
		Elapsed:    elapsed,
		Operations: t.latency.TotalCount(),
		Errors:     t.failed + t.notStarted,
		Latency:    t.latency,
		Values:     map[string]float64{},
	}
	if t.open || t.notStarted > 0 {
		o.Lateness = t.lateness
		o.Values["lateness_p99_ns"] = float64(t.lateness.ValueAtQuantile(99))
		o.Values["queued_count"] = float64(t.queued)
		o.Values["not_started_count"] = float64(t.notStarted)
	}
	o.Notes = t.notes(operators)
	return o
}

func (t *tally) notes(operators int) []string {
	var notes []string
	say := func(format string, args ...any) { notes = append(notes, fmt.Sprintf(format, args...)) }
	if t.failed > 0 {
		say("%d operations failed, and their times are not among the latencies; the first: %v", t.failed, t.firstError)
	}
	if p99 := time.Duration(t.lateness.ValueAtQuantile(99)); p99 > tooLate {
		say("the generator could not keep up: while a connection was free, one operation in a hundred started %v late or more; "+
			"lower the rate, or leave the generator a CPU of its own", p99)
	}
	if t.notStarted > 0 {
		say("the load could not be offered: %d operations were due and never started, since all %d connections were busy; "+
			"they count as errors and are not among the latencies; lower the rate, or give more connections", t.notStarted, operators)
	}
	return notes
}
