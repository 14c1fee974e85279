// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/assaylab/assay/bench"
	"github.com/assaylab/assay/bench/result"
	"github.com/assaylab/assay/internal/atomicfile"
	"github.com/assaylab/assay/reports"
)

// overheadFlags are the flags of overhead as they are given.
type overheadFlags struct {
	runFlags
	scenarios []string
	quick     bool
	certify   bool
	html      string
}

// What is measured when nothing else is said: workloads of each of the three kinds.
var (
	overheadScenarios = []string{"syscall-mix", "pipe-pingpong", "tcp-rr", "tcp-crr", "http-closed", "cpu-burn"}
	quickScenarios    = []string{"syscall-mix", "tcp-rr", "http-closed"}
)

// quickBudget is for each of the quick scenarios: what else there is to do fits into what is left of five minutes.
const (
	quickBudget  = 80 * time.Second
	defaultShare = 5 * time.Minute // for each scenario
)

// ownSpec begins the arms that are our own recorder.
const ownSpec = "assay:"

func newOverhead() *cobra.Command {
	var f overheadFlags
	cmd := &cobra.Command{
		Use:   "overhead [--quick] [--certify]",
		Short: "Measure what profilers cost: Assay in its modes, perf and bpftrace",
		Long: `overhead runs workloads of each kind (system calls, network, load) alone, alone again, and beside each of: Assay sampling CPUs at 19, 97 and 997 Hz,
accounting waits (offcpu) and both (wall), and, where installed, perf and bpftrace at 99 Hz. It prints how much slower each makes each workload, with an interval,
and what CPU time it takes itself. --certify keeps what was found about Assay, and assay record quotes it in each profile on the same machine and kernel.`,
		Example: `  sudo assay overhead --quick                       # within five minutes
  sudo assay overhead --certify --html overhead.html
  sudo assay overhead --scenario mine.yaml --arm agent='my-agent --foreground' --markdown`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if f.quick {
				f.settings = map[string]*string{"warmup": new("200ms"), "duration": new("500ms")}
			}
			return f.run(cmd.Context(), cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	fl := cmd.Flags()
	fl.BoolVar(&f.quick, "quick", false, "three workloads and short trials: within five minutes, with wider intervals")
	fl.BoolVar(&f.certify, "certify", false, "keep what is found about Assay as the certificate of this machine ("+certificatePath()+")")
	fl.StringArrayVar(&f.scenarios, "scenario", nil, "measure on this scenario instead (may be given again)")
	fl.StringArrayVar(&f.arms, "arm", nil, "also measure this: NAME=WHAT, as for assay run (may be given again)")
	fl.StringVar(&f.precision, "precision", "1%", "half the width of the interval at which there are blocks enough")
	fl.DurationVar(&f.budget, "budget", 0, "the most time for each scenario (default 5m, with --quick 80s)")
	fl.IntVar(&f.maxBlocks, "max-blocks", 0, "the most blocks of each scenario (default 1000)")
	fl.Uint64Var(&f.seed, "seed", 0, "seed of the order of arms and of resampling (default: drawn, and told)")
	fl.StringVarP(&f.output, "output", "o", "", "file for the records (default assay-overhead-TIME.jsonl)")
	fl.StringVar(&f.html, "html", "", "also write the table as a page to this file")
	fl.BoolVar(&f.markdown, "markdown", false, "write the table as Markdown")
	fl.BoolVar(&f.json, "json", false, "write the table as JSON, to stdout")
	fl.BoolVarP(&f.quiet, "quiet", "q", false, "no progress")
	return cmd
}

// run measures on each scenario, and reports.
func (f *overheadFlags) run(ctx context.Context, out, errOut io.Writer) (err error) {
	if os.Geteuid() != 0 {
		return errors.New("overhead needs root: it runs profilers of the whole machine; assay run measures other arms without")
	}
	folder, err := os.MkdirTemp("", "assay-overhead-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(folder)) }()
	f.arms = append(profilerArms(folder), f.arms...)
	experiments, err := f.experiments()
	if err != nil {
		return err
	}
	if f.html != "" {
		if err := atomicfile.Check(f.html); err != nil {
			return err
		}
	}
	log, err := createLog(cmp.Or(f.output, "assay-overhead-"+time.Now().Format("20060102-150405")+".jsonl"))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, log.Close()) }()
	o, err := f.measure(ctx, experiments, log, errOut)
	if err != nil {
		return err
	}
	if f.certify {
		if err := writeCertificate(o); err != nil {
			return err
		}
	}
	return f.report(o, out)
}

// profilerArms are our recorder in its modes, and the profilers of others that are installed. What they write goes to a folder.
func profilerArms(folder string) []string {
	arms := []string{
		"cpu-19=assay:cpu@19", "cpu-97=assay:cpu@97", "cpu-997=assay:cpu@997", "offcpu=assay:offcpu", "wall=assay:wall",
	}
	if _, err := exec.LookPath("perf"); err == nil {
		arms = append(arms, "perf-99=perf record -a -g -F 99 -o "+filepath.Join(folder, "perf.data"))
	}
	if _, err := exec.LookPath("bpftrace"); err == nil {
		// The stacks are not printed: to name them all takes seconds, and the others don't.
		arms = append(arms, "bpftrace-99=bpftrace -e 'profile:hz:99 { @[kstack, ustack] = count(); @samples = count() } END { clear(@) }'")
	}
	return arms
}

// experiments makes one for each scenario, all with the same seed.
func (f *overheadFlags) experiments() ([]*bench.Experiment, error) {
	names, budget := overheadScenarios, defaultShare
	if f.quick {
		names, budget = quickScenarios, quickBudget
	}
	if len(f.scenarios) > 0 {
		names = f.scenarios
	}
	f.budget = cmp.Or(f.budget, budget)
	f.seed = cmp.Or(f.seed, rand.Uint64())
	var all []*bench.Experiment
	for _, name := range names {
		x, err := f.experiment(name)
		if err != nil {
			return nil, err
		}
		if slices.ContainsFunc(all, func(y *bench.Experiment) bool { return x.Subject.Name == y.Subject.Name }) {
			return nil, fmt.Errorf("scenario %s: given twice", x.Subject.Name)
		}
		all = append(all, x)
	}
	return all, nil
}

// measure runs the experiments. One that is interrupted is the last, and counts if it has a block.
func (f *overheadFlags) measure(ctx context.Context, all []*bench.Experiment, log *result.Log, errOut io.Writer) (*result.Overhead, error) {
	o := &result.Overhead{Version: result.Version, Assay: version(), Start: time.Now()}
	for _, a := range all[0].Arms {
		o.Tools = append(o.Tools, result.BesideTool{Arm: a.Name, Spec: a.Spec})
	}
	progress := newProgress(errOut, f.quiet)
	defer progress.clear()
	ctx = untilInterrupted(ctx)
	for i, x := range all {
		x.Begin = func(e result.Environment) error { return log.AppendEnvironment(&e) }
		x.Record = func(block []result.Record) error { return log.Append(block...) }
		x.Progress = func(p bench.Progress) {
			progress.line(fmt.Sprintf("%s (%d of %d): %s", x.Subject.Name, i+1, len(all), p))
		}
		came, err := runIsolated(ctx, x, errOut)
		switch {
		case err != nil && ctx.Err() != nil && len(o.Workloads) > 0:
			return o, nil // interrupted before the first block of this one
		case err != nil:
			return nil, fmt.Errorf("%s: %w", x.Subject.Name, err)
		}
		if i == 0 {
			o.Environment = came.Environment
		}
		o.Workloads = append(o.Workloads, x.Overheads(came))
	}
	return o, nil
}

// runIsolated runs an experiment with the control group that it wants.
func runIsolated(ctx context.Context, x *bench.Experiment, errOut io.Writer) (o *bench.Outcome, err error) {
	if err := journal(x, errOut); err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, closeJournal(x)) }()
	return x.Run(ctx)
}

// report writes what was found.
func (f *overheadFlags) report(o *result.Overhead, out io.Writer) error {
	if f.html != "" {
		if err := atomicfile.Write(f.html, 0o644, func(w io.Writer) error { return reports.OverheadHTML(w, o) }); err != nil {
			return err
		}
	}
	if f.json {
		return writeJSON(out, o)
	}
	return reports.Overhead(out, o, reports.ComparisonOptions{Markdown: f.markdown, Color: isTerminal(out)})
}
