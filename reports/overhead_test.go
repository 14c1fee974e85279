// SPDX-License-Identifier: Apache-2.0

package reports

import (
	"io"
	"testing"
	"time"

	"github.com/assaylab/assay/bench/result"
)

func overheadOf() *result.Overhead {
	changed := func(ratio, low, high float64) *result.Change {
		return &result.Change{Ratio: ratio, Low: low, High: high, P: 0.01}
	}
	return &result.Overhead{
		Version: 1, Assay: "v1", Start: time.Date(2026, 11, 24, 16, 0, 0, 0, time.UTC),
		Environment: result.Environment{ID: "abc", Facts: map[string]string{
			"kernel": "6.18", "cpus": "2", "cpu_model": "AMD EPYC", "arch": "amd64",
		}, Warnings: []string{"others use 7%: stop them\x1b"}},
		Tools: []result.BesideTool{{Arm: "cpu-97", Spec: "assay:cpu@97"}, {Arm: "<perf>", Spec: "perf record -a && echo <b>\x1b"}},
		Workloads: []result.Overheads{
			{
				Scenario: "tcp-rr", Kind: "network/rr", Primary: "latency_p50", DurationNS: 5e8, Seed: 7, Blocks: 8, End: "the budget is spent",
				Costs: []result.Cost{
					{Arm: "a/a", Blocks: 8, Slowdown: *changed(1.001, 0.99, 1.012), P50: changed(1.001, 0.99, 1.012)},
					{
						Arm: "cpu-97", Blocks: 8, Slowdown: *changed(1.02, 1.01, 1.03), P50: changed(1.02, 1.01, 1.03), P99: changed(1.4, 0.9, 1.9), CPU: changed(1.01, 1.005, 1.015),
						SampleCPU: &result.Quantity{Value: 2840, Low: 2700, High: 3000, Trials: 8}, WholeCPU: &result.Quantity{Value: 0.054, Low: 0.05, High: 0.06, Trials: 8},
					},
				},
			},
			{Scenario: "getpid", Kind: "syscall/storm", Primary: "throughput", DurationNS: 5e8, Seed: 7, Blocks: 2, End: "interrupted", Costs: []result.Cost{
				{Arm: "<perf>", Blocks: 2, Slowdown: *changed(1.5, 0, result.Unbounded)},
			}},
		},
	}
}

func TestOverhead(t *testing.T) {
	golden(t, "overhead.txt", func(w io.Writer) error { return Overhead(w, overheadOf(), ComparisonOptions{}) })
	golden(t, "overhead.md", func(w io.Writer) error { return Overhead(w, overheadOf(), ComparisonOptions{Markdown: true}) })
	golden(t, "overhead.html", func(w io.Writer) error { return OverheadHTML(w, overheadOf()) })
}
