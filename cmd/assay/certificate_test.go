// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/assaylab/assay/bench"
	"github.com/assaylab/assay/bench/result"
	"github.com/assaylab/assay/internal/facts"
	"github.com/assaylab/assay/profiler"
)

// overheads is what was found of our recorder and of another tool.
func overheads() *result.Overhead {
	cost := func(arm string, ratio float64) result.Cost {
		return result.Cost{Arm: arm, Blocks: 8, Slowdown: result.Change{Ratio: ratio, Low: ratio - 0.01, High: ratio + 0.01}}
	}
	return &result.Overhead{
		Version: result.Version, Assay: "v1", Start: time.Date(2026, 11, 24, 0, 0, 0, 0, time.UTC), Environment: bench.Machine(),
		Tools: []result.BesideTool{{Arm: "cpu-97", Spec: "assay:cpu@97"}, {Arm: "waits", Spec: "assay:offcpu"}, {Arm: "perf", Spec: "perf record"}},
		Workloads: []result.Overheads{{Scenario: "getpid", Costs: []result.Cost{
			cost("a/a", 1), cost("cpu-97", 1.02), cost("waits", 1.05), cost("perf", 1.03),
		}}},
	}
}

// TestCertificate writes a certificate, which says nothing of tools of others, and quotes it where it holds.
func TestCertificate(t *testing.T) {
	t.Setenv("ASSAY_STATE_DIR", t.TempDir()+"/new")
	quoted := func(freq int, modes ...profiler.Mode) string {
		t.Helper()
		var f facts.Facts
		if err := quoteCertificate(&f, modes, freq); err != nil {
			t.Fatal(err)
		}
		var lines []string
		for _, fact := range f {
			lines = append(lines, fact.Key+"="+fact.Value)
		}
		return strings.Join(lines, "\n")
	}
	if got := quoted(97, profiler.CPU); got != "" {
		t.Errorf("without a certificate: %s", got)
	}
	if err := writeCertificate(overheads()); err != nil {
		t.Fatal(err)
	}
	cpu := "certified.0=cpu: getpid slowed by 2.0% (95%: 1.0% to 3.0%, 8 blocks) on 2026-11-24, assay v1"
	if got := quoted(97, profiler.CPU); got != cpu {
		t.Errorf("got %s, want %s", got, cpu)
	}
	both := cpu + "\ncertified.1=offcpu: getpid slowed by 5.0% (95%: 4.0% to 6.0%, 8 blocks) on 2026-11-24, assay v1"
	if got := quoted(97, profiler.CPU, profiler.OffCPU); got != both {
		t.Errorf("got %s, want %s", got, both)
	}
	if got := quoted(997, profiler.CPU, profiler.Wall); got != "" {
		t.Errorf("at another frequency, in another mode: %s", got)
	}
	kept, err := readCertificate()
	if err != nil || len(kept.Tools) != 2 || slices.ContainsFunc(kept.Workloads[0].Costs, func(c result.Cost) bool { return c.Arm == "perf" }) {
		t.Errorf("kept %+v, %v", kept, err)
	}
	other := overheads()
	other.Environment.ID = "another"
	if err := writeCertificate(other); err != nil {
		t.Fatal(err)
	}
	if got := quoted(97, profiler.CPU); got != "" {
		t.Errorf("that of another machine: %s", got)
	}
}

func TestBadCertificate(t *testing.T) {
	t.Setenv("ASSAY_STATE_DIR", t.TempDir())
	for text, want := range map[string]string{
		"{":               "unexpected EOF; assay overhead --certify writes a new one",
		`{"version": 99}`: "is of version 99; assay overhead --certify writes a new one",
	} {
		if err := os.WriteFile(certificatePath(), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := quoteCertificate(&facts.Facts{}, []profiler.Mode{profiler.CPU}, 97); err == nil || !strings.HasSuffix(err.Error(), want) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
}
