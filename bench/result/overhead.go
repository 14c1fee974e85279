// SPDX-License-Identifier: Apache-2.0

package result

import "time"

// An Overhead is what some things that run beside workloads cost, measured on one machine. Those of our own recorder are its certificate.
type Overhead struct {
	Version     int          `json:"version"`
	Assay       string       `json:"assay"` // version of the program that measured, and was measured
	Start       time.Time    `json:"start"`
	Environment Environment  `json:"environment"`
	Workloads   []Overheads  `json:"workloads"`
	Tools       []BesideTool `json:"tools"`
}

// A BesideTool is something that ran beside the workloads.
type BesideTool struct {
	Arm  string `json:"arm"`
	Spec string `json:"spec"` // as it was started
}

// Overheads are the costs on one workload.
type Overheads struct {
	Scenario   string `json:"scenario"`
	Kind       string `json:"kind"`
	About      string `json:"about"`
	Primary    string `json:"primary"` // metric by which slowdown is told
	DurationNS int64  `json:"duration_ns"`
	Seed       uint64 `json:"seed"`
	Blocks     int    `json:"blocks"`
	End        string `json:"end"`   // why there were not more
	Costs      []Cost `json:"costs"` // A/A first
}

// A Cost is what one arm costs on one workload.
type Cost struct {
	Arm    string `json:"arm"`
	Blocks int    `json:"blocks"`
	// Slowdown is by what ratio the primary metric is worse than the baseline's: 1.03 is 3% slower, whichever way the metric goes.
	Slowdown Change  `json:"slowdown"`
	P50      *Change `json:"latency_p50,omitempty"`
	P99      *Change `json:"latency_p99,omitempty"`
	CPU      *Change `json:"cpu_per_op,omitempty"` // of the workload's processes
	// SampleCPU is the CPU time that the tool's own process took in a trial for each sample that it took, in nanoseconds.
	SampleCPU *Quantity `json:"cpu_ns_a_sample,omitempty"`
	// WholeCPU is the CPU time of the tool's process from its start to its end, in seconds.
	WholeCPU *Quantity `json:"whole_cpu_s,omitempty"`
	Warnings []string  `json:"warnings,omitempty"`
}

// A Change is a ratio to the baseline, with its 95% interval that holds at any look.
type Change struct {
	Ratio float64 `json:"ratio"`
	Low   float64 `json:"low"`
	High  float64 `json:"high"`
	P     float64 `json:"p"` // adjusted for all arms of the metric
}

// A Quantity is the median over trials, with a 95% interval by order statistics; the least and the largest with fewer than 6.
type Quantity struct {
	Value  float64 `json:"value"`
	Low    float64 `json:"low"`
	High   float64 `json:"high"`
	Trials int     `json:"trials"`
}

// Slowdown turns a change into how much slower that is: of a metric of which more is better, it is the inverse.
func (c *Comparison) Slowdown() Change {
	if !c.More {
		return Change{c.Ratio, c.Low, c.High, c.PAdjusted}
	}
	return Change{1 / c.Ratio, 1 / c.High, min(1/c.Low, Unbounded), c.PAdjusted}
}

// Differs says whether the interval leaves 1 out.
func (c *Change) Differs() bool { return c.Low > 1 || c.High < 1 }

// Known says whether there were blocks enough for an interval.
func (c *Change) Known() bool { return c.High < Unbounded }
