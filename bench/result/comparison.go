// SPDX-License-Identifier: Apache-2.0

package result

// Unbounded stands for an end of an interval that is not known yet: JSON has no infinity.
const Unbounded = 1e9

// A Comparison is what an experiment says of one arm: by what ratio a metric differs from the baseline, and how sure that is.
type Comparison struct {
	Scenario string `json:"scenario"`
	Metric   string `json:"metric"`
	Unit     string `json:"unit"`
	More     bool   `json:"more_is_better"`
	Arm      string `json:"arm"`
	Blocks   int    `json:"blocks"`

	// Baseline and Value are the medians over the blocks.
	Baseline float64 `json:"baseline"`
	Value    float64 `json:"value"`

	// Ratio is the geometric mean of arm over baseline within a block; Low and High its 95% interval, which holds however often
	// the experiment was looked at before it ended.
	Ratio float64 `json:"ratio"`
	Low   float64 `json:"low"`
	High  float64 `json:"high"`
	// FixedLow and FixedHigh are the interval of the bootstrap (BCa) and the sign-flip test together: narrower, and true only of a number of blocks
	// that was fixed before.
	FixedLow  float64 `json:"fixed_low"`
	FixedHigh float64 `json:"fixed_high"`
	// P is of the permutation test that the arm makes no difference, PAdjusted the same for all arms together (Holm).
	P         float64 `json:"p"`
	PAdjusted float64 `json:"p_adjusted"`
	// Detectable is the smallest difference that would have been found four times in five, as a ratio less 1.
	Detectable float64 `json:"detectable"`
	Outliers   int     `json:"outliers,omitempty"` // blocks far from the others; they count all the same

	Warnings []string `json:"warnings,omitempty"`
}

// Differs says whether the interval leaves 1 out.
func (c *Comparison) Differs() bool { return c.Low > 1 || c.High < 1 }

// BPFCost is what an eBPF program cost in the metered runs of an arm.
type BPFCost struct {
	Arm       string  `json:"arm"`
	Program   string  `json:"program"`
	Type      string  `json:"type"`
	Runs      int64   `json:"runs"`
	NS        float64 `json:"ns"`
	RunsPerOp float64 `json:"runs_per_op"`
	NSPerOp   float64 `json:"ns_per_op"`
	CPU       float64 `json:"cpu"` // share of one CPU
}
