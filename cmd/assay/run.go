// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"context"
	"encoding/json"
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
)

// runFlags are the flags of run as they are given.
type runFlags struct {
	list      bool
	arms      []string
	set       []string
	warmup    time.Duration
	duration  time.Duration
	primary   string
	cpus      []int
	seed      uint64
	precision string
	budget    time.Duration
	maxBlocks int
	output    string
	resume    string
	benchfmt  string
	markdown  bool
	json      bool
	quiet     bool
}

func newRun() *cobra.Command {
	var f runFlags
	cmd := &cobra.Command{
		Use:   "run WORK [--arm NAME=WHAT]...",
		Short: "Measure a workload, and what something beside it or a change to it costs",
		Long: `run repeats a workload in blocks. Each block runs every arm once, in random order: the baseline, the baseline again (a/a, which
shows the noise), and each --arm. It goes on until the 95% interval of every arm is as narrow as --precision, or the budget is spent, and says
which. The interval holds however often it was looked at. All records go to a file, a line each.

WORK is a kind of work (assay run --list), with parameters by --set. WHAT is: nothing; assay:MODE[@HZ] (our recorder); set:KEY=VALUE (a parameter);
env:KEY=VALUE (of the workload); bpf:FILE.o (an eBPF object, loaded and attached); or any command to run beside the workload.`,
		Example: `  assay run --list
  sudo assay run syscall/storm --set call=getpid --arm cpu=assay:cpu@97 --arm perf='perf record -a -g -F 99 -o /dev/null'
  assay run load/service --set arrivals=poisson --set rate=500 --primary latency_p99 --arm gogc=env:GOGC=50 --budget 5m
  assay run syscall/storm --set call=pipe --arm two=set:threads=2 --json`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			switch {
			case f.list:
				return listKinds(cmd.OutOrStdout())
			case len(args) == 0:
				return errors.New("run: want a kind of work; --list shows them")
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
	fl.StringArrayVar(&f.set, "set", nil, "a parameter of the work: KEY=VALUE (may be given again)")
	fl.DurationVar(&f.warmup, "warmup", 300*time.Millisecond, "work that is not measured, before each trial")
	fl.DurationVarP(&f.duration, "duration", "d", time.Second, "length of a trial")
	fl.StringVar(&f.primary, "primary", "throughput", "metric that decides when it is enough: throughput, latency_p50, latency_p99, cpu_per_op, …")
	fl.IntSliceVar(&f.cpus, "cpus", nil, "CPUs for the workload (default: any)")
	fl.Uint64Var(&f.seed, "seed", 0, "seed of the order of arms and of resampling (default: drawn, and told)")
	fl.StringVar(&f.precision, "precision", "1%", "half the width of the interval at which there are blocks enough")
	fl.DurationVar(&f.budget, "budget", 10*time.Minute, "the most time that it may take")
	fl.IntVar(&f.maxBlocks, "max-blocks", 0, "the most blocks (default 1000)")
	fl.StringVarP(&f.output, "output", "o", "", "file for the records (default assay-run-WORK-TIME.jsonl)")
	fl.StringVar(&f.resume, "resume", "", "go on with the records in this file, with the same work and arms")
	fl.StringVar(&f.benchfmt, "benchfmt", "", "also write the records as Go benchmark results, which benchstat reads, to this file")
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
	log, err := f.openLog(x)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, log.Close()) }()
	x.Begin = func(e result.Environment) error { return log.AppendEnvironment(&e) }
	blocks, full := 0, false
	x.Record = func(block []result.Record) error {
		err := log.Append(block...)
		if full = err != nil && blocks > 0; full {
			err = fmt.Errorf("%w; the blocks before are kept: mend that and go on with --resume %s", err, f.output)
		}
		blocks++
		return err
	}
	progress := newProgress(errOut, f.quiet)
	x.Progress = func(p bench.Progress) { progress.line(p.String()) }
	ctx, _ = untilInterrupted(ctx)
	o, err := x.Run(ctx)
	progress.clear()
	if err != nil && f.resume == "" && !full {
		err = errors.Join(err, os.Remove(f.output)) // a file that says nothing
	}
	if err != nil {
		return err
	}
	if err := f.writeBenchfmt(o); err != nil {
		return err
	}
	return f.report(o, x.Seed, out, errOut)
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
		f.output = "assay-run-" + strings.ReplaceAll(x.Subject.Name, "/", "-") + "-" + time.Now().Format("20060102-150405") + ".jsonl"
	}
	if _, err := os.Stat(f.output); err == nil {
		return nil, fmt.Errorf("%s is there already: --resume goes on with its records", f.output)
	}
	log, _, err := result.OpenLog(f.output, true)
	return log, err
}

// goOn opens the file of a run that broke off, and takes up its records.
func (f *runFlags) goOn(x *bench.Experiment) (*result.Log, error) {
	if _, err := os.Stat(f.resume); err != nil {
		return nil, err
	}
	f.output = f.resume
	log, contents, err := result.OpenLog(f.resume, true)
	if err != nil {
		return nil, err
	}
	if len(contents.Records) == 0 || len(contents.Environments) == 0 {
		return nil, errors.Join(fmt.Errorf("%s has no records to go on with", f.resume), log.Close())
	}
	x.Seed = contents.Records[0].Seed
	whole, err := x.Resume(contents.Environments[0], contents.Records)
	if err == nil {
		err = log.Keep(whole)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", f.resume, err), log.Close())
	}
	return log, nil
}

// experiment checks the flags and makes the experiment that they ask for.
func (f *runFlags) experiment(name string) (*bench.Experiment, error) {
	kind, err := catalog.Find(name)
	if err != nil {
		return nil, err
	}
	given, err := keyValues(f.set)
	if err != nil {
		return nil, err
	}
	values, err := checkWork(kind, given)
	if err != nil {
		return nil, err
	}
	if slices.Contains(kind.Needs, scenarios.NeedRoot) && os.Geteuid() != 0 {
		return nil, fmt.Errorf("%s needs root; %s can run without", name, strings.Join(rootless(), ", "))
	}
	x := &bench.Experiment{
		Subject:  bench.Subject{Name: name, Kind: name, Values: values, Warmup: f.warmup, Duration: f.duration, Primary: f.primary, CPUs: f.cpus},
		Launcher: workers(), Seed: f.seed, Budget: f.budget, MaxBlocks: f.maxBlocks,
	}
	if x.Seed == 0 {
		x.Seed = rand.Uint64()
	}
	if x.Precision, err = percentage(f.precision); err != nil {
		return nil, err
	}
	if f.duration <= 0 || f.warmup < 0 || f.budget <= 0 {
		return nil, errors.New("durations: want a duration and a budget above 0, and a warm-up of at least 0")
	}
	x.Arms, err = f.parseArms(kind, given)
	return x, err
}

// parseArms reads the arms, and checks parameters that they change before anything runs.
func (f *runFlags) parseArms(kind *scenarios.Kind, given map[string]string) ([]bench.Arm, error) {
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
		values := maps.Clone(given)
		maps.Copy(values, a.Params)
		if _, err := checkWork(kind, values); err != nil {
			return nil, fmt.Errorf("arm %s: %w", a.Name, err)
		}
		if slices.ContainsFunc(arms, func(b bench.Arm) bool { return a.Name == b.Name }) {
			return nil, fmt.Errorf("arm %s: given twice", a.Name)
		}
		arms = append(arms, a)
	}
	return arms, nil
}

// checkWork says, before anything runs, what is wrong with parameters: each by itself, and together.
func checkWork(kind *scenarios.Kind, given map[string]string) (scenarios.Values, error) {
	values, err := kind.Check(given)
	if err == nil {
		_, err = kind.New(values)
	}
	return values, err
}

// keyValues reads KEY=VALUE, one in each text.
func keyValues(texts []string) (map[string]string, error) {
	all := map[string]string{}
	for _, text := range texts {
		key, value, ok := strings.Cut(text, "=")
		if !ok || key == "" {
			return nil, fmt.Errorf("--set %q: want KEY=VALUE", text)
		}
		all[key] = value
	}
	return all, nil
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
func (f *runFlags) report(o *bench.Outcome, seed uint64, out, errOut io.Writer) error {
	if f.json {
		enc := json.NewEncoder(out)
		enc.SetIndent("", "  ")
		return enc.Encode(runSummary{f.output, seed, o.Blocks, string(o.End), o.Environment, o.Comparisons, o.BPF})
	}
	look := reports.ComparisonOptions{Markdown: f.markdown, Color: isTerminal(out)}
	if err := errors.Join(reports.Comparisons(out, o.Comparisons, look), reports.BPFCosts(out, o.BPF, look)); err != nil {
		return err
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
}
