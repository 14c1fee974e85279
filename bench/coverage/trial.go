// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"math"
	"time"

	"github.com/assaylab/assay/bench"
	"github.com/assaylab/assay/bench/result"
	"github.com/assaylab/assay/bench/stats"
	"github.com/assaylab/assay/scenarios"
)

// A trial is an experiment whose truth is known.
type trial struct {
	Scenario string  `json:"scenario"`
	Slowdown float64 `json:"slowdown"` // planted; 0: the baseline again
	SpinNS   float64 `json:"spin_ns,omitempty"`
	Blocks   int     `json:"blocks"`
	Seconds  float64 `json:"seconds"`
	End      string  `json:"end"`
	Failed   string  `json:"failed,omitempty"`

	// What is told of the arm at the end, as [result.Comparison] has it.
	More      bool    `json:"more_is_better"`
	Ratio     float64 `json:"ratio"`
	Low       float64 `json:"low"`
	High      float64 `json:"high"`
	FixedLow  float64 `json:"fixed_low"`
	FixedHigh float64 `json:"fixed_high"`

	Found  bool      `json:"found"`  // at some look the interval of the arm left out 1
	Logs   []float64 `json:"logs"`   // log ratios of the blocks
	Places []int     `json:"places"` // of each block: the place of the arm less that of the baseline
}

func (t *trial) String() string {
	if t.Failed != "" {
		return t.Scenario + ": " + t.Failed
	}
	return fmt.Sprintf("%s: %+.2f%%, at any time %+.2f%% to %+.2f%%, fixed %+.2f%% to %+.2f%%, %d blocks in %.1f s, found: %v (%s)", t.Scenario,
		100*(t.Ratio-1), 100*(t.Low-1), 100*(t.High-1), 100*(t.FixedLow-1), 100*(t.FixedHigh-1), t.Blocks, t.Seconds, t.Found, t.End)
}

// nowhere is an environment without facts: to look at the machine again for each experiment would take longer than some of them.
var nowhere = result.Environment{ID: "coverage"}

// experiment runs the i-th experiment. One that fails is a result too.
func (s *settings) experiment(ctx context.Context, i int) (*trial, error) {
	c := s.scenarios[i%len(s.scenarios)]
	t := &trial{Scenario: c.Name, Slowdown: s.slowdown}
	begin := time.Now()
	x, err := s.prepare(c, s.seed+uint64(i))
	if err != nil {
		return nil, err
	}
	arm := bench.SameAgain
	if s.slowdown > 0 {
		arm = "slower"
		if err := s.plant(ctx, x, arm, t); err != nil {
			return nil, err
		}
	}
	o, err := watch(ctx, x, arm, t)
	t.Seconds = time.Since(begin).Seconds()
	if err != nil {
		t.Failed = err.Error()
		return t, nil
	}
	t.take(o, arm, x.Subject.Primary)
	return t, nil
}

// prepare makes an experiment that compares the baseline with itself.
func (s *settings) prepare(c *scenarios.Scenario, seed uint64) (*bench.Experiment, error) {
	measured := *c
	measured.Warmup, measured.Duration = s.warmup, s.duration
	subject, err := bench.NewSubject(&measured)
	if err != nil {
		return nil, err
	}
	x := &bench.Experiment{
		Subject: subject, Launcher: bench.Launcher{Command: []string{"/proc/self/exe", workArgument}}, Seed: seed,
	}
	if s.slowdown == 0 {
		x.MinBlocks, x.MaxBlocks = s.blocks, s.blocks
	}
	_, err = x.Resume(nowhere, nil)
	return x, err
}

// baseSpin is the spin, in nanoseconds, of the baseline of an experiment with a slowdown. To call a spin costs some nanoseconds by itself,
// which is more than 3% of the shortest system call; so all arms do.
const baseSpin = 10

// plantBlocks is in how many blocks it is measured how long an operation takes.
const plantBlocks = 10

// plant adds an arm whose operations take longer by the slowdown, by what they take now.
func (s *settings) plant(ctx context.Context, x *bench.Experiment, arm string, t *trial) error {
	x.Subject.Values[spinParam] = fmt.Sprintf("%dns", baseSpin)
	first := *x
	first.MinBlocks, first.MaxBlocks = plantBlocks, plantBlocks
	o, err := first.Run(ctx)
	if err != nil {
		return fmt.Errorf("%s, to know how long an operation takes: %w", x.Subject.Name, err)
	}
	var took []float64
	for _, r := range o.Records {
		if r.Failed == "" {
			took = append(took, operationNS(&r, x.Subject.Primary))
		}
	}
	t.SpinNS = math.Round(s.slowdown * stats.Median(took))
	a, err := bench.ParseArm(fmt.Sprintf("%s=set:%s=%.0fns", arm, spinParam, baseSpin+t.SpinNS), nil)
	x.Arms = []bench.Arm{a}
	return err
}

// operationNS is how long an operation took, as the primary metric sees it.
func operationNS(r *result.Record, primary string) float64 {
	m := r.Metrics[primary]
	if m.More { // operations a second
		return 1e9 / m.Value
	}
	return m.Value
}

// watch runs an experiment, and notes the ratio of each block, and whether an interval left out 1 at any look. With a slowdown that ends it.
// It looks at no more than that: the resampling of a whole comparison takes longer than many a block.
func watch(ctx context.Context, x *bench.Experiment, arm string, t *trial) (*bench.Outcome, error) {
	ctx, found := context.WithCancel(ctx)
	defer found()
	ratios := stats.NewSequence(stats.Confidence)
	x.Record = func(block []result.Record) error {
		if !t.note(block, arm, x.Subject.Primary) {
			return nil
		}
		ratios.Add(t.Logs[len(t.Logs)-1])
		if low, high := ratios.Interval(); low <= 0 && high >= 0 {
			return nil
		}
		t.Found = true
		if t.Slowdown > 0 {
			found()
		}
		return nil
	}
	return x.Run(ctx)
}

// note adds the ratio of a block, unless one of its trials failed.
func (t *trial) note(block []result.Record, arm, primary string) bool {
	byArm := map[string]result.Record{}
	for _, r := range block {
		if r.Failed == "" {
			byArm[r.Arm] = r
		}
	}
	a, okA := byArm[arm]
	b, okB := byArm[bench.Baseline]
	if okA && okB {
		t.Logs = append(t.Logs, math.Log(a.Metrics[primary].Value)-math.Log(b.Metrics[primary].Value))
		t.Places = append(t.Places, a.Order-b.Order)
	}
	return okA && okB
}

// take notes what an experiment told of an arm.
func (t *trial) take(o *bench.Outcome, arm, primary string) {
	t.Blocks, t.End, t.Failed = o.Blocks, string(o.End), "nothing to compare"
	for _, c := range o.Comparisons {
		if c.Arm == arm && c.Metric == primary {
			t.Failed = ""
			t.More, t.Ratio, t.Low, t.High, t.FixedLow, t.FixedHigh = c.More, c.Ratio, c.Low, c.High, c.FixedLow, c.FixedHigh
		}
	}
}
