// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"time"
)

func main() {
	if err := run(os.Args[1:], os.Stdout, os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, "peers:", err)
		os.Exit(1)
	}
}

// settings are the flags.
type settings struct {
	rounds   int
	seed     uint64
	duration time.Duration
	json     bool
	assay    string
	names    []string
}

// run measures what args ask for and writes the report to out, what goes on to errOut. Its error also tells of limits that were not
// reached, after everything was measured and written.
func run(args []string, out, errOut io.Writer) (err error) {
	s, err := parseArgs(args, errOut)
	if errors.Is(err, flag.ErrHelp) {
		return nil
	} else if err != nil {
		return err
	}
	lab, err := newLab(s)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(lab.dir)) }()
	report := Report{Environment: environment(lab), Seed: s.seed, Rounds: s.rounds}
	for _, b := range benchmarks {
		if len(s.names) > 0 && !slices.Contains(s.names, b.name) {
			continue
		}
		result, err := b.measure(lab, rand.New(rand.NewPCG(s.seed, 0)), errOut)
		if err != nil {
			return fmt.Errorf("%s: %w", b.name, err)
		}
		report.Results = append(report.Results, result)
	}
	write := report.markdown
	if s.json {
		write = report.json
	}
	return errors.Join(write(out), report.verdict())
}

func parseArgs(args []string, errOut io.Writer) (*settings, error) {
	s := &settings{}
	fl := flag.NewFlagSet("peers", flag.ContinueOnError)
	fl.SetOutput(errOut)
	fl.IntVar(&s.rounds, "rounds", 5, "rounds; each runs every arm once")
	fl.Uint64Var(&s.seed, "seed", uint64(time.Now().UnixNano()), "seed of the order of arms and of the bootstrap")
	fl.DurationVar(&s.duration, "duration", 6*time.Second, "length of a recording, where it matters")
	fl.BoolVar(&s.json, "json", false, "write JSON instead of Markdown")
	fl.StringVar(&s.assay, "assay", "", "assay to measure (default: built from this module)")
	fl.Usage = func() {
		fmt.Fprintf(errOut, "usage: peers [flags] [BENCHMARK...]\nbenchmarks: %s\n", strings.Join(benchmarkNames(), " "))
		fl.PrintDefaults()
	}
	if err := fl.Parse(args); err != nil {
		return nil, err
	}
	s.names = fl.Args()
	return s, s.check()
}

func (s *settings) check() error {
	for _, name := range s.names {
		if !slices.Contains(benchmarkNames(), name) {
			return fmt.Errorf("benchmark %q: want one of %s", name, strings.Join(benchmarkNames(), " "))
		}
	}
	if s.rounds < 1 {
		return fmt.Errorf("%d rounds: want at least 1", s.rounds)
	}
	if s.duration < 2*time.Second {
		return fmt.Errorf("duration %v: want at least 2s", s.duration)
	}
	return nil
}

func benchmarkNames() []string {
	names := make([]string, len(benchmarks))
	for i, b := range benchmarks {
		names[i] = b.name
	}
	return names
}
