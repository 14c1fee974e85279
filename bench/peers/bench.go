// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
)

// benchmarks are in the order in which they run. They stand for the figures that assay has to reach.
var benchmarks = []benchmark{
	cpuBenchmark, offCPUBenchmark, threadsBenchmark, processesBenchmark, memoryBenchmark, startupBenchmark, transportBenchmark, httpBenchmark, pcapBenchmark,
}

// A benchmark compares arms.
type benchmark struct {
	name    string
	about   string   // what is run, in a sentence
	metrics []string // with their units, in the order of the table
	arms    func(*lab) []arm
	claims  []claim
}

// An arm is one way to do the job of a benchmark. run does it once and returns what it measured, by metric.
type arm struct {
	name string
	run  func() (values, error)
}

type values map[string]float64

// A claim says something of the median of a metric in an arm: of its ratio to that in another arm if over names one. Without a limit it
// is only reported. least turns the limit from a highest into a lowest.
type claim struct {
	metric, arm, over string
	limit             float64
	least             bool
}

// attempts is how often an arm is run in a round until it works: perf 6.1 breaks off now and then on a kernel as new as 6.18.
const attempts = 3

// measure runs the rounds. An arm that fails each time misses in its round; the others go on.
func (b *benchmark) measure(l *lab, rng *rand.Rand, log io.Writer) (Result, error) {
	arms := b.arms(l)
	runs := make([][]values, len(arms)) // arm, round
	for i := range runs {
		runs[i] = make([]values, l.rounds)
	}
	var failures []string
	for round := range l.rounds {
		for _, i := range rng.Perm(len(arms)) {
			place := fmt.Sprintf("%s, round %d, %s", b.name, round+1, arms[i].name)
			v, broken := arms[i].try()
			for _, err := range broken {
				failures = append(failures, fmt.Sprintf("%s: %v", place, err))
			}
			runs[i][round] = v
			fmt.Fprintf(log, "%s: %s %v\n", place, b.line(v), broken)
		}
	}
	return b.conclude(arms, runs, failures, rng)
}

// try runs an arm until it works, and returns also why it didn't before.
func (a arm) try() (v values, broken []error) {
	for range attempts {
		v, err := a.run()
		if err == nil {
			return v, broken
		}
		broken = append(broken, err)
	}
	return nil, broken
}

// line shows what one run measured.
func (b *benchmark) line(v values) string {
	var parts []string
	for _, m := range b.metrics {
		if x, ok := v[m]; ok {
			parts = append(parts, m+" "+number(x))
		}
	}
	return strings.Join(parts, ", ")
}

// conclude makes the result from all runs.
func (b *benchmark) conclude(arms []arm, runs [][]values, failures []string, rng *rand.Rand) (Result, error) {
	r := Result{Benchmark: b.name, About: b.about, metrics: b.metrics, Failures: failures}
	for i, a := range arms {
		r.Arms = append(r.Arms, ArmResult{a.name, b.summaries(runs[i])})
	}
	byName := map[string][]values{}
	for i, a := range arms {
		byName[a.name] = runs[i]
	}
	for _, c := range b.claims {
		if byName[c.arm] == nil || c.over != "" && byName[c.over] == nil {
			return r, fmt.Errorf("claim of %s over %q: no such arm", c.arm, c.over)
		}
		r.Claims = append(r.Claims, c.judge(byName[c.arm], byName[c.over], rng))
	}
	return r, nil
}

func (b *benchmark) summaries(runs []values) map[string]Summary {
	all := map[string]Summary{}
	for _, m := range b.metrics {
		if xs := column(runs, m); len(xs) > 0 {
			all[m] = summarize(xs)
		}
	}
	return all
}

// column is a metric over the rounds that have it.
func column(runs []values, metric string) []float64 {
	var xs []float64
	for _, v := range runs {
		if x, ok := v[metric]; ok {
			xs = append(xs, x)
		}
	}
	return xs
}

// judge compares what was measured with what is claimed.
func (c claim) judge(mine, other []values, rng *rand.Rand) ClaimResult {
	r := ClaimResult{Metric: c.metric, Arm: c.arm, Over: c.over, Limit: c.limit, AtLeast: c.least}
	xs := column(mine, c.metric)
	if c.over != "" {
		xs = ratios(mine, other, c.metric)
	}
	if r.Rounds = len(xs); r.Rounds == 0 {
		return r
	}
	r.Median = median(xs)
	r.Low, r.High = bootstrapMedian(xs, rng)
	r.Reached = c.holds(r.Median)
	return r
}

// ratios pairs two arms by round.
func ratios(mine, other []values, metric string) []float64 {
	var xs []float64
	for i := range mine {
		x, ok := mine[i][metric]
		y, both := other[i][metric]
		if ok && both && y != 0 {
			xs = append(xs, x/y)
		}
	}
	return xs
}

// holds says whether a median keeps to the limit; there may be none.
func (c claim) holds(median float64) bool {
	switch {
	case c.limit == 0:
		return true
	case c.least:
		return median >= c.limit
	}
	return median <= c.limit
}
