// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/assaylab/assay/bench"
	"github.com/assaylab/assay/scenarios/catalog"
)

// TestMain makes this test program the process that works, too.
func TestMain(m *testing.M) {
	if len(os.Args) != 2 || os.Args[1] != workArgument {
		os.Exit(m.Run())
	}
	if err := bench.Serve(context.Background(), os.Stdin, os.Stdout, catalog.Find); err != nil {
		os.Exit(1)
	}
}

// TestGoesOn runs an experiment, then another one into the same file.
func TestGoesOn(t *testing.T) {
	file := filepath.Join(t.TempDir(), "aa.jsonl")
	for _, n := range []string{"1", "2"} {
		var out bytes.Buffer
		args := []string{"-o", file, "-experiments", n, "-blocks", "6", "-warmup", "0", "-duration", "5ms", "-scenarios", "getpid,cpu-burn"}
		if err := run(t.Context(), args, &out, io.Discard); err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(out.String(), "| all | "+n+" | 0 |") {
			t.Errorf("want %s experiments without a failure:\n%s", n, &out)
		}
	}
	all, err := readTrials(file)
	if err != nil || len(all) != 2 || all[0].Scenario == all[1].Scenario || all[0].Blocks != 6 || len(all[0].Logs) != 6 {
		t.Errorf("%+v, %v", all, err)
	}
}

// TestPlanted finds a slowdown of half of the time. Noise could hide 3% from so short an experiment, but not this.
func TestPlanted(t *testing.T) {
	var out bytes.Buffer
	file := filepath.Join(t.TempDir(), "planted.jsonl")
	args := []string{"-o", file, "-experiments", "1", "-slowdown", "1", "-warmup", "0", "-duration", "20ms", "-scenarios", "small-reads"}
	if err := run(t.Context(), args, &out, io.Discard); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(out.String(), "| all | 1 | 0 | 1 of 1 | 0 of 1 |") {
		t.Errorf("not found:\n%s", &out)
	}
}

// TestReport counts what intervals hold.
func TestReport(t *testing.T) {
	s := &settings{}
	all := []trial{
		{Scenario: "a", Low: 0.9, High: 1.1, FixedLow: 0.95, FixedHigh: 1.05, Logs: []float64{0.1, -0.1, 0.1}, Places: []int{1, -1, 1}},
		{Scenario: "a", Low: 0.9, High: 1.1, FixedLow: 1.01, FixedHigh: 1.05, Found: true, Logs: []float64{0.1, -0.1, 0.1}, Places: []int{1, -1, 1}},
		{Scenario: "b", Failed: "no room"},
	}
	var out bytes.Buffer
	if err := s.report(all, &out); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"| a | 2 | 0 | 1 of 2 | 2 of 2 | 1 of 2 | 11.55% | 10.00% ± 0.00 | -0.67 ± 0.00 |\n",
		"| b | 1 | 1 | – | – | – | – | – | – |\n",
		"| all | 3 | 1 | 1 of 2 |",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in\n%s", want, &out)
		}
	}
}

// TestArguments refuses what can't be run.
func TestArguments(t *testing.T) {
	for _, args := range []string{"", "-o x -blocks 5", "-o x -scenarios nothing", "-o x -slowdown 0.1 -scenarios cpu-burn", "-o x more"} {
		if err := run(t.Context(), strings.Fields(args), io.Discard, io.Discard); err == nil {
			t.Errorf("%q: no error", args)
		}
	}
}
