// SPDX-License-Identifier: Apache-2.0

package load

import (
	"context"
	"errors"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
	"golang.org/x/sys/unix"

	"github.com/assaylab/assay/scenarios"
)

const maxThreads = 256

func threadsParam(about string) scenarios.Param {
	return scenarios.Param{Name: "threads", Type: scenarios.Int, Default: "1", Min: 1, Max: maxThreads, About: about}
}

// threads are threads of the kernel's that repeat a step each.
type threads struct {
	n      int
	step   func(thread int) func() // returns the step of a thread; a call of it is an operation
	period time.Duration           // in each a thread works for duty, then rests; 0: no rests
	duty   time.Duration
}

// run repeats the steps for a time, or until the context is done. A step is never cut.
func (t *threads) run(ctx context.Context, d time.Duration) (*scenarios.Outcome, error) {
	defer scenarios.UseThreads(t.n + runtime.NumCPU())()
	var stop atomic.Bool
	defer context.AfterFunc(ctx, func() { stop.Store(true) })()
	latencies := make([]*hdrhistogram.Histogram, t.n)
	restErrs := make([]error, t.n)
	var all sync.WaitGroup
	start := time.Now()
	for i := range t.n {
		all.Go(func() {
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			latencies[i], restErrs[i] = t.repeat(t.step(i), start, d, &stop)
		})
	}
	all.Wait()
	elapsed := time.Since(start)
	latency := latencies[0]
	for _, more := range latencies[1:] {
		latency.Merge(more)
	}
	return &scenarios.Outcome{
		Elapsed: elapsed, Operations: latency.TotalCount(), Latency: latency, Values: map[string]float64{},
	}, errors.Join(restErrs...)
}

// repeat is what one thread does. The clock is read once an operation: the end of one is the start of the next.
func (t *threads) repeat(step func(), start time.Time, d time.Duration, stop *atomic.Bool) (*hdrhistogram.Histogram, error) {
	latency := scenarios.NewHistogram()
	for now := time.Since(start); now < d && !stop.Load(); {
		if t.period > 0 && now%t.period >= t.duty {
			if err := rest(t.period-now%t.period, d-now); err != nil {
				return latency, err
			}
			now = time.Since(start)
			continue
		}
		step()
		end := time.Since(start)
		scenarios.Note(latency, end-now)
		now = end
	}
	return latency, nil
}

// rest sleeps for a time, but no longer than is left. A thread that sleeps in the kernel, not in the runtime, keeps its time to 0.1 ms.
func rest(d, left time.Duration) error {
	sleep := unix.NsecToTimespec(min(d, left).Nanoseconds())
	if err := unix.Nanosleep(&sleep, nil); err != nil && !errors.Is(err, unix.EINTR) {
		return err
	}
	return nil
}

// nothing is what workloads embed that have nothing to prepare or to take back.
type nothing struct{}

func (nothing) Prepare(context.Context) error { return nil }
func (nothing) Close() error                  { return nil }
