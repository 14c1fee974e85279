// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"slices"

	"github.com/assaylab/assay/bench/result"
	"github.com/assaylab/assay/bench/stats"
)

// also are the metrics that are compared beside the primary one, where they were measured.
var also = []string{"throughput", "latency_p50", "latency_p99", "cpu_per_op"}

// Compare says of each arm how it differs from the baseline, in the primary metric first. Blocks in which either failed are left out, with
// a warning. P-values are adjusted for all arms of a metric together.
func Compare(records []result.Record, primary string, seed uint64) ([]result.Comparison, error) {
	metrics := []string{primary}
	for _, m := range also {
		if m != primary {
			metrics = append(metrics, m)
		}
	}
	var all []result.Comparison
	for _, metric := range metrics {
		family, err := compareMetric(records, metric, seed)
		if err != nil {
			return nil, err
		}
		if metric == primary && len(family) == 0 {
			return nil, errNoBlocks
		}
		all = append(all, family...)
	}
	return all, nil
}

// compareMetric compares all arms in one metric.
func compareMetric(records []result.Record, metric string, seed uint64) ([]result.Comparison, error) {
	var family []result.Comparison
	var ps []float64
	for _, arm := range armsOf(records) {
		p := pair(records, arm, metric)
		if len(p.arm) == 0 {
			continue
		}
		e, err := stats.Paired(p.arm, p.baseline, seed)
		if err != nil {
			return nil, fmt.Errorf("%s of arm %s: %w", metric, arm, err)
		}
		c := comparison(e, p)
		c.Metric, c.Arm = metric, arm
		family = append(family, c)
		ps = append(ps, c.P)
	}
	for i, p := range stats.Holm(ps) {
		family[i].PAdjusted = p
	}
	return family, nil
}

func comparison(e stats.Effect, p paired) result.Comparison {
	c := result.Comparison{
		Scenario: p.scenario, Unit: p.unit, More: p.more, Blocks: e.Blocks, Baseline: stats.Median(p.baseline), Value: stats.Median(p.arm),
		Ratio: e.Ratio, Low: e.Low, High: min(e.High, result.Unbounded), FixedLow: e.FixedLow, FixedHigh: min(e.FixedHigh, result.Unbounded),
		P: e.AlwaysP, Detectable: min(e.Detectable, result.Unbounded), Outliers: len(e.Outliers), Warnings: e.Warnings,
	}
	if p.failed > 0 {
		c.Warnings = append(c.Warnings, fmt.Sprintf("%d blocks in which it or the baseline failed are left out", p.failed))
	}
	return c
}

// armsOf lists the arms but the baseline, A/A first, in the order in which they came.
func armsOf(records []result.Record) []string {
	var arms []string
	for _, r := range records {
		if r.Arm != Baseline && !slices.Contains(arms, r.Arm) {
			arms = append(arms, r.Arm)
		}
	}
	slices.SortFunc(arms, func(a, b string) int {
		rank := func(s string) int {
			if s == SameAgain {
				return 0
			}
			return 1
		}
		return cmp.Or(cmp.Compare(rank(a), rank(b)), cmp.Compare(a, b))
	})
	return arms
}

// paired are the values of an arm and of the baseline, block by block.
type paired struct {
	arm, baseline  []float64
	scenario, unit string
	more           bool
	failed         int
}

// pair collects the blocks that have a metric in both arms.
func pair(records []result.Record, arm, metric string) paired {
	values := map[int][2]*result.Record{}
	for i, r := range records {
		v := values[r.Block]
		switch r.Arm {
		case Baseline:
			v[0] = &records[i]
		case arm:
			v[1] = &records[i]
		}
		values[r.Block] = v
	}
	var p paired
	for _, block := range slices.Sorted(maps.Keys(values)) {
		v := values[block]
		if v[0] == nil || v[1] == nil {
			continue
		}
		a, okA := v[1].Metrics[metric]
		b, okB := v[0].Metrics[metric]
		switch {
		case v[0].Failed != "" || v[1].Failed != "":
			p.failed++
		case okA && okB && a.Value > 0 && b.Value > 0:
			p.arm, p.baseline = append(p.arm, a.Value), append(p.baseline, b.Value)
			p.scenario, p.unit, p.more = v[0].Scenario, b.Unit, b.More
		}
	}
	return p
}

// widest is half the width of the widest interval of the primary metric, as a ratio less 1; infinite before all can be told.
func (x *Experiment) widest() float64 {
	if x.Width != nil {
		return x.Width(x.records)
	}
	widest := 0.0
	for _, arm := range armsOf(x.records) {
		p := pair(x.records, arm, x.Subject.Primary)
		logs, err := stats.LogRatios(p.arm, p.baseline)
		if err != nil || len(logs) == 0 {
			return math.Inf(1)
		}
		s := stats.NewSequence(stats.Confidence)
		for _, l := range logs {
			s.Add(l)
		}
		widest = max(widest, math.Expm1(s.Width()/2))
	}
	return widest
}
