// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"context"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/assaylab/assay/bench/design"
	"github.com/assaylab/assay/bench/result"
	"github.com/assaylab/assay/scenarios/knobs"
)

// Recommended is the arm of the setting that is measured against the present one once more.
const Recommended = "recommended"

// A Tuning looks for the best values of knobs: it tries the settings of a design, judges what each knob does, and measures the setting that it
// recommends against the present one in new blocks, for the best of several looks better than it is.
type Tuning struct {
	// Experiment says what is measured and how: all but its arms. Its precision is that of main effects, and of the confirmation.
	Experiment Experiment
	// Phase is told what begins, before it does.
	Phase func(string)

	design    *design.Design
	knobs     []*knobs.Knob
	result    result.Tuning
	confirmed []result.Record // of a confirmation that was resumed
}

// Parts of the budget and bounds of a tuning.
const (
	exploring     = 0.6 // of the budget, for the settings of the design; what is left of it goes to the confirmation
	minTuneBlocks = 10  // fewer could hardly find an effect among many at 1%
	confirmArms   = 3   // in a block of the confirmation
)

// NewTuning reads the present values of knobs and chooses the settings to try. The present value is always one of them. It changes nothing.
func NewTuning(x Experiment, all []*knobs.Knob) (*Tuning, error) {
	x.defaults()
	x.OnlyArms = true
	x.MinBlocks = min(max(x.MinBlocks, minTuneBlocks), x.MaxBlocks)
	t := &Tuning{Experiment: x, knobs: all}
	var factors []design.Factor
	for _, k := range all {
		present, err := k.Read()
		if err != nil {
			return nil, err
		}
		values := append([]string{present}, slices.DeleteFunc(slices.Clone(k.Values), func(v string) bool { return v == present })...)
		factors = append(factors, design.Factor{Name: k.String(), Levels: values})
	}
	var err error
	if t.design, err = design.New(factors); err != nil {
		return nil, err
	}
	t.describe()
	for i, levels := range t.design.Settings {
		name := Baseline
		if i > 0 {
			name = fmt.Sprintf("s%d", i)
		}
		t.Experiment.Arms = append(t.Experiment.Arms, t.arm(name, levels))
	}
	t.Experiment.Width = func(records []result.Record) float64 {
		logs, _, err := t.logs(records)
		if err != nil || len(logs) == 0 {
			return math.Inf(1)
		}
		return t.design.Widest(logs)
	}
	return t, nil
}

// arm is the setting with a level of each knob.
func (t *Tuning) arm(name string, levels []int) Arm {
	a := Arm{Name: name}
	for i, level := range levels {
		a.Knobs = append(a.Knobs, Setting{Knob: t.knobs[i], Value: t.design.Factors[i].Levels[level], Keep: level == 0})
	}
	return a
}

// Plan says what would be done.
func (t *Tuning) Plan() result.Tuning { return t.result }

// TrialTime is about how long a trial takes: its work, and some to start and end it.
func (t *Tuning) TrialTime() time.Duration {
	const around = 100 * time.Millisecond
	return t.Experiment.Subject.Warmup + t.Experiment.Subject.Duration + around
}

// LeastTime is about how long it takes when few blocks are enough, for the settings of the design and for the confirmation.
func (t *Tuning) LeastTime() time.Duration {
	const confirmBlocks = 6
	return t.TrialTime() * time.Duration(len(t.design.Settings)*t.Experiment.MinBlocks+confirmArms*confirmBlocks)
}

// Resume takes up a tuning with the records of its first blocks, and with those of its confirmation if it got so far. They have to be of the
// same subject and knobs, whose present values have to be what they were; the seed is that of the records. It returns how many of them count.
func (t *Tuning) Resume(environment result.Environment, records []result.Record) (whole int, err error) {
	x := &t.Experiment
	explored := len(records)
	if i := slices.IndexFunc(records, func(r result.Record) bool { return r.Arm == SameAgain || r.Arm == Recommended }); i >= 0 {
		explored = slices.IndexFunc(records, func(r result.Record) bool { return r.Block == records[i].Block })
	}
	if len(records) > 0 {
		x.Seed = records[0].Seed
	}
	whole, err = x.Resume(environment, records[:explored])
	if err != nil || whole < explored {
		return whole, err
	}
	t.confirmed = records[explored:]
	t.confirmed = t.confirmed[:len(t.confirmed)/confirmArms*confirmArms]
	return whole + len(t.confirmed), nil
}

// explore tries the settings of the design, unless their confirmation has already begun.
func (t *Tuning) explore(ctx context.Context) (*Outcome, error) {
	x := t.Experiment
	if len(t.confirmed) > 0 {
		return x.outcome(EndBefore), nil
	}
	x.Budget = time.Duration(exploring * float64(t.Experiment.Budget))
	t.phase("trying %d settings", len(t.design.Settings))
	return x.Collect(ctx)
}

// Run tries the settings, judges, and confirms what it would recommend. An interrupt ends it at once, with what is known by then.
func (t *Tuning) Run(ctx context.Context) (*result.Tuning, *Outcome, error) {
	begin := time.Now()
	o, err := t.explore(ctx)
	if err != nil {
		return nil, nil, err
	}
	best, err := t.judge(o)
	if err != nil {
		return nil, nil, err
	}
	if t.result.Changes && ctx.Err() == nil {
		err = t.confirm(ctx, best, o, t.Experiment.Budget-time.Since(begin))
	}
	return &t.result, o, err
}

func (t *Tuning) phase(format string, args ...any) {
	if t.Phase != nil {
		t.Phase(fmt.Sprintf(format, args...))
	}
}

// judge fills in the effects and the recommendation, and returns the levels of that.
func (t *Tuning) judge(o *Outcome) ([]int, error) {
	logs, failed, err := t.logs(o.Records)
	if err != nil {
		return nil, err
	}
	if len(logs) == 0 {
		return nil, errNoBlocks
	}
	r := &t.result
	primary := t.primary(o.Records)
	r.Unit, r.More = primary.Unit, primary.More
	r.Blocks, r.FailedBlocks, r.End = len(logs), failed, string(o.End)
	effects := t.design.Effects(logs, t.Experiment.Seed)
	for i := range effects {
		r.Effects = append(r.Effects, t.effect(&effects[i], logs))
		for _, c := range effects[i].Changes {
			r.Knobs[c.Factor].HasEffect = r.Knobs[c.Factor].HasEffect || effects[i].Found
		}
	}
	best := t.design.Best(effects, logs, r.More)
	for i, level := range best {
		r.Knobs[i].Recommended = t.design.Factors[i].Levels[level]
		r.Changes = r.Changes || level > 0
	}
	return best, nil
}

// confirm compares the present setting with the recommended one in blocks that had no part in choosing it.
func (t *Tuning) confirm(ctx context.Context, best []int, o *Outcome, budget time.Duration) error {
	x := t.Experiment
	x.OnlyArms, x.Width, x.MinBlocks = false, nil, 0
	x.Arms = []Arm{t.arm(Recommended, best)}
	x.Budget, x.FirstBlock = budget, o.Blocks
	x.defaults()
	if _, err := x.Resume(o.Environment, t.confirmed); err != nil {
		return fmt.Errorf("confirmation: %w", err)
	}
	t.phase("confirming the setting that came out best")
	confirmation, err := x.Collect(ctx)
	if err != nil {
		return err
	}
	o.Records = append(slices.Clip(o.Records), confirmation.Records...)
	t.result.ConfirmationEnd = string(confirmation.End)
	comparisons, err := compareMetric(confirmation.Records, x.Subject.Primary, x.Seed)
	if err != nil {
		return err
	}
	for i := range comparisons {
		if comparisons[i].Arm == Recommended {
			t.result.Confirmation = &comparisons[i]
		}
	}
	return nil
}

// logs are the logarithms of the primary metric, by whole block and setting, and how many blocks were left out because a trial failed.
func (t *Tuning) logs(records []result.Record) (logs [][]float64, failed int, err error) {
	arms := map[string]int{}
	for i, a := range t.Experiment.Arms {
		arms[a.Name] = i
	}
	var results [][]float64
	for first := 0; first+len(arms) <= len(records); first += len(arms) {
		block := make([]float64, len(arms))
		good := true
		for _, r := range records[first : first+len(arms)] {
			block[arms[r.Arm]] = r.Metrics[t.Experiment.Subject.Primary].Value
			good = good && r.Failed == ""
		}
		if good {
			results = append(results, block)
		} else {
			failed++
		}
	}
	logs, err = t.design.Logs(results)
	if err != nil {
		err = fmt.Errorf("%s: %w", t.Experiment.Subject.Primary, err)
	}
	return logs, failed, err
}

// primary is the metric of the first trial that didn't fail.
func (t *Tuning) primary(records []result.Record) result.Metric {
	for _, r := range records {
		if r.Failed == "" {
			return r.Metrics[t.Experiment.Subject.Primary]
		}
	}
	return result.Metric{}
}

// describe fills in what is known before anything runs.
func (t *Tuning) describe() {
	d := t.design
	t.result = result.Tuning{
		Scenario: t.Experiment.Subject.Name, Metric: t.Experiment.Subject.Primary,
		Design: result.Design{Form: string(d.Form), About: d.String(), Generators: d.Generators},
	}
	for i, f := range d.Factors {
		k := result.Knob{Name: f.Name, Present: f.Levels[0], Values: f.Levels, Where: where(t.knobs[i]), Recommended: f.Levels[0]}
		if d.Form == design.Fraction {
			k.Letter = design.Letter(i)
		}
		t.result.Knobs = append(t.result.Knobs, k)
	}
	for _, levels := range d.Settings {
		setting := map[string]string{}
		for i, level := range levels {
			setting[d.Factors[i].Name] = d.Factors[i].Levels[level]
		}
		t.result.Design.Settings = append(t.result.Design.Settings, setting)
	}
	for i := range d.Terms {
		if len(d.Terms[i].Aliases) > 0 {
			t.result.Design.Aliases = append(t.result.Design.Aliases, d.Terms[i].Chain())
		}
	}
}

// where says in words what is changed to set a knob.
func where(k *knobs.Knob) string {
	if k.OfWorkload() {
		return "workload"
	}
	return "machine"
}

// effect is an effect with names.
func (t *Tuning) effect(e *design.Effect, logs [][]float64) result.KnobEffect {
	k := result.KnobEffect{
		Ratio: e.Ratio, Low: e.Low, High: min(e.High, result.Unbounded), P: e.AlwaysP, PAdjusted: e.PAdjusted, Found: e.Found,
		Detectable: min(e.Detectable, result.Unbounded), Warnings: e.Warnings,
	}
	for _, c := range e.Changes {
		k.Knobs = append(k.Knobs, t.design.Factors[c.Factor].Name)
		k.Values = append(k.Values, t.design.Factors[c.Factor].Levels[c.Level])
	}
	if len(e.Aliases) > 0 {
		k.Chain = e.Chain()
	}
	if len(e.Changes) == 1 {
		k.Present, k.Value = e.Means(logs)
	}
	return k
}
