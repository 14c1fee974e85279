// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/assaylab/assay/bench/result"
	"github.com/assaylab/assay/scenarios/knobs"
)

// An Experiment compares arms on a subject. The zero values of its numbers mean the defaults.
type Experiment struct {
	Subject  Subject
	Arms     []Arm // beside the baseline and A/A
	OnlyArms bool  // without those two; then Width has to be there, and Collect is what can run
	Launcher Launcher
	Isolate  []Setting      // of all arms alike: the control group of the workload; it takes a Journal
	Journal  *knobs.Journal // of what arms set on the machine; nil if none does

	Seed      uint64        // of the order of arms and of resampling
	Precision float64       // half the width of the interval, as a ratio, at which there are blocks enough; 0: 0.01
	Budget    time.Duration // the most time that it may take; 0: 10 minutes
	MinBlocks int           // before the interval is looked at; 0: 6
	MaxBlocks int           // 0: 1000
	// FirstBlock is the number of the first block, for an experiment whose records follow those of another.
	FirstBlock int
	// Width is half the width of the widest interval, as a ratio less 1; nil: that of the arms against the baseline.
	Width func([]result.Record) float64

	// Begin is told of the machine, before the first block of an experiment that was not resumed.
	Begin func(result.Environment) error
	// Record is told of the trials of each block as it ends.
	Record func([]result.Record) error
	// Progress is told after each block.
	Progress func(Progress)

	environment result.Environment
	records     []result.Record
	spent       time.Duration
	blocks      int
	ran         int // of them, since Run was called
	failures    int
}

// Progress is how far an experiment is.
type Progress struct {
	Blocks int
	Spent  time.Duration
	Left   time.Duration // an estimate, at most what is left of the budget
	Widest float64       // half the width of the widest interval, as a ratio; 0 before it can be told
}

// String is a line for people.
func (p Progress) String() string {
	text := fmt.Sprintf("%d blocks in %s", p.Blocks, p.Spent.Round(time.Second))
	if p.Widest > 0 {
		text += fmt.Sprintf(", widest interval ±%.2f%%", 100*p.Widest)
	}
	return text + fmt.Sprintf(", at most %s left (Ctrl-C ends and writes)", p.Left.Round(time.Second))
}

// End says why an experiment ended.
type End string

// The ends of an experiment.
const (
	EndPrecise     End = "as precise as asked"
	EndBudget      End = "the budget is spent"
	EndBlocks      End = "as many blocks as allowed"
	EndInterrupted End = "interrupted"
	EndBefore      End = "it had ended before it was resumed"
)

// Outcome is what came of an experiment.
type Outcome struct {
	Environment result.Environment
	Records     []result.Record
	Comparisons []result.Comparison
	BPF         []result.BPFCost // of what eBPF programs ran; none where nobody may see them
	Blocks      int
	End         End
}

// maxFailures is how many blocks in a row may have a trial that failed.
const maxFailures = 3

func (x *Experiment) defaults() {
	set := func(n *int, d int) {
		if *n == 0 {
			*n = d
		}
	}
	set(&x.MinBlocks, 6)
	set(&x.MaxBlocks, 1000)
	if x.Precision == 0 {
		x.Precision = 0.01
	}
	if x.Budget == 0 {
		x.Budget = 10 * time.Minute
	}
}

// Resume takes up an experiment with the records of its first blocks. They have to be of the same subject, with the same parameters, arms and seed. It
// returns how many of them count: a block that is not whole is run again.
func (x *Experiment) Resume(environment result.Environment, records []result.Record) (whole int, err error) {
	x.environment = environment
	arms := x.all()
	whole = len(records) / len(arms) * len(arms)
	for i, r := range records[:whole] {
		a := slices.IndexFunc(arms, func(a Arm) bool { return a.Name == r.Arm })
		if r.Scenario != x.Subject.Name || r.Seed != x.Seed || r.Block != x.FirstBlock+i/len(arms) || a < 0 {
			return 0, fmt.Errorf("record %d is of another experiment (scenario %s, arm %s, block %d, seed %d)", i+1, r.Scenario, r.Arm, r.Block, r.Seed)
		}
		if !maps.Equal(r.Params, x.params(arms[a])) || !maps.Equal(r.Knobs, arms[a].knobs()) {
			return 0, fmt.Errorf("record %d: arm %s had other parameters or knobs; want the same, and the same present values: had %v %v, now %v %v",
				i+1, r.Arm, r.Params, r.Knobs, x.params(arms[a]), arms[a].knobs())
		}
	}
	x.records, x.blocks = slices.Clone(records[:whole]), whole/len(arms)
	return whole, nil
}

func (x *Experiment) all() []Arm {
	if x.OnlyArms {
		return x.Arms
	}
	return append([]Arm{{Name: Baseline, Spec: "nothing"}, {Name: SameAgain, Spec: "nothing"}}, x.Arms...)
}

// Run runs blocks until the interval of each arm is narrow enough, the budget is spent or ctx is done. All three are good ends.
func (x *Experiment) Run(ctx context.Context) (*Outcome, error) {
	o, err := x.Collect(ctx)
	if err != nil {
		return nil, err
	}
	o.Comparisons, err = Compare(x.records, x.Subject.Primary, x.Seed)
	return o, err
}

// Collect is Run without comparisons.
func (x *Experiment) Collect(ctx context.Context) (*Outcome, error) {
	x.defaults()
	if x.environment.ID == "" {
		var err error
		if x.environment, err = Fingerprint(); err != nil {
			return nil, err
		}
		if x.Begin != nil {
			if err := x.Begin(x.environment); err != nil {
				return nil, err
			}
		}
	}
	end, err := x.blocksUntilEnd(ctx)
	if err != nil {
		return nil, err
	}
	return x.outcome(end), nil
}

func (x *Experiment) outcome(end End) *Outcome {
	return &Outcome{Environment: x.environment, Records: x.records, BPF: BPFCosts(x.records), Blocks: x.blocks, End: end}
}

func (x *Experiment) blocksUntilEnd(ctx context.Context) (End, error) {
	for {
		widest := x.widest()
		switch {
		case ctx.Err() != nil:
			return EndInterrupted, nil
		case x.blocks >= x.MinBlocks && widest <= x.Precision:
			return EndPrecise, nil
		case x.blocks >= x.MaxBlocks:
			return EndBlocks, nil
		case x.ran > 0 && x.spent+x.spent/time.Duration(x.ran) > x.Budget: // the next one would not fit
			return EndBudget, nil
		}
		if err := x.block(ctx); err != nil {
			return "", err
		}
	}
}

// block runs each arm once, in an order drawn from the seed and the number of the block.
func (x *Experiment) block(ctx context.Context) error {
	begin := time.Now()
	arms := x.all()
	number := x.FirstBlock + x.blocks
	rng := rand.New(rand.NewPCG(x.Seed, uint64(number)))
	var records []result.Record
	failed := ""
	for order, i := range rng.Perm(len(arms)) {
		r := x.trial(ctx, arms[i], number, order)
		if ctx.Err() != nil {
			return nil // a block that is not whole tells nothing
		}
		if r.Failed != "" {
			failed = r.Arm + ": " + r.Failed
		}
		records = append(records, r)
	}
	x.spent += time.Since(begin)
	if x.failures++; failed == "" {
		x.failures = 0
	}
	if x.failures >= maxFailures {
		return fmt.Errorf("%d blocks in a row failed, the last by arm %s", maxFailures, failed)
	}
	x.records = append(x.records, records...)
	x.blocks++
	x.ran++
	if x.Record != nil {
		if err := x.Record(records); err != nil {
			return err
		}
	}
	x.report()
	return nil
}

// report tells of the progress.
func (x *Experiment) report() {
	if x.Progress == nil {
		return
	}
	p := Progress{Blocks: x.blocks, Spent: x.spent, Left: max(0, x.Budget-x.spent)}
	if widest := x.widest(); !math.IsInf(widest, 0) {
		p.Widest = widest
		// Widths shrink with the root of the number of blocks.
		times := widest / x.Precision * widest / x.Precision
		if left := float64(x.spent) * max(0, times-1); left < float64(p.Left) {
			p.Left = time.Duration(left)
		}
	}
	x.Progress(p)
}

var errNoBlocks = errors.New("no whole block without a failure: nothing to compare")
