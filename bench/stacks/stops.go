// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"

	"github.com/assaylab/assay/profiler"
)

// A witness runs a program and looks at its stack whenever a sample has stopped it.
type witness interface {
	pid() int
	stops() ([]stop, error) // from when it is called until it has seen enough, or the program has ended
	end() error
}

// compareStops builds a case and runs it under a witness.
func (l *lab) compareStops(ctx context.Context, c program) stopRow {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	r := stopRow{Case: c.name}
	theirs, samples, err := l.runStops(ctx, c)
	if err != nil {
		r.Failed = err.Error()
		return r
	}
	r.compare(theirs, samples)
	return r
}

// runStops returns the stacks of a run, as the witness finds them and as we do.
func (l *lab) runStops(ctx context.Context, c program) (theirs []stop, samples []profiler.Stop, err error) {
	work, err := l.prepare(ctx, c)
	if err != nil {
		return nil, nil, err
	}
	w, err := l.startWitness(ctx, work, l.words(c.run))
	if err != nil {
		return nil, nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	done := make(chan error, 1)
	rec, err := profiler.Record(ctx, profiler.Options{
		Modes: []profiler.Mode{profiler.CPU}, Freq: stopFreq, PIDs: []int{w.pid()}, Stop: true,
		Started: func() {
			go func() {
				var err error
				theirs, err = w.stops()
				cancel()
				done <- err
			}()
		},
	})
	if err != nil {
		return nil, nil, errors.Join(err, w.end())
	}
	err = errors.Join(<-done, w.end())
	return theirs, rec.Stops, errors.Join(err, rec.Close())
}

// stopFreq is low enough for a program to get on between two stops.
const stopFreq = 499

func (l *lab) startWitness(ctx context.Context, work string, args []string) (witness, error) {
	if l.perf != "" {
		return l.startPerf(ctx, work, args)
	}
	return l.startDebugger(ctx, work, args)
}
