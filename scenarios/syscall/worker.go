// SPDX-License-Identifier: Apache-2.0

package syscall

import (
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"github.com/assaylab/assay/scenarios"
)

const (
	// maxInRow is how many failures in a row end a run: the call doesn't work here.
	maxInRow = 1000
	// A batch is the operations between two looks at the clock. It is to take from shortBatch, so that the clock costs little, to
	// longBatch, so that a run ends in time.
	shortBatch, longBatch = 50 * time.Microsecond, 200 * time.Microsecond
	maxBatch              = 1024
)

// A worker is one thread's part of a run.
type worker struct {
	pattern      pattern
	latency      *hdrhistogram.Histogram // of each operation that didn't fail; nil: they aren't timed
	count        int64                   // operations that didn't fail
	failed       int64
	inRow        int // failures since the last operation that didn't fail
	firstFailure error
	err          error // why it couldn't work on
}

func newWorker(timed bool) *worker {
	w := &worker{}
	if timed {
		w.latency = scenarios.NewHistogram()
	}
	return w
}

// work opens a pattern, for which it has a thread of its own, begins when told, with the time that is the start for all, and closes the pattern.
func (w *worker) work(open func() (pattern, error), begin <-chan time.Time, d time.Duration, stop *atomic.Bool) error {
	w.pattern, w.err = open()
	if w.err != nil {
		stop.Store(true)
	}
	start := <-begin
	if w.err != nil {
		return w.err
	}
	w.repeat(start, d, stop)
	return errors.Join(w.err, w.pattern.close())
}

// repeat does batches until the time is over or stop is set. An operation is never cut. The clock is read once a batch: the end of one is
// the start of the next. A batch is one operation if operations are timed.
func (w *worker) repeat(start time.Time, d time.Duration, stop *atomic.Bool) {
	batch := 1
	for now := time.Since(start); now < d && !stop.Load(); {
		before := w.count
		w.doBatch(batch)
		end := time.Since(start)
		switch {
		case w.err != nil:
			stop.Store(true)
		case w.latency == nil:
			batch = nextBatch(batch, end-now)
		case w.count > before:
			w.note(end - now)
		}
		now = end
	}
}

// doBatch does so many operations, fewer only if too many fail in a row.
func (w *worker) doBatch(operations int) {
	done := int64(0) // not in w, which may share a cache line with another thread's
	for range operations {
		if err := w.pattern.do(); err != nil {
			w.fail(err)
			if w.err != nil {
				break
			}
			continue
		}
		w.inRow = 0
		done++
	}
	w.count += done
}

// fail counts a failure, and ends the work if it is one too many.
func (w *worker) fail(err error) {
	w.failed++
	w.inRow++
	if w.firstFailure == nil {
		w.firstFailure = err
	}
	if w.inRow == maxInRow {
		w.err = fmt.Errorf("%d failures in a row, the last: %w", maxInRow, err)
	}
}

// note records a time; one that is longer than the histogram goes counts as the longest.
func (w *worker) note(d time.Duration) {
	scenarios.Note(w.latency, d)
}

// nextBatch says how many operations to do until the next look at the clock, after a batch that took a time.
func nextBatch(batch int, took time.Duration) int {
	switch {
	case took < shortBatch:
		return min(2*batch, maxBatch)
	case took > longBatch:
		return max(batch/2, 1)
	}
	return batch
}
