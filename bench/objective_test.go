// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"strings"
	"testing"

	"github.com/assaylab/assay/bench/result"
	"github.com/assaylab/assay/scenarios"
)

func TestObjectives(t *testing.T) {
	records := func(arm string, values ...float64) (all []result.Record) {
		for i, v := range values {
			all = append(all, result.Record{Scenario: "s", Arm: arm, Block: i, Metrics: map[string]result.Metric{"latency_p99": {Value: v, Unit: "ns"}}})
		}
		return all
	}
	rs := append(records(Baseline, 1, 2, 3, 4, 5, 6), records("slow", 11, 12, 13, 14, 15, 16)...)
	rs = append(rs, records("even", 8, 9, 10, 11, 12, 13)...)
	rs = append(rs, records("few", 1, 2)...)
	got, err := Objectives(rs, []scenarios.SLO{{Metric: "latency_p99", Limit: scenarios.Max, Value: 10}})
	if err != nil {
		t.Fatal(err)
	}
	want := []result.Objective{
		{Arm: Baseline, Trials: 6, Value: 3.5, Low: 1, High: 6, Verdict: result.Met},
		{Arm: "even", Trials: 6, Value: 10.5, Low: 8, High: 13, Verdict: result.Undecided},
		{Arm: "few", Trials: 2, Value: 1.5, Low: 1, High: 2, Verdict: result.Undecided},
		{Arm: "slow", Trials: 6, Value: 13.5, Low: 11, High: 16, Verdict: result.Broken},
	}
	for i, w := range want {
		w.Scenario, w.Metric, w.Unit, w.Limit, w.Want = "s", "latency_p99", "ns", "max", 10
		if i >= len(got) || got[i] != w {
			t.Errorf("objective %d: %+v, want %+v", i, got[min(i, len(got)-1)], w)
		}
	}
	_, err = Objectives(rs, []scenarios.SLO{{Metric: "throughput", Limit: scenarios.Min, Value: 1}})
	if err == nil || !strings.Contains(err.Error(), "objective throughput min 1: arm baseline has no throughput") {
		t.Errorf("what was not measured: %v", err)
	}
}
