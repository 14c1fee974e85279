// SPDX-License-Identifier: Apache-2.0

package reports

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/assaylab/assay/bench/result"
)

func TestBPFCosts(t *testing.T) {
	var b strings.Builder
	if err := BPFCosts(&b, nil, ComparisonOptions{}); err != nil || b.Len() > 0 {
		t.Errorf("of no program: %q, %v", b.String(), err)
	}
	costs := []result.BPFCost{
		{Arm: "assay", Program: "sched_switch", Type: "Tracing", Runs: 4000, NS: 2e6, RunsPerOp: 2, NSPerOp: 1000, CPU: 0.125},
		{Arm: "assay", Program: "x\x1b[31m", Type: "PerfEvent", Runs: 1, NS: 1500, RunsPerOp: 0.0005, NSPerOp: 0.75, CPU: 0.0001},
	}
	if err := BPFCosts(&b, costs, ComparisonOptions{}); err != nil {
		t.Fatal(err)
	}
	want := `
arm    eBPF program  type       runs an operation  an operation  a run   of one CPU
assay  sched_switch  Tracing    2                  1.00µs        500ns   12.50%
assay  x\x1b[31m     PerfEvent  0.0005             1ns           1.50µs  0.01%
`
	if diff := cmp.Diff(want, b.String()); diff != "" {
		t.Error(diff)
	}
}
