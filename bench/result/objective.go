// SPDX-License-Identifier: Apache-2.0

package result

// A Verdict is what trials say of an objective.
type Verdict string

// The verdicts.
const (
	Met       Verdict = "met"       // all of the interval keeps it
	Broken    Verdict = "broken"    // none of it does
	Undecided Verdict = "undecided" // the limit is within it: it takes more blocks
)

// An Objective is whether an arm kept a service level objective of the scenario.
type Objective struct {
	Scenario string  `json:"scenario"`
	Arm      string  `json:"arm"`
	Metric   string  `json:"metric"`
	Unit     string  `json:"unit"`
	Limit    string  `json:"limit"` // max or min
	Want     float64 `json:"want"`
	Trials   int     `json:"trials"`
	// Value is the median over the trials; Low and High hold that of the distribution with 95% confidence, by order statistics. With
	// fewer than 6 trials nothing does, and they are the least and the largest.
	Value   float64 `json:"value"`
	Low     float64 `json:"low"`
	High    float64 `json:"high"`
	Verdict Verdict `json:"verdict"`
}
