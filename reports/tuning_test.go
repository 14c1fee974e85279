// SPDX-License-Identifier: Apache-2.0

package reports

import (
	"io"
	"testing"

	"github.com/assaylab/assay/bench/result"
)

func tuning() *result.Tuning {
	return &result.Tuning{
		Scenario: "tcp-loss", Metric: "throughput", Unit: "op/s", More: true, Blocks: 12, FailedBlocks: 1, End: "the budget is spent",
		Design: result.Design{
			Form: "full factorial", About: "full factorial, 4 settings: main effects and all interactions of two",
			Settings: []map[string]string{
				{"sysctl:net.a": "cubic", "env:B": ""},
				{"sysctl:net.a": "cubic", "env:B": "1"},
				{"sysctl:net.a": "bbr", "env:B": ""},
				{"sysctl:net.a": "bbr", "env:B": "1"},
			},
		},
		Knobs: []result.Knob{
			{Name: "sysctl:net.a", Present: "cubic", Values: []string{"cubic", "bbr"}, Where: "workload", HasEffect: true, Recommended: "bbr"},
			{Name: "env:B", Present: "", Values: []string{"", "1"}, Where: "workload"},
		},
		Effects: []result.KnobEffect{
			{
				Knobs: []string{"sysctl:net.a"}, Values: []string{"bbr"}, Present: 800, Value: 12_000,
				Ratio: 15, Low: 12, High: 18.75, P: 1e-5, PAdjusted: 3e-5, Found: true, Detectable: 0.4,
			},
			{
				Knobs: []string{"env:B"}, Values: []string{"1"}, Present: 3100, Value: 3098, Ratio: 0.9993, Low: 0.98, High: 1.019, P: 0.9, PAdjusted: 1,
				Detectable: 0.021, Warnings: []string{"far from the other blocks: block 3; counted all the same"},
			},
			{
				Knobs: []string{"sysctl:net.a", "env:B"}, Values: []string{"bbr", "1"}, Ratio: 0.9, Low: 0.85, High: 0.95, P: 0.002, PAdjusted: 0.004,
				Found: true, Detectable: 0.07, Chain: "AB+CD",
			},
		},
		Changes: true, ConfirmationEnd: "as precise as asked",
		Confirmation: &result.Comparison{
			Metric: "throughput", Unit: "op/s", More: true, Blocks: 8, Baseline: 790, Value: 11_500, Ratio: 14.5, Low: 12.5, High: 16.8,
		},
	}
}

func TestTuning(t *testing.T) {
	unconfirmed := tuning()
	unconfirmed.Confirmation.Low = 0.9
	noTime := tuning()
	noTime.Confirmation, noTime.ConfirmationEnd = nil, ""
	nothing := tuning()
	nothing.Changes, nothing.Confirmation, nothing.Effects, nothing.More = false, nil, nothing.Effects[1:2], false
	for name, c := range map[string]struct {
		t    *result.Tuning
		opts ComparisonOptions
	}{
		"text.txt":        {tuning(), ComparisonOptions{}},
		"text.md":         {tuning(), ComparisonOptions{Markdown: true}},
		"unconfirmed.txt": {unconfirmed, ComparisonOptions{}},
		"no-time.txt":     {noTime, ComparisonOptions{}},
		"nothing.txt":     {nothing, ComparisonOptions{}},
	} {
		t.Run(name, func(t *testing.T) {
			golden(t, "tuning-"+name, func(w io.Writer) error { return Tuning(w, c.t, c.opts) })
		})
	}
}

func TestTuningPlan(t *testing.T) {
	fraction := tuning()
	fraction.Design.Generators, fraction.Design.Aliases = []string{"B=A"}, []string{"AB+CD"}
	fraction.Knobs[0].Letter, fraction.Knobs[1].Letter = "A", "B"
	golden(t, "tuning-plan.txt", func(w io.Writer) error { return TuningPlan(w, tuning(), ComparisonOptions{}) })
	golden(t, "tuning-plan-fraction.md", func(w io.Writer) error { return TuningPlan(w, fraction, ComparisonOptions{Markdown: true}) })
}
