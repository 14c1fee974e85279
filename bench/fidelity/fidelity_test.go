// SPDX-License-Identifier: Apache-2.0

package main

import (
	"math"
	"strings"
	"testing"
	"time"

	"github.com/assaylab/assay/scenarios/syscall/replay"
	"github.com/assaylab/assay/scenarios/syscall/trace"
)

// TestCompare compares costs that are reckoned by hand.
func TestCompare(t *testing.T) {
	a := map[string]cost{"read": {10, 600}, "write": {10, 400}}
	tests := map[string]struct {
		b          map[string]cost
		ratio, off float64
	}{
		"the same":            {a, 1, 0},
		"all twice as long":   {map[string]cost{"read": {10, 1200}, "write": {10, 800}}, 2, 1},
		"one for the other":   {map[string]cost{"read": {10, 400}, "write": {10, 600}}, 1, 0.4},
		"another call":        {map[string]cost{"read": {10, 600}, "pwrite64": {10, 400}}, 1, 0.8},
		"nothing of one call": {map[string]cost{"read": {10, 600}}, 0.6, 0.4},
	}
	for name, test := range tests {
		if ratio, off := compare(a, test.b); math.Abs(ratio-test.ratio) > 1e-9 || math.Abs(off-test.off) > 1e-9 {
			t.Errorf("%s: ratio %v, error %v, want %v, %v", name, ratio, off, test.ratio, test.off)
		}
	}
}

// TestReport has one of three rounds disturbed: the medians don't show it, the ranges do.
func TestReport(t *testing.T) {
	var all rounds
	for i, live := range []time.Duration{110, 110, 900} {
		recording := &trace.Recording{Calls: []trace.Call{
			{Name: "execve", Duration: time.Second}, {Name: "read", Duration: 100}, {Name: "exit", Duration: trace.Unfinished},
		}}
		f := &replay.Fidelity{Calls: []replay.CallFidelity{
			{Name: "read", Replayed: 1, RecordedTime: 100, ReplayedTime: live, Differ: int64(i)}, {Name: "execve", LeftOut: 2},
		}}
		all = append(all, newRound(recording, f))
	}
	var out strings.Builder
	if err := all.report(&out); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"3 rounds, medians: 1 calls replayed, 2 not, 1 with another result", "| replay to its recording | 1.10 (1.10 to 9.00) | 10.0% (10.0 to 800.0) |",
		"| recording to the one before | 1.00 (1.00 to 1.00) | 0.0% (0.0 to 0.0) |", "medians of each call | 1.10 | 10.0% |", "| read | 1 | 100 | 110 |",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in\n%s", want, out.String())
		}
	}
}

func TestRefused(t *testing.T) {
	for _, args := range [][]string{{}, {"-rounds", "1", "true"}, {"-rounds", "x", "true"}} {
		if err := run(t.Context(), args, &strings.Builder{}, &strings.Builder{}); err == nil || strings.Contains(err.Error(), "\n") {
			t.Errorf("%q: %v, want one line", args, err)
		}
	}
}
