// SPDX-License-Identifier: Apache-2.0

package network

import (
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"github.com/assaylab/assay/scenarios"
)

// A tally is what one goroutine did, or several together. The zero value is an empty one.
type tally struct {
	operations int64
	bytes      int64
	errors     int64
	latency    *hdrhistogram.Histogram // nil until an operation was timed
	example    error                   // one of the errors
}

// done counts an operation that took so long.
func (t *tally) done(took time.Duration) {
	t.operations++
	if t.latency == nil {
		t.latency = scenarios.NewHistogram()
	}
	scenarios.Note(t.latency, took)
}

func (t *tally) fail(err error) {
	t.errors++
	t.example = err
}

// add adds what another goroutine did.
func (t *tally) add(other *tally) {
	t.operations += other.operations
	t.bytes += other.bytes
	t.errors += other.errors
	if t.example == nil {
		t.example = other.example
	}
	switch {
	case t.latency == nil:
		t.latency = other.latency
	case other.latency != nil:
		t.latency.Merge(other.latency)
	}
}

// outcome says the same as a workload does.
func (t *tally) outcome(elapsed time.Duration) *scenarios.Outcome {
	o := &scenarios.Outcome{
		Elapsed: elapsed, Operations: t.operations, Errors: t.errors, Latency: t.latency, Values: map[string]float64{},
	}
	if t.example != nil {
		o.Notes = append(o.Notes, "some operations failed, so the figures are of fewer than were asked for; one of the errors: "+t.example.Error())
	}
	return o
}
