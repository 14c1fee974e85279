// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"slices"

	"github.com/assaylab/assay/bench/result"
	"github.com/assaylab/assay/bench/stats"
)

// Overheads sums up an experiment as what its arms cost.
func (x *Experiment) Overheads(o *Outcome) result.Overheads {
	s := x.Subject
	all := result.Overheads{
		Scenario: s.Name, Kind: s.Kind.Name, About: s.About, Primary: s.Primary, DurationNS: s.Duration.Nanoseconds(), Seed: x.Seed, Blocks: o.Blocks,
		End: string(o.End),
	}
	for _, arm := range armsOf(o.Records) {
		c := result.Cost{
			Arm: arm, SampleCPU: quantity(o.Records, arm, sampleCPU), WholeCPU: quantity(o.Records, arm, besideAllCPU),
		}
		for i := range o.Comparisons {
			if o.Comparisons[i].Arm == arm {
				addChange(&c, &o.Comparisons[i], s.Primary)
			}
		}
		if c.Blocks > 0 {
			all.Costs = append(all.Costs, c)
		}
	}
	return all
}

// addChange puts a comparison to its place.
func addChange(c *result.Cost, by *result.Comparison, primary string) {
	change := by.Slowdown()
	if by.Metric == primary {
		c.Slowdown, c.Blocks, c.Warnings = change, by.Blocks, by.Warnings
	}
	switch by.Metric {
	case "latency_p50":
		c.P50 = &change
	case "latency_p99":
		c.P99 = &change
	case "cpu_per_op":
		c.CPU = &change
	}
}

// quantity is a counter's median over the trials of an arm; nil where none has it.
func quantity(records []result.Record, arm, counter string) *result.Quantity {
	var values []float64
	for _, r := range records {
		if v, ok := r.Counters[counter]; ok && r.Arm == arm && r.Failed == "" {
			values = append(values, v)
		}
	}
	if len(values) == 0 {
		return nil
	}
	q := spread(values)
	return &q
}

// spread is the median of some values with its interval, or all of them where there are too few for one.
func spread(values []float64) result.Quantity {
	q := result.Quantity{Value: stats.Median(values), Trials: len(values)}
	if q.Low, q.High = stats.MedianInterval(values, stats.Confidence); q.Trials < stats.FewestForMedian {
		q.Low, q.High = slices.Min(values), slices.Max(values)
	}
	return q
}
