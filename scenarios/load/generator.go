// SPDX-License-Identifier: Apache-2.0

package load

import (
	"context"
	"errors"
	"iter"
	"sync"
	"sync/atomic"
	"time"

	"github.com/assaylab/assay/scenarios"
	"github.com/assaylab/assay/scenarios/load/arrivals"
)

// An operator does operations, one at a time.
type operator interface {
	// operate does the n-th operation of a run, from 0, and says why it failed. When the context is done it gives up.
	operate(ctx context.Context, n int) error
}

// A generator has operators do operations: when the arrivals of an open loop are due, or, in a closed loop, each when the last is done.
type generator struct {
	// schedule returns the arrivals of a run of some length; nil is a closed loop.
	schedule func(time.Duration) arrivals.Schedule
	// timetable, if there is one, is where they come from instead.
	timetable *timetable
}

// prepare reads recorded times.
func (g *generator) prepare() error {
	if g.timetable == nil {
		return nil
	}
	if _, err := g.timetable.read(nil); err != nil {
		return err
	}
	g.timetable.recording.Requests = nil // the times are all that is needed of them
	return nil
}

// arrivals are those of a run of some length, which recorded ones may end before; nil is a closed loop.
func (g *generator) arrivals(d time.Duration) (arrivals.Schedule, time.Duration) {
	switch {
	case g.timetable != nil:
		return g.timetable.schedule(), min(d, g.timetable.length())
	case g.schedule != nil:
		return g.schedule(d), d
	}
	return nil, d
}

// run lasts from start for d or until recorded arrivals end, and then until the last operation is done; each operator has to limit that itself. Operations that the
// end of the context cuts count nowhere. Operators aren't used any more when run returns.
func (g *generator) run(ctx context.Context, start time.Time, wanted time.Duration, operators []operator) (*scenarios.Outcome, error) {
	var loop func(context.Context, operator)
	record := newTally()
	bell, err := newAlarm(ctx)
	if err != nil {
		return nil, err
	}
	schedule, d := g.arrivals(wanted)
	if schedule == nil {
		loop = (&closedLoop{start: start, length: d, tally: record}).work
	} else {
		open := newOpenLoop(arrivals.Until(schedule, d), start, d, bell, record)
		defer open.skip()
		loop = open.work
	}
	var all sync.WaitGroup
	for _, o := range operators {
		all.Go(func() { loop(ctx, o) })
	}
	all.Wait()
	ringErr := bell.wait(start.Add(d)) // a rate is per second of the time that was asked for, also when the last arrival is long past
	if ctx.Err() != nil {
		ringErr = nil
	}
	o := record.outcome(time.Since(start), len(operators))
	if g.timetable != nil {
		g.timetable.explain(o, wanted)
	}
	return o, errors.Join(record.broken, ringErr, bell.close())
}

// closedLoop is operators that start an operation when the last is done. It can't see what happens between: while one operation hangs
// for a second, those that users would have begun in that second are never sent, and so aren't slow (coordinated omission).
type closedLoop struct {
	start  time.Time
	length time.Duration
	tally  *tally
	begun  atomic.Int64 // operations
}

func (l *closedLoop) work(ctx context.Context, o operator) {
	for begin := time.Since(l.start); begin < l.length && ctx.Err() == nil; {
		err := o.operate(ctx, int(l.begun.Add(1)-1))
		end := time.Since(l.start)
		l.tally.add(ctx, operation{due: begin, free: begin, begin: begin, end: end, err: err})
		begin = end
	}
}

// openLoop is operators that start operations when they are due, whatever became of earlier ones.
//
// There is no dispatcher that hands operations to operators, since the hand-over is what makes operations late: a woken thread needs
// tens of microseconds. Instead the operators take turns. Who has the turn waits for the next arrival, passes the turn on, and does the
// operation itself; only the next one, who has until the next arrival, has to be woken. Whoever waits for the turn is free, and who has
// waited longest gets it. While none is free the turn lies there, and who takes it finds arrivals that are past, which start at once and
// whose latency counts from when they were due.
type openLoop struct {
	start time.Time
	last  time.Duration // after this nothing starts
	bell  *alarm
	tally *tally
	turn  chan struct{} // holds the turn while nobody has it; a channel wakes who has waited longest

	// For who has the turn:
	next  func() (time.Duration, bool)
	skip  func() // has next return false from now on
	begun int    // operations
}

// drain is how much longer than asked operations that are already due may start: what a target that keeps up needs to catch up
// after a pause at the end.
func drain(d time.Duration) time.Duration { return d/10 + 100*time.Millisecond }

func newOpenLoop(s arrivals.Schedule, start time.Time, d time.Duration, bell *alarm, record *tally) *openLoop {
	l := &openLoop{start: start, last: d + drain(d), bell: bell, tally: record, turn: make(chan struct{}, 1)}
	l.next, l.skip = iter.Pull(s)
	l.turn <- struct{}{}
	return l
}

func (l *openLoop) work(ctx context.Context, o operator) {
	for {
		free := time.Since(l.start)
		<-l.turn
		due, ok := l.await()
		n := l.begun
		l.begun++
		l.turn <- struct{}{}
		if !ok {
			return
		}
		begin := time.Since(l.start)
		err := o.operate(ctx, n)
		l.tally.add(ctx, operation{due: due, free: free, begin: begin, end: time.Since(l.start), err: err, open: true})
	}
}

// await waits for the next arrival; false says that there is none any more.
func (l *openLoop) await() (time.Duration, bool) {
	due, ok := l.next()
	if !ok {
		return 0, false
	}
	err := l.bell.wait(l.start.Add(due))
	now := time.Since(l.start)
	if err == nil && now <= l.last {
		return due, true
	}
	l.tally.fail(l.bell.ctx, err)
	for ; ok && due <= now; due, ok = l.next() {
		l.tally.notStarted++
	}
	l.skip()
	return 0, false
}
