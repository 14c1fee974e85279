// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"fmt"

	"github.com/assaylab/assay/bench/result"
	"github.com/assaylab/assay/bench/stats"
	"github.com/assaylab/assay/scenarios"
)

// Objectives says of each arm whether it kept each objective, the baseline first. An objective on what was not measured is an error.
func Objectives(records []result.Record, slos []scenarios.SLO) ([]result.Objective, error) {
	var all []result.Objective
	for _, slo := range slos {
		for _, arm := range append([]string{Baseline}, armsOf(records)...) {
			o, err := objective(records, arm, slo)
			if err != nil {
				return nil, err
			}
			all = append(all, o)
		}
	}
	return all, nil
}

func objective(records []result.Record, arm string, slo scenarios.SLO) (result.Objective, error) {
	o := result.Objective{Arm: arm, Metric: slo.Metric, Limit: string(slo.Limit), Want: slo.Value, Verdict: result.Undecided}
	var values []float64
	for _, r := range records {
		if m, ok := r.Metrics[slo.Metric]; ok && r.Arm == arm {
			values = append(values, m.Value)
			o.Scenario, o.Unit = r.Scenario, m.Unit
		}
	}
	if len(values) == 0 {
		return o, fmt.Errorf("objective %s: arm %s has no %s", slo, arm, slo.Metric)
	}
	q := spread(values)
	o.Trials, o.Value, o.Low, o.High = q.Trials, q.Value, q.Low, q.High
	if q.Trials < stats.FewestForMedian {
		return o, nil
	}
	switch low, high := slo.Met(o.Low), slo.Met(o.High); {
	case low && high:
		o.Verdict = result.Met
	case !low && !high:
		o.Verdict = result.Broken
	}
	return o, nil
}
