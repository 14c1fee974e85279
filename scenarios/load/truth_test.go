// SPDX-License-Identifier: Apache-2.0

package load

import (
	"context"
	"errors"
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/assaylab/assay/scenarios"
	"github.com/assaylab/assay/scenarios/load/arrivals"
)

// retried tries what a noisy neighbour can spoil once more, for twice as long.
func retried(t *testing.T, d time.Duration, try func(time.Duration) error) {
	t.Helper()
	err := try(d)
	if err == nil {
		return
	}
	t.Logf("once more, and longer: %v", err)
	if err := try(2 * d); err != nil {
		t.Error(err)
	}
}

// TestStallTruth plants a stall of 300 ms in each second: how long each arrival has to wait is known, and so are the quantiles.
// Of the sixty that come in a stall all but eight find no connection free, and wait for one: that has to count like waiting for the answer.
// A busy machine can only add to that, so what is told may be more; TestStallTold sees to it that it is no more than was.
func TestStallTruth(t *testing.T) {
	stalls := costs{stallEvery: time.Second, stallFor: 300 * ms}
	retried(t, 2*time.Second, func(d time.Duration) error {
		truth := scenarios.NewHistogram()
		for at := range arrivals.Until(arrivals.Constant(200), d) {
			// Written anew, not stalled(): whole milliseconds since the last second, of which the first 700 are free.
			wait := time.Duration(0)
			if in := at.Milliseconds() % 1000; in >= 700 {
				wait = time.Duration(1000-in) * ms
			}
			scenarios.Note(truth, wait)
		}
		o := run(t, d, "load/service", "arrivals=constant", "rate=200", "connections=8", "stall_every=1s", "stall_for=300ms")
		if stalls.stalled(700*ms) != 300*ms || stalls.stalled(699*ms) != 0 {
			return errors.New("stalls aren't where they should be")
		}
		if o.Operations != truth.TotalCount() || o.Errors != 0 {
			return fmt.Errorf("%d operations and %d errors, want %d and 0: %q", o.Operations, o.Errors, truth.TotalCount(), o.Notes)
		}
		for _, q := range []float64{50, 75, 90, 99, 100} {
			got, want := time.Duration(o.Latency.ValueAtQuantile(q)), time.Duration(truth.ValueAtQuantile(q))
			if float64(got) < 0.98*float64(want) {
				return fmt.Errorf("p%v is %v, want at least %v less 2%%", q, got, want)
			}
		}
		return nil
	})
}

// TestStallTold has operators stall in the last 100 ms of a second and note when each operation ended. Arrivals are known, so the latency
// of each is; what the generator tells has to be within 2% of that, however busy the machine is.
func TestStallTold(t *testing.T) {
	const gap, second, stall = 5 * ms, 1000 * ms, 100 * ms
	start := time.Now()
	var ends [400]time.Duration      // each written by the one operator that did it
	operators := make([]operator, 8) // so that of the twenty that come in a stall twelve wait for one
	for i := range operators {
		operators[i] = stalling(func(n int) {
			if in := time.Since(start) % second; in >= second-stall {
				time.Sleep(second - in)
			}
			ends[n] = time.Since(start)
		})
	}
	g := &generator{schedule: func(time.Duration) arrivals.Schedule { return arrivals.Constant(float64(time.Second / gap)) }}
	o, err := g.run(t.Context(), start, time.Duration(len(ends))*gap, operators)
	if err != nil || o.Operations != int64(len(ends)) {
		t.Fatalf("%d operations, %v, want %d: %q", o.Operations, err, len(ends), o.Notes)
	}
	truth := scenarios.NewHistogram()
	for n, end := range ends {
		wait := end - time.Duration(n)*gap
		if least := second - time.Duration(n)*gap%second; least <= stall && wait < least {
			t.Errorf("operation %d waited %v, want the rest of its stall, %v", n, wait, least)
		}
		scenarios.Note(truth, wait)
	}
	for _, q := range []float64{92, 95, 99} {
		got, want := float64(o.Latency.ValueAtQuantile(q)), float64(truth.ValueAtQuantile(q))
		if math.Abs(got-want) > 0.02*want {
			t.Errorf("p%v is %v, want %v ± 2%%", q, time.Duration(got), time.Duration(want))
		}
	}
}

// stalling is an operator that is a function.
type stalling func(n int)

func (s stalling) operate(_ context.Context, n int) error {
	s(n)
	return nil
}

// TestStallInClosedLoop shows why latencies of a closed loop mislead: the service doesn't answer for three tenths of the time, but the
// loop sends nothing then. One operation a connection and stall is slow, which among thousands doesn't reach the 99th percentile.
func TestStallInClosedLoop(t *testing.T) {
	retried(t, time.Second, func(d time.Duration) error {
		o := run(t, d, "load/service", "arrivals=closed", "connections=2", "stall_every=1s", "stall_for=300ms")
		p99, longest := time.Duration(o.Latency.ValueAtQuantile(99)), time.Duration(o.Latency.Max())
		if p99 > 50*ms || longest < 250*ms {
			return fmt.Errorf("of %d operations p99 is %v and the longest %v, want nothing of the stall but in the longest", o.Operations, p99, longest)
		}
		return nil
	})
}
