// SPDX-License-Identifier: Apache-2.0

package load

import (
	"errors"
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/assaylab/assay/scenarios"
	"github.com/assaylab/assay/scenarios/load/arrivals"
)

// allowance is what a request may take that waits for no stall, or when a stall is over: to be answered among sixty others.
const allowance = 5 * ms

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
			if math.Abs(float64(got-want)) > 0.02*float64(want)+float64(allowance) {
				return fmt.Errorf("p%v is %v, want %v ± 2 %% and %v", q, got, want, allowance)
			}
		}
		return nil
	})
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
