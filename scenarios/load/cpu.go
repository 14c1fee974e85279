// SPDX-License-Identifier: Apache-2.0

package load

import (
	"context"
	"time"

	"github.com/assaylab/assay/scenarios"
)

func cpuKind() scenarios.Kind {
	return scenarios.Kind{
		Name:  "load/cpu",
		About: "integer work in threads, all the time or a part of it; its operations a second are the CPU that it gets",
		Params: []scenarios.Param{
			threadsParam("that work"),
			{Name: "duty", Type: scenarios.Float, Default: "1", Min: 0, Max: 1, About: "part of each period in which a thread works; then it sleeps"},
			{Name: "period", Type: scenarios.Duration, Default: "10ms", Min: 0.0001, Max: 3600, About: "of work and sleep"},
		},
		New: func(v scenarios.Values) (scenarios.Workload, error) {
			c := &cpuLoad{states: make([]paddedState, v.Int("threads"))}
			c.threads = threads{n: len(c.states), step: c.step}
			if duty := v.Float("duty"); duty < 1 {
				c.threads.period = v.Duration("period")
				c.threads.duty = time.Duration(duty * float64(c.threads.period))
			}
			return c, nil
		},
	}
}

// A paddedState is what a thread's work is at, on a cache line of its own.
type paddedState struct {
	state uint64
	_     [120]byte
}

type cpuLoad struct {
	nothing
	threads threads
	states  []paddedState // that the compiler can't know that nobody reads
}

func (c *cpuLoad) step(thread int) func() {
	s := &c.states[thread].state
	*s = uint64(thread) + 1
	return func() { *s = block(*s) }
}

func (c *cpuLoad) Run(ctx context.Context, d time.Duration) (*scenarios.Outcome, error) {
	return c.threads.run(ctx, d)
}
