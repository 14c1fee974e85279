// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/assaylab/assay/bench"
	"github.com/assaylab/assay/bench/result"
	"github.com/assaylab/assay/reports"
	"github.com/assaylab/assay/scenarios/knobs"
)

// tuneFlags are the flags of tune as they are given.
type tuneFlags struct {
	knobs     []string
	set       []string
	seed      uint64
	precision string
	budget    time.Duration
	maxBlocks int
	output    string
	resume    string
	dryRun    bool
	restore   bool
	markdown  bool
	json      bool
	quiet     bool
}

func newTune() *cobra.Command {
	var f tuneFlags
	cmd := &cobra.Command{
		Use:   "tune SCENARIO --knob KIND:NAME=VALUE,VALUE...",
		Short: "Find out which setting of the machine or of a workload gains what",
		Long: `tune measures a scenario with all combinations of the values of its knobs, the present value of each among them; with many, a fraction of the
combinations, or one knob at a time: --dry-run says which, and changes nothing. It says what each value changes, what values change together, and
recommends a setting only if that is better than the present one in blocks of their own.

A knob that does nothing is taken for one that does in one of a hundred runs at most. What is set on the machine is put back after each trial.
Should this program be killed, --restore puts back what it left, and so does the next run.

Kinds of knobs: ` + strings.Join(knobs.Kinds(), ", ") + `.`,
		Example: `  sudo assay tune tcp-stream --knob sysctl:net.ipv4.tcp_congestion_control=reno,cubic,bbr --set loss=0.01
  assay tune http-open --knob env:GOGC=50,100,400 --knob env:GOMAXPROCS=1,2 --set primary=latency_p99 --budget 5m
  sudo assay tune tcp-rr --knob sysctl:net.core.busy_read=0,50 --dry-run
  sudo assay tune tcp-rr --knob sysctl:net.core.busy_read=0,50 --resume assay-tune-tcp-rr-20261124-101500.jsonl
  sudo assay tune --restore`,
		Args: cobra.MaximumNArgs(1),
		// --restore says itself what it did, and --dry-run changes nothing.
		PersistentPreRun: func(cmd *cobra.Command, _ []string) {
			if !f.restore && !f.dryRun {
				restoreLeft(knobs.DefaultJournal(), cmd.ErrOrStderr())
			}
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			switch {
			case f.restore && len(args) == 0:
				return restoreKnobs(cmd.OutOrStdout())
			case f.restore:
				return errors.New("tune --restore puts back what a killed run left; it takes no scenario")
			case len(args) == 0:
				return errors.New("tune: want a scenario; assay scenarios list shows those that ship")
			}
			return f.run(cmd.Context(), args[0], cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	f.register(cmd)
	return cmd
}

func (f *tuneFlags) register(cmd *cobra.Command) {
	fl := cmd.Flags()
	fl.StringArrayVar(&f.knobs, "knob", nil, "what to tune, and the values to try: KIND:NAME=VALUE,VALUE... (may be given again)")
	fl.StringArrayVar(&f.set, "set", nil, "a parameter of the scenario, or warmup, duration, primary, cpus: KEY=VALUE (may be given again)")
	fl.Uint64Var(&f.seed, "seed", 0, "seed of the order of settings and of resampling (default: drawn, and told)")
	fl.StringVar(&f.precision, "precision", "2%", "half the width of the interval of a value's effect at which there are blocks enough")
	fl.DurationVar(&f.budget, "budget", 20*time.Minute, "the most time that it may take")
	fl.IntVar(&f.maxBlocks, "max-blocks", 0, "the most blocks, and of the confirmation (default 1000)")
	fl.StringVarP(&f.output, "output", "o", "", "file for the records (default assay-tune-SCENARIO-TIME.jsonl)")
	fl.StringVar(&f.resume, "resume", "", "go on with the records in this file, with the same scenario and knobs")
	fl.BoolVar(&f.dryRun, "dry-run", false, "say what would be tried and how long it would take, and change nothing")
	fl.BoolVar(&f.restore, "restore", false, "put back what a killed run left, and end")
	fl.BoolVar(&f.markdown, "markdown", false, "write tables as Markdown")
	fl.BoolVar(&f.json, "json", false, "write the result as JSON, to stdout")
	fl.BoolVarP(&f.quiet, "quiet", "q", false, "no progress")
}

// restoreKnobs puts back what a killed run left.
func restoreKnobs(out io.Writer) error {
	changes, err := knobs.Restore(knobs.DefaultJournal())
	for _, c := range changes {
		fmt.Fprintln(out, c)
	}
	if err == nil && len(changes) == 0 {
		fmt.Fprintln(out, "nothing was left to put back")
	}
	return err
}

// run tunes and reports.
func (f *tuneFlags) run(ctx context.Context, name string, out, errOut io.Writer) (err error) {
	tuning, journal, err := f.tuning(name)
	if err != nil {
		return err
	}
	if f.dryRun {
		return f.plan(tuning, out)
	}
	if journal {
		if err := openJournal(&tuning.Experiment, errOut); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, closeJournal(&tuning.Experiment)) }()
	}
	log, err := f.openLog(tuning)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, log.Close()) }()
	tuning.Experiment.Begin = func(e result.Environment) error { return log.AppendEnvironment(&e) }
	kept := keeper{log: log, path: f.output}
	tuning.Experiment.Record = kept.record
	progress := newProgress(errOut, f.quiet)
	phase := ""
	tuning.Phase = func(text string) { phase = text; progress.line(text) }
	tuning.Experiment.Progress = func(p bench.Progress) { progress.line(phase + ": " + p.String()) }
	ctx = untilInterrupted(ctx)
	t, o, err := tuning.Run(ctx)
	progress.clear()
	if err != nil && f.resume == "" && !kept.full {
		err = errors.Join(err, os.Remove(f.output)) // a file that says nothing
	}
	if err != nil {
		return err
	}
	return f.report(t, o, tuning.Experiment.Seed, out, errOut)
}

// tuning checks the flags and makes the experiment that they ask for, and says whether it changes the machine.
func (f *tuneFlags) tuning(name string) (t *bench.Tuning, journal bool, err error) {
	if len(f.knobs) == 0 {
		return nil, false, errors.New("nothing to tune: want --knob KIND:NAME=VALUE,VALUE, such as --knob env:GOGC=50,100")
	}
	s, err := subjectOf(name, f.set)
	if err != nil {
		return nil, false, err
	}
	x, err := newExperiment(s, f.seed, f.precision, f.budget, f.maxBlocks)
	if err != nil {
		return nil, false, err
	}
	journal = len(x.Isolate) > 0
	var all []*knobs.Knob
	for _, text := range f.knobs {
		k, err := knobs.Parse(text)
		if err == nil {
			err = k.For(s.Kind)
		}
		if err != nil {
			return nil, false, err
		}
		journal = journal || !k.OfWorkload()
		all = append(all, k)
	}
	t, err = bench.NewTuning(*x, all)
	return t, journal, err
}

// openLog opens the file for the records: a new one, or that of the tuning which is to go on.
func (f *tuneFlags) openLog(t *bench.Tuning) (*result.Log, error) {
	if f.resume != "" {
		f.output = f.resume
		return resumeLog(f.resume, func(c *result.Contents) (int, error) { return t.Resume(c.Environments[0], c.Records) })
	}
	if f.output == "" {
		f.output = "assay-tune-" + t.Experiment.Subject.Name + "-" + time.Now().Format("20060102-150405") + ".jsonl"
	}
	return createLog(f.output)
}

// plan says what would be done.
func (f *tuneFlags) plan(t *bench.Tuning, out io.Writer) error {
	p := t.Plan()
	least := t.LeastTime()
	if f.json {
		return writeJSON(out, tunePlan{p, least.Seconds(), f.budget.Seconds()})
	}
	if err := reports.TuningPlan(out, &p, reports.ComparisonOptions{Markdown: f.markdown, Color: isTerminal(out)}); err != nil {
		return err
	}
	fmt.Fprintf(out, "\nIt would take %s at least, and %s at most. Nothing was changed.\n", least.Round(time.Second), max(f.budget, least).Round(time.Second))
	return nil
}

// report writes the tables to out, and what one must know beside them to errOut.
func (f *tuneFlags) report(t *result.Tuning, o *bench.Outcome, seed uint64, out, errOut io.Writer) error {
	if f.json {
		return writeJSON(out, tuneSummary{f.output, seed, o.Environment, t, t.Confirmed()})
	}
	if err := reports.Tuning(out, t, reports.ComparisonOptions{Markdown: f.markdown, Color: isTerminal(out)}); err != nil {
		return err
	}
	fmt.Fprintf(errOut, "Ended because: %s", t.End)
	if t.ConfirmationEnd != "" {
		fmt.Fprintf(errOut, "; the confirmation because: %s", t.ConfirmationEnd)
	}
	fmt.Fprintf(errOut, ". Seed %d.\n", seed)
	for _, w := range o.Environment.Warnings {
		fmt.Fprintf(errOut, "Unfit to measure on: %s\n", w)
	}
	fmt.Fprintf(errOut, "Wrote %s\n", f.output)
	return nil
}

// tunePlan is what --dry-run --json prints.
type tunePlan struct {
	result.Tuning
	LeastSeconds float64 `json:"least_seconds"`
	MostSeconds  float64 `json:"most_seconds"`
}

// tuneSummary is what --json prints.
type tuneSummary struct {
	File        string             `json:"file"`
	Seed        uint64             `json:"seed"`
	Environment result.Environment `json:"environment"`
	*result.Tuning
	Confirmed bool `json:"confirmed"`
}
