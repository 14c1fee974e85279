// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/assaylab/assay/bench"
	"github.com/assaylab/assay/bench/result"
	"github.com/assaylab/assay/internal/atomicfile"
	"github.com/assaylab/assay/reports"
	"github.com/assaylab/assay/scenarios"
	"github.com/assaylab/assay/scenarios/catalog"
	"github.com/assaylab/assay/scenarios/knobs"
)

// runFlags are the flags of run as they are given.
type runFlags struct {
	list      bool
	arms      []string
	set       []string
	settings  map[string]*string // of the scenario, that have flags of their own
	seed      uint64
	precision string
	budget    time.Duration
	maxBlocks int
	output    string
	resume    string
	benchfmt  string
	profiles  string
	markdown  bool
	json      bool
	quiet     bool
}

func newRun() *cobra.Command {
	var f runFlags
	cmd := &cobra.Command{
		Use:   "run SCENARIO [--arm NAME=WHAT]...",
		Short: "Measure a workload, and what something beside it or a change to it costs",
		Long: `run repeats the workload of a scenario in blocks. Each block runs every arm once, in random order: the baseline, the baseline again (a/a, which
shows the noise), and each --arm. It goes on until the 95% interval of every arm is as narrow as --precision, or the budget is spent, and says
which. The interval holds however often it was looked at. All records go to a file, a line each.

SCENARIO is one that ships (assay scenarios list), a YAML file, or a kind of work with its defaults (assay run --list). WHAT is: nothing; assay:MODE[@HZ] (our recorder); set:KEY=VALUE (a parameter);
env:KEY=VALUE (of the workload); knob:KIND:NAME=VALUE (as assay tune has them, set while the arm runs and put back); bpf:FILE.o (an eBPF object, loaded and attached); or any command to run beside the workload.`,
		Example: `  assay run --list
  sudo assay run syscall-mix --arm cpu=assay:cpu@97 --arm perf='perf record -a -g -F 99 -o /dev/null'
  assay run service-mixed --set rate=300 --arm gogc=env:GOGC=50 --budget 5m
  sudo assay run tcp-loss --arm bbr=knob:sysctl:net.ipv4.tcp_congestion_control=bbr
  assay run syscall/storm --set call=pipe --arm two=set:threads=2 --json`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			switch {
			case f.list:
				return listKinds(cmd.OutOrStdout())
			case len(args) == 0:
				return errors.New("run: want a scenario; assay scenarios list shows them")
			}
			return f.run(cmd.Context(), args[0], cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	f.register(cmd)
	return cmd
}

func (f *runFlags) register(cmd *cobra.Command) {
	fl := cmd.Flags()
	fl.BoolVar(&f.list, "list", false, "list the kinds of work with their parameters")
	fl.StringArrayVar(&f.arms, "arm", nil, "what differs: NAME=WHAT (may be given again)")
	fl.StringArrayVar(&f.set, "set", nil, "a parameter of the scenario: KEY=VALUE (may be given again)")
	f.settings = map[string]*string{
		"warmup":   fl.String("warmup", "", "work that is not measured, before each trial (default: the scenario's)"),
		"duration": fl.StringP("duration", "d", "", "length of a trial (default: the scenario's)"),
		"primary":  fl.String("primary", "", "metric that decides when it is enough: throughput, latency_p50, latency_p99, cpu_per_op, … (default: the scenario's)"),
		"cpus":     fl.String("cpus", "", "CPUs for the workload, such as 0-3,7 (default: the scenario's)"),
	}
	fl.Uint64Var(&f.seed, "seed", 0, "seed of the order of arms and of resampling (default: drawn, and told)")
	fl.StringVar(&f.precision, "precision", "1%", "half the width of the interval at which there are blocks enough")
	fl.DurationVar(&f.budget, "budget", 10*time.Minute, "the most time that it may take")
	fl.IntVar(&f.maxBlocks, "max-blocks", 0, "the most blocks (default 1000)")
	fl.StringVarP(&f.output, "output", "o", "", "file for the records (default assay-run-SCENARIO-TIME.jsonl)")
	fl.StringVar(&f.resume, "resume", "", "go on with the records in this file, with the same work and arms")
	fl.StringVar(&f.benchfmt, "benchfmt", "", "also write the records as Go benchmark results, which benchstat reads, to this file")
	fl.StringVar(&f.profiles, "profile", "", "also record each arm once more, unmeasured, and write ARM.pb.gz to this folder")
	fl.BoolVar(&f.markdown, "markdown", false, "write the table as Markdown")
	fl.BoolVar(&f.json, "json", false, "write the comparisons as JSON, to stdout")
	fl.BoolVarP(&f.quiet, "quiet", "q", false, "no progress")
}

// run measures and reports.
func (f *runFlags) run(ctx context.Context, kind string, out, errOut io.Writer) (err error) {
	x, err := f.experiment(kind)
	if err != nil {
		return err
	}
	if f.benchfmt != "" {
		if err := atomicfile.Check(f.benchfmt); err != nil {
			return err
		}
	}
	if f.profiles != "" {
		if err := os.MkdirAll(f.profiles, 0o755); err != nil {
			return err
		}
	}
	if err := journal(x, errOut); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, closeJournal(x)) }()
	log, err := f.openLog(x)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, log.Close()) }()
	x.Begin = func(e result.Environment) error { return log.AppendEnvironment(&e) }
	kept := keeper{log: log, path: f.output}
	x.Record = kept.record
	progress := newProgress(errOut, f.quiet)
	x.Progress = func(p bench.Progress) { progress.line(p.String()) }
	ctx = untilInterrupted(ctx)
	o, err := x.Run(ctx)
	progress.clear()
	if err != nil && f.resume == "" && !kept.full {
		err = errors.Join(err, os.Remove(f.output)) // a file that says nothing
	}
	if err != nil {
		return err
	}
	if err := f.writeBenchfmt(o); err != nil {
		return err
	}
	if f.profiles != "" && ctx.Err() == nil {
		if err := x.Profile(ctx, armProfiler{f.profiles}); err != nil {
			return err
		}
	}
	objectives, err := bench.Objectives(o.Records, x.Subject.SLOs)
	if err != nil {
		return err
	}
	return f.report(o, objectives, x.Seed, out, errOut)
}

// A keeper appends the records of blocks to a log.
type keeper struct {
	log    *result.Log
	path   string
	blocks int
	full   bool // there was no room for a block, but for others before it
}

func (k *keeper) record(block []result.Record) error {
	err := k.log.Append(block...)
	if k.full = err != nil && k.blocks > 0; k.full {
		err = fmt.Errorf("%w; the blocks before are kept: mend that and go on with --resume %s", err, k.path)
	}
	k.blocks++
	return err
}

// writeBenchfmt writes the file for benchstat, if one is wanted.
func (f *runFlags) writeBenchfmt(o *bench.Outcome) error {
	if f.benchfmt == "" {
		return nil
	}
	return atomicfile.Write(f.benchfmt, 0o644, func(w io.Writer) error {
		return result.WriteBenchfmt(w, []result.Environment{o.Environment}, o.Records)
	})
}

// openLog opens the file for the records: a new one, or that of the run which is to go on.
func (f *runFlags) openLog(x *bench.Experiment) (*result.Log, error) {
	if f.resume != "" {
		return f.goOn(x)
	}
	if f.output == "" {
		f.output = "assay-run-" + x.Subject.Name + "-" + time.Now().Format("20060102-150405") + ".jsonl"
	}
	return createLog(f.output)
}

// createLog makes a new file for records.
func createLog(path string) (*result.Log, error) {
	if _, err := os.Stat(path); err == nil {
		return nil, fmt.Errorf("%s is there already: want a new file, by --output; --resume goes on with the records of one", path)
	}
	log, _, err := result.OpenLog(path, true)
	return log, err
}

// goOn opens the file of a run that broke off, and takes up its records.
func (f *runFlags) goOn(x *bench.Experiment) (*result.Log, error) {
	f.output = f.resume
	return resumeLog(f.resume, func(c *result.Contents) (int, error) {
		x.Seed = c.Records[0].Seed
		return x.Resume(c.Environments[0], c.Records)
	})
}

// resumeLog opens the file of an experiment that broke off, has its records taken up, and cuts off those that don't count.
func resumeLog(path string, take func(*result.Contents) (whole int, err error)) (*result.Log, error) {
	if _, err := os.Stat(path); err != nil {
		return nil, err
	}
	log, contents, err := result.OpenLog(path, true)
	if err != nil {
		return nil, err
	}
	if len(contents.Records) == 0 || len(contents.Environments) == 0 {
		return nil, errors.Join(fmt.Errorf("%s has no records to go on with", path), log.Close())
	}
	whole, err := take(contents)
	if err == nil {
		err = log.Keep(whole)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", path, err), log.Close())
	}
	return log, nil
}

// experiment checks the flags and makes the experiment that they ask for.
func (f *runFlags) experiment(name string) (*bench.Experiment, error) {
	s, err := subjectOf(name, f.changes())
	if err != nil {
		return nil, err
	}
	x, err := newExperiment(s, f.seed, f.precision, f.budget, f.maxBlocks)
	if err != nil {
		return nil, err
	}
	x.Arms, err = f.parseArms(s)
	return x, err
}

// newExperiment checks what experiments have in common. A seed of 0 is drawn.
func newExperiment(s *scenarios.Scenario, seed uint64, precision string, budget time.Duration, maxBlocks int) (*bench.Experiment, error) {
	x := &bench.Experiment{Launcher: workers(), Seed: cmp.Or(seed, rand.Uint64()), Budget: budget, MaxBlocks: maxBlocks}
	var err error
	if x.Subject, err = bench.NewSubject(s); err != nil {
		return nil, err
	}
	if x.Precision, err = percentage(precision); err != nil {
		return nil, err
	}
	if x.Isolate, err = isolation(s); err != nil {
		return nil, err
	}
	if budget <= 0 || maxBlocks < 0 {
		return nil, fmt.Errorf("budget %s, %d blocks: want a budget above 0, and --max-blocks of at least 0", budget, maxBlocks)
	}
	return x, nil
}

// isolation is the control group that a scenario wants for its workload.
func isolation(s *scenarios.Scenario) ([]bench.Setting, error) {
	var texts []string
	if share := s.Isolation.CPULimit; share != "" {
		texts = append(texts, "cgroup:cpu.max="+share)
	}
	if memory := s.Isolation.MemoryLimit; memory > 0 {
		texts = append(texts, "cgroup:memory.max="+strconv.FormatInt(memory, 10))
	}
	var all []bench.Setting
	for _, text := range texts {
		k, err := knobs.Parse(text)
		if err == nil {
			err = k.For(s.Kind)
		}
		if err != nil {
			return nil, fmt.Errorf("isolation: %w", err)
		}
		all = append(all, bench.Setting{Knob: k, Value: k.Values[0]})
	}
	return all, nil
}

// journal opens the journal if anything is to be set on the machine (a control group for the workload, knobs of an arm), after it has put
// back what a killed run left.
func journal(x *bench.Experiment, errOut io.Writer) error {
	set := slices.Clone(x.Isolate)
	for i := range x.Arms {
		set = append(set, x.Arms[i].Knobs...)
	}
	if !slices.ContainsFunc(set, func(s bench.Setting) bool { return !s.Knob.OfWorkload() }) {
		return nil
	}
	return openJournal(x, errOut)
}

// openJournal puts back what a killed run left, and opens the journal for ours.
func openJournal(x *bench.Experiment, errOut io.Writer) (err error) {
	path := knobs.DefaultJournal()
	restoreLeft(path, errOut)
	x.Journal, err = knobs.OpenJournal(path)
	return err
}

// closeJournal closes the journal of an experiment that has one.
func closeJournal(x *bench.Experiment) error {
	if x.Journal == nil {
		return nil
	}
	return x.Journal.Close()
}

// changes are what the flags change about the scenario.
func (f *runFlags) changes() []string {
	set := slices.Clone(f.set)
	for _, name := range slices.Sorted(maps.Keys(f.settings)) {
		if value := *f.settings[name]; value != "" {
			set = append(set, name+"="+value)
		}
	}
	return set
}

// subjectOf is a scenario of the library or in a file, or a kind of work with its defaults, with changes (see [scenarios.Scenario.Override]).
func subjectOf(name string, set []string) (*scenarios.Scenario, error) {
	var s *scenarios.Scenario
	if kind, err := catalog.Find(name); err == nil {
		s = scenarios.New(kind)
	} else if s, err = findScenario(name); err != nil {
		return nil, err
	}
	s, err := s.Override(set)
	if err != nil {
		return nil, err
	}
	if s.Isolation.Limited() && os.Geteuid() != 0 {
		return nil, fmt.Errorf("%s: a control group (isolation) needs root", name)
	}
	if slices.Contains(s.Kind.Needs, scenarios.NeedRoot) && os.Geteuid() != 0 {
		return nil, fmt.Errorf("%s needs root; %s can run without", name, strings.Join(rootless(), ", "))
	}
	if err := s.Kind.Lacks(); err != nil {
		return nil, err
	}
	return s, nil
}

// parseArms reads the arms, and checks parameters that they change before anything runs.
func (f *runFlags) parseArms(s *scenarios.Scenario) ([]bench.Arm, error) {
	self, err := ownCommand()
	if err != nil {
		return nil, err
	}
	var arms []bench.Arm
	for _, text := range f.arms {
		a, err := bench.ParseArm(text, self)
		if err != nil {
			return nil, err
		}
		if err := s.CheckWith(a.Params); err != nil {
			return nil, fmt.Errorf("arm %s: %w", a.Name, err)
		}
		for _, k := range a.Knobs {
			if err := k.Knob.For(s.Kind); err != nil {
				return nil, fmt.Errorf("arm %s: %w", a.Name, err)
			}
		}
		if slices.ContainsFunc(arms, func(b bench.Arm) bool { return a.Name == b.Name }) {
			return nil, fmt.Errorf("arm %s: given twice", a.Name)
		}
		arms = append(arms, a)
	}
	return arms, nil
}

// percentage reads 1% or 0.01.
func percentage(text string) (float64, error) {
	digits, percent := strings.CutSuffix(text, "%")
	x, err := strconv.ParseFloat(digits, 64)
	if percent {
		x /= 100
	}
	if err != nil || !(x > 0 && x < 1) {
		return 0, fmt.Errorf("precision %q: want a share such as 1%%", text)
	}
	return x, nil
}

// rootless are the kinds that an ordinary user can run.
func rootless() []string {
	var names []string
	for _, k := range catalog.Kinds() {
		if !slices.Contains(k.Needs, scenarios.NeedRoot) {
			names = append(names, k.Name)
		}
	}
	return names
}

func listKinds(out io.Writer) error {
	for _, k := range catalog.Kinds() {
		fmt.Fprintf(out, "%s: %s\n", k.Name, k.About)
		if err := k.Lacks(); err != nil {
			fmt.Fprintf(out, "    can't run here: %v\n", err)
		}
		for _, p := range k.Params {
			what := p.Bounds()
			if len(p.Choices) > 0 {
				what = strings.Join(p.Choices, ", ")
			}
			fmt.Fprintf(out, "    %-12s %s (%s; default %s)\n", p.Name, p.About, what, cmp.Or(p.Default, "none"))
		}
	}
	return nil
}

// report writes the table to out, and what one must know beside it to errOut.
func (f *runFlags) report(o *bench.Outcome, objectives []result.Objective, seed uint64, out, errOut io.Writer) error {
	if f.json {
		return writeJSON(out, runSummary{f.output, seed, o.Blocks, string(o.End), o.Environment, o.Comparisons, o.BPF, objectives})
	}
	opts := reports.ComparisonOptions{Markdown: f.markdown, Color: isTerminal(out)}
	if err := errors.Join(reports.Comparisons(out, o.Comparisons, opts), reports.BPFCosts(out, o.BPF, opts)); err != nil {
		return err
	}
	if len(objectives) > 0 {
		if err := reports.Objectives(out, objectives, opts); err != nil {
			return err
		}
	}
	fmt.Fprintf(errOut, "%d blocks, ended because: %s. Seed %d.\n", o.Blocks, o.End, seed)
	for _, w := range o.Environment.Warnings {
		fmt.Fprintf(errOut, "Unfit to measure on: %s\n", w)
	}
	fmt.Fprintf(errOut, "Wrote %s\n", f.output)
	return nil
}

// runSummary is what --json prints.
type runSummary struct {
	File        string              `json:"file"`
	Seed        uint64              `json:"seed"`
	Blocks      int                 `json:"blocks"`
	End         string              `json:"end"`
	Environment result.Environment  `json:"environment"`
	Comparisons []result.Comparison `json:"comparisons"`
	BPF         []result.BPFCost    `json:"bpf,omitempty"`
	Objectives  []result.Objective  `json:"objectives,omitempty"`
}
