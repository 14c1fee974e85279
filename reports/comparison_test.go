// SPDX-License-Identifier: Apache-2.0

package reports

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/assaylab/assay/bench/result"
)

func comparisons() []result.Comparison {
	return []result.Comparison{
		{
			Metric: "throughput", Unit: "op/s", More: true, Arm: "a/a", Blocks: 12, Baseline: 2_345_678, Value: 2_345_000,
			Ratio: 0.9997, Low: 0.996, High: 1.003, PAdjusted: 0.81, Detectable: 0.004,
		},
		{
			Metric: "throughput", Unit: "op/s", More: true, Arm: "perf", Blocks: 12, Baseline: 2_345_678, Value: 2_111_110,
			Ratio: 0.9, Low: 0.89, High: 0.91, PAdjusted: 0.001, Detectable: 0.004, Warnings: []string{"6 blocks at least\x1b[31m"},
		},
		{Metric: "latency_p99", Unit: "ns", Arm: "tuned", Blocks: 12, Baseline: 81_000, Value: 40_500, Ratio: 0.5, Low: 0.4, High: 0.6, PAdjusted: 0.001},
	}
}

func TestComparisons(t *testing.T) {
	for name, c := range map[string]struct {
		opts ComparisonOptions
		want string
	}{
		"text": {ComparisonOptions{}, `
arm    metric       baseline        arm's           change   95% interval        p (Holm)  verdict
a/a    throughput   2,345,678 op/s  2,345,000 op/s  -0.03%   -0.40% to +0.30%    0.81      no difference found; 0.4% would mostly have been
perf   throughput   2,345,678 op/s  2,111,110 op/s  -10.00%  -11.00% to -9.00%   0.001     worse
tuned  latency_p99  81.0µs          40.5µs          -50.00%  -60.00% to -40.00%  0.001     better

perf, throughput: 6 blocks at least\x1b[31m
`},
		"markdown": {ComparisonOptions{Markdown: true}, `
| arm | metric | baseline | arm's | change | 95% interval | p (Holm) | verdict |
| --- | --- | --- | --- | --- | --- | --- | --- |
| a/a | throughput | 2,345,678 op/s | 2,345,000 op/s | -0.03% | -0.40% to +0.30% | 0.81 | no difference found; 0.4% would mostly have been |
| perf | throughput | 2,345,678 op/s | 2,111,110 op/s | -10.00% | -11.00% to -9.00% | 0.001 | worse |
| tuned | latency_p99 | 81.0µs | 40.5µs | -50.00% | -60.00% to -40.00% | 0.001 | better |

perf, throughput: 6 blocks at least\x1b[31m
`},
	} {
		t.Run(name, func(t *testing.T) {
			var b strings.Builder
			if err := Comparisons(&b, comparisons(), c.opts); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(strings.TrimPrefix(c.want, "\n"), b.String()); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestObjectives(t *testing.T) {
	all := []result.Objective{
		{Arm: "baseline", Metric: "latency_p99", Unit: "ns", Limit: "max", Want: 1e7, Trials: 8, Value: 4.2e6, Low: 4e6, High: 4.5e6, Verdict: result.Met},
		{Arm: "perf\x1b", Metric: "throughput", Unit: "op/s", Limit: "min", Want: 500, Trials: 5, Value: 498, Low: 480, High: 510, Verdict: result.Undecided},
	}
	var b strings.Builder
	if err := Objectives(&b, all, ComparisonOptions{}); err != nil {
		t.Fatal(err)
	}
	want := `arm       objective                median    95% interval          trials  verdict
baseline  latency_p99 max 10.0ms   4.20ms    4.00ms to 4.50ms      8       met
perf\x1b  throughput min 500 op/s  498 op/s  480 op/s to 510 op/s  5       undecided
`
	if diff := cmp.Diff(want, b.String()); diff != "" {
		t.Error(diff)
	}
}
