// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/assaylab/assay/bench"
	"github.com/assaylab/assay/scenarios"
	"github.com/assaylab/assay/scenarios/catalog"
	"github.com/assaylab/assay/scenarios/library"
)

// workArgument makes this program the process that works in a trial.
const workArgument = "work"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	var err error
	if len(os.Args) == 2 && os.Args[1] == workArgument {
		err = bench.Serve(ctx, os.Stdin, os.Stdout, catalog.Find)
	} else {
		err = run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "coverage:", err)
		os.Exit(1)
	}
}

// settings are the flags.
type settings struct {
	file        string
	experiments int
	limit       time.Duration
	blocks      int
	warmup      time.Duration
	duration    time.Duration
	slowdown    float64
	seed        uint64
	names       string
	scenarios   []*scenarios.Scenario
}

// run does what args ask for, writes the report to out and what goes on to errOut.
func run(ctx context.Context, args []string, out, errOut io.Writer) error {
	s, err := parseArgs(args, errOut)
	if errors.Is(err, flag.ErrHelp) {
		return nil
	} else if err != nil {
		return err
	}
	trials, err := readTrials(s.file)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, s.limit)
	defer cancel()
	for len(trials) < s.experiments && ctx.Err() == nil {
		t, err := s.experiment(ctx, len(trials))
		if ctx.Err() != nil {
			break
		}
		if err != nil {
			return err
		}
		if err := appendTrial(s.file, t); err != nil {
			return err
		}
		fmt.Fprintf(errOut, "%d of %d: %s\n", len(trials)+1, s.experiments, t)
		trials = append(trials, *t)
	}
	return s.report(trials, out)
}

func parseArgs(args []string, errOut io.Writer) (*settings, error) {
	s := &settings{}
	fl := flag.NewFlagSet("coverage", flag.ContinueOnError)
	fl.SetOutput(errOut)
	fl.StringVar(&s.file, "o", "", "file of the experiments, a line each; goes on with those that are there")
	fl.IntVar(&s.experiments, "experiments", 200, "how many experiments, those in the file among them")
	fl.DurationVar(&s.limit, "limit", time.Hour, "the most time that it may take; an experiment that has not ended by then doesn't count")
	fl.IntVar(&s.blocks, "blocks", 10, "blocks of an experiment without a slowdown")
	fl.DurationVar(&s.warmup, "warmup", 50*time.Millisecond, "work before each trial")
	fl.DurationVar(&s.duration, "duration", 100*time.Millisecond, "length of a trial")
	fl.Float64Var(&s.slowdown, "slowdown", 0, "share by which operations of an arm take longer, such as 0.03; 0: compare the baseline with itself")
	fl.Uint64Var(&s.seed, "seed", 1, "of the first experiment; the others count up from it")
	fl.StringVar(&s.names, "scenarios", "", "of the library, with commas (default: all; with a slowdown, those that can have one)")
	if err := fl.Parse(args); err != nil {
		return nil, err
	}
	if s.file == "" || s.experiments < 1 || s.blocks < 6 || s.duration <= 0 || s.warmup < 0 || s.slowdown < 0 || fl.NArg() > 0 {
		return nil, errors.New("want -o FILE, an experiment and six blocks at least, and no argument")
	}
	return s, s.chooseScenarios()
}

func (s *settings) chooseScenarios() error {
	kinds := catalog.Kinds()
	var wanted []string
	if s.names != "" {
		wanted = strings.Split(s.names, ",")
	}
	all, err := library.All(kinds)
	if err != nil {
		return err
	}
	for _, name := range wanted {
		if _, err := library.Find(name, kinds); err != nil {
			return err
		}
	}
	for _, c := range all {
		named := slices.Contains(wanted, c.Name)
		if (named || len(wanted) == 0) && (s.slowdown == 0 || canSpin(c.Kind)) {
			s.scenarios = append(s.scenarios, c)
		}
	}
	if len(s.scenarios) == 0 {
		return errors.New("none of these scenarios can have a slowdown")
	}
	return nil
}

// spinParam is what plants a slowdown.
const spinParam = "spin"

func canSpin(k *scenarios.Kind) bool {
	return slices.ContainsFunc(k.Params, func(p scenarios.Param) bool { return p.Name == spinParam })
}

// readTrials reads the experiments of a file; none if there is no file.
func readTrials(path string) ([]trial, error) {
	f, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var all []trial
	for dec := json.NewDecoder(f); ; {
		var t trial
		if err := dec.Decode(&t); errors.Is(err, io.EOF) {
			return all, nil
		} else if err != nil {
			return nil, fmt.Errorf("%s: experiment %d: %w", path, len(all)+1, err)
		}
		all = append(all, t)
	}
}

func appendTrial(path string, t *trial) error {
	line, err := json.Marshal(t)
	if err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	_, err = f.Write(append(line, '\n'))
	return errors.Join(err, f.Close())
}
