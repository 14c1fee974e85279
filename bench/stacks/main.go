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
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout, os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, "stacks:", err)
		os.Exit(1)
	}
}

// settings are the flags.
type settings struct {
	assay   string
	options []string // of assay record
	seconds int
	stops   int    // at which a witness looks; 0: record, and don't compare
	perf    string // its --call-graph, when it is the witness; "": gdb is
	json    bool
	cases   []program
}

// run measures the cases that args ask for and writes the table to out, what goes on to errOut.
func run(ctx context.Context, args []string, out, errOut io.Writer) (err error) {
	s, err := parseArgs(args, errOut)
	if errors.Is(err, flag.ErrHelp) {
		return nil
	} else if err != nil {
		return err
	}
	folder, err := os.MkdirTemp("", "assay-stacks-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(folder)) }()
	// The servers run as users of their own.
	if err := errors.Join(os.Chmod(folder, 0o755), os.CopyFS(folder, programs)); err != nil { //nolint:gosec // it holds sources
		return err
	}
	if s.assay == "" {
		s.assay = filepath.Join(folder, "assay")
		if said, err := exec.CommandContext(ctx, "go", "build", "-o", s.assay, "github.com/assaylab/assay/cmd/assay").CombinedOutput(); err != nil {
			return fmt.Errorf("build assay: %w: %s", err, said)
		}
	}
	if s.assay, err = filepath.Abs(s.assay); err != nil { // it runs in folders of its own
		return err
	}
	l := lab{s, folder}
	if s.stops > 0 {
		return report(ctx, s, out, errOut, l.compareStops, stopTable)
	}
	return report(ctx, s, out, errOut, l.measure, table)
}

// report measures all cases, a row each, and writes the rows.
func report[R any](ctx context.Context, s *settings, out, errOut io.Writer, measure func(context.Context, program) R, table func(io.Writer, []R) error) error {
	var rows []R
	for _, c := range s.cases {
		fmt.Fprintln(errOut, c.name)
		r := measure(ctx, c)
		if ctx.Err() != nil {
			break
		}
		rows = append(rows, r)
	}
	if s.json {
		return json.NewEncoder(out).Encode(rows)
	}
	return table(out, rows)
}

func parseArgs(args []string, errOut io.Writer) (*settings, error) {
	s := &settings{}
	fl := flag.NewFlagSet("stacks", flag.ContinueOnError)
	fl.SetOutput(errOut)
	fl.StringVar(&s.assay, "assay", "", "assay to measure (default: built from this module)")
	options := fl.String("record", "", "more flags for assay record, with blanks between")
	duration := fl.Duration("duration", 3*time.Second, "how long each case works, in whole seconds")
	fl.IntVar(&s.stops, "stops", 0, "instead stop each program so often by samples, and compare with what gdb sees")
	fl.StringVar(&s.perf, "perf", "", "compare with what perf record sees in place of gdb; this is its --call-graph, such as dwarf or dwarf,65528")
	fl.BoolVar(&s.json, "json", false, "write JSON instead of Markdown")
	fl.Usage = func() {
		fmt.Fprint(errOut, "usage: stacks [flags] [CASE...]\ncases, of which any part of the name will do:\n")
		for _, c := range corpus() {
			fmt.Fprintf(errOut, "  %s\n", c.name)
		}
		fl.PrintDefaults()
	}
	if err := fl.Parse(args); err != nil {
		return nil, err
	}
	s.options, s.seconds = strings.Fields(*options), int(duration.Seconds())
	if s.seconds < 1 || time.Duration(s.seconds)*time.Second > patience/2 {
		return nil, fmt.Errorf("-duration %s: want 1s to %s", duration, patience/2)
	}
	if s.perf != "" && s.stops == 0 {
		return nil, errors.New("-perf: want -stops, too")
	}
	s.cases = chosen(fl.Args())
	if len(s.cases) == 0 {
		return nil, fmt.Errorf("no case has %q in its name; -h lists them", fl.Args())
	}
	return s, nil
}

// chosen returns the cases that have one of the words in their names; all if there are no words.
func chosen(words []string) []program {
	return slices.DeleteFunc(corpus(), func(c program) bool {
		return len(words) > 0 && !slices.ContainsFunc(words, func(w string) bool { return strings.Contains(c.name, w) })
	})
}
