// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func exampleReport() *Report {
	return &Report{
		Environment: Environment{"2026-11-24", "6.18.44", "amd64", 2, "assay devel", "perf version 6.1", "bpftrace v0.17.0"},
		Seed:        7, Rounds: 3,
		Results: []Result{{
			Benchmark: "cpu", About: "Two busy threads.", metrics: []string{"ns", "ms"},
			Arms: []ArmResult{
				{"assay", map[string]Summary{"ns": {1425, 1400, 1500, nil}, "ms": {0.333, 0.3, 20.25, nil}}},
				{"perf", map[string]Summary{"ms": {100, 99.5, 101, nil}}},
			},
			Claims:   []ClaimResult{{Metric: "ms", Arm: "assay", Over: "perf", Rounds: 3, Median: 0.003, Low: 0.002, High: 0.004, Limit: 0.1, Reached: true}},
			Failures: []string{"round 1, perf: aborted"},
		}},
	}
}

const exampleMarkdown = `2026-11-24, Linux 6.18.44 amd64, 2 CPUs; assay devel, perf version 6.1, bpftrace v0.17.0; 3 rounds, seed 7. Medians, with the lowest and highest round.

### cpu

Two busy threads.

| arm | ns | ms |
| --- | --- | --- |
| assay | 1425 (1400–1500) | 0.333 (0.3–20.2) |
| perf | – | 100 (99.5–101) |

- ms, assay / perf: 0.003× [0.002, 0.004]; at most 0.1×: reached (0.03× of the limit)
- failed, and tried again up to twice: round 1, perf: aborted
`

func TestMarkdown(t *testing.T) {
	var b strings.Builder
	if err := exampleReport().markdown(&b); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(exampleMarkdown, b.String()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestJSONKeepsEverything(t *testing.T) {
	var b strings.Builder
	want := exampleReport()
	if err := want.json(&b); err != nil {
		t.Fatal(err)
	}
	got := &Report{}
	if err := json.Unmarshal([]byte(b.String()), got); err != nil {
		t.Fatal(err)
	}
	want.Results[0].metrics = nil // only the order of a table
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(Result{})); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
