// SPDX-License-Identifier: Apache-2.0

package main

import (
	"time"

	"github.com/assaylab/assay/ci/kernels/report"
)

// The three functions have the same body, and the number of turns says how long they run. sink keeps the work from being optimised away.
var sink uint64

//go:noinline
func seventy(turns int) {
	for range turns {
		sink = sink*6364136223846793005 + 1442695040888963407
	}
}

//go:noinline
func twenty(turns int) {
	for range turns {
		sink = sink*6364136223846793005 + 1442695040888963407
	}
}

//go:noinline
func ten(turns int) {
	for range turns {
		sink = sink*6364136223846793005 + 1442695040888963407
	}
}

// split computes in functions of Go.
func split(until time.Time) (map[string]report.Span, error) {
	return compute(until, []part{
		{"main.seventy", seventy, 7 * time.Millisecond},
		{"main.twenty", twenty, 2 * time.Millisecond},
		{"main.ten", ten, time.Millisecond},
	})
}

// part is a function that turns so often, and how long it is to do that at a time.
type part struct {
	name string
	work func(turns int)
	mean time.Duration
}

// compute computes until a time and returns the thread's CPU time in each function.
func compute(until time.Time, parts []part) (map[string]report.Span, error) {
	rate, err := turnsPerMillisecond()
	if err != nil {
		return nil, err
	}
	done := map[string]report.Span{}
	for time.Now().Before(until) {
		for _, part := range parts {
			var took time.Duration
			labelled(part.name, func() {
				took, err = cpuTime(func() { part.work(int(rate * vary(part.mean).Seconds() * 1e3)) })
			})
			if err != nil {
				return nil, err
			}
			sum := done[part.name].Least + took
			done[part.name] = report.Span{Least: sum, Most: sum}
		}
	}
	return done, nil
}

// turnsPerMillisecond measures how fast the work is here.
func turnsPerMillisecond() (float64, error) {
	const turns = 1 << 20
	took, err := cpuTime(func() {
		for range turns {
			sink = sink*6364136223846793005 + 1442695040888963407
		}
	})
	return turns / (took.Seconds() * 1e3), err
}

// cpuTime returns the CPU time of this thread in f.
func cpuTime(f func()) (time.Duration, error) {
	begin, err := cpuClock()
	if err != nil {
		return 0, err
	}
	f()
	end, err := cpuClock()
	return end - begin, err
}
