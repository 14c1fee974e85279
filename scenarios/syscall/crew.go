// SPDX-License-Identifier: Apache-2.0

package syscall

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/assaylab/assay/scenarios"
	"github.com/assaylab/assay/scenarios/internal/thread"
)

// A crew is threads that make calls, each for itself, and the files that they need.
type crew struct {
	threads, size int
	timed         bool // each operation takes microseconds
	files         bool
	folder        folder
	spin          time.Duration
	together      bool // each thread and its partner on one CPU
}

// newCrew makes a crew for some calls.
func newCrew(v scenarios.Values, kinds ...*call) (crew, error) {
	c := crew{
		threads: v.Int("threads"), size: v.Size("size"), timed: true, folder: folder{parent: v.Text("folder")}, spin: v.Duration("spin"),
		together: v.Text(placementParam) == together,
	}
	for _, k := range kinds {
		if err := k.checkSize(c.size); err != nil {
			return crew{}, err
		}
		c.timed = c.timed && k.timed
		c.files = c.files || k.file
	}
	return c, nil
}

// Prepare makes the files, if a call needs them.
func (c *crew) Prepare(ctx context.Context) error {
	if !c.files {
		return ctx.Err()
	}
	return c.folder.make(ctx, c.threads, c.size)
}

// Close removes the files.
func (c *crew) Close() error { return c.folder.remove() }

// run has each thread open its pattern, then all do operations until the time is over or the context is done. Partners have ended and
// patterns are closed when it returns. An operation that has begun is finished, which with many threads to a CPU may take a while more than
// the time: each has to wait for its turn. It is an error if a pattern can't be opened or closed, or fails maxInRow times in a row.
func (c *crew) run(ctx context.Context, d time.Duration, open func(thread int, where site) (pattern, error)) (*scenarios.Outcome, error) {
	places, err := c.places()
	if err != nil {
		return nil, err
	}
	defer scenarios.UseThreads(2*c.threads + runtime.NumCPU())() // a driver and a partner of its own work by turns
	var stop atomic.Bool
	defer context.AfterFunc(ctx, func() { stop.Store(true) })()
	workers := make([]*worker, c.threads)
	var opened, ended sync.WaitGroup
	opened.Add(c.threads)
	begin := make(chan time.Time)
	spin := scenarios.NewSpin(c.spin)
	for i := range workers {
		workers[i] = newWorker(c.timed)
		ended.Go(func() {
			where := site{size: c.size, file: c.folder.file(i), cpus: places[i]}
			workers[i].err = thread.Do(func() error {
				return workers[i].work(func() (pattern, error) {
					defer opened.Done()
					if err := where.pin(); err != nil {
						return nil, err
					}
					p, err := open(i, where)
					return slow(p, spin), err
				}, begin, d, &stop)
			})
		})
	}
	opened.Wait()
	start := time.Now()
	for range workers {
		begin <- start
	}
	ended.Wait()
	return c.outcome(time.Since(start), workers)
}

// outcome adds up what the workers did.
func (c *crew) outcome(elapsed time.Duration, workers []*worker) (*scenarios.Outcome, error) {
	o := &scenarios.Outcome{Elapsed: elapsed}
	counts := make([]int64, len(workers))
	for i, w := range workers {
		if w.err != nil {
			return nil, fmt.Errorf("thread %d: %w", i, w.err)
		}
		counts[i] = w.count
		o.Operations += w.count
		o.Errors += w.failed
	}
	o.Values = map[string]float64{
		"per_thread_min_count": float64(slices.Min(counts)),
		"per_thread_max_count": float64(slices.Max(counts)),
	}
	o.Notes = append(c.folder.notes(), notes(workers)...)
	if c.timed {
		o.Latency = scenarios.NewHistogram()
		for _, w := range workers {
			o.Latency.Merge(w.latency)
		}
	}
	return o, nil
}

// notes says what workers did that figures of all of them together don't show.
func notes(workers []*worker) []string {
	var failed []*worker
	idle := 0
	for _, w := range workers {
		switch {
		case w.failed > 0:
			failed = append(failed, w)
		case w.count == 0:
			idle++
		}
	}
	var all []string
	if len(failed) > 0 {
		all = append(all, fmt.Sprintf("operations failed in %d of %d threads; the first: %v", len(failed), len(workers), failed[0].firstFailure))
	}
	if idle > 0 {
		all = append(all, fmt.Sprintf("%d of %d threads did nothing before the time was over: run for longer, or with fewer threads",
			idle, len(workers)))
	}
	return all
}

// slow adds work to each operation of a pattern.
func slow(p pattern, spin scenarios.Spin) pattern {
	if spin == (scenarios.Spin{}) || p == nil {
		return p
	}
	return slowed{p, spin}
}

type slowed struct {
	pattern
	spin scenarios.Spin
}

func (s slowed) do() error {
	s.spin.Do()
	return s.pattern.do()
}
