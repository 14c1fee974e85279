// SPDX-License-Identifier: Apache-2.0

package result

// A Tuning is what an experiment with knobs says of them.
type Tuning struct {
	Scenario string `json:"scenario"`
	Metric   string `json:"metric"`
	Unit     string `json:"unit"`
	More     bool   `json:"more_is_better"`
	Design   Design `json:"design"`
	Knobs    []Knob `json:"knobs"`

	// Blocks is how many whole blocks the effects rest on, FailedBlocks how many were left out because a trial failed.
	Blocks       int          `json:"blocks"`
	FailedBlocks int          `json:"failed_blocks"`
	End          string       `json:"end"` // why there are no more
	Effects      []KnobEffect `json:"effects"`

	// Changes is whether any knob is recommended to be set to something else than now. Then Confirmation compares the present setting with the
	// recommended one in blocks of their own, and ConfirmationEnd says why there are no more; it is nil where there was no time for any.
	Changes         bool        `json:"changes"`
	Confirmation    *Comparison `json:"confirmation,omitempty"`
	ConfirmationEnd string      `json:"confirmation_end,omitempty"`
}

// A Design is which settings of knobs are tried.
type Design struct {
	Form       string              `json:"form"`    // full factorial, fractional factorial, one at a time
	About      string              `json:"about"`   // with its size, and what it can tell
	Aliases    []string            `json:"aliases"` // sums of interactions that it can't tell apart
	Generators []string            `json:"generators,omitempty"`
	Settings   []map[string]string `json:"settings"` // the value of each knob, by its name; the first has the present ones
}

// A Knob is what is varied.
type Knob struct {
	Name        string   `json:"name"`    // KIND:NAME
	Letter      string   `json:"letter"`  // its name in aliases and generators, where it has one
	Present     string   `json:"present"` // its value before
	Values      []string `json:"values"`  // that were tried, the present one first
	Where       string   `json:"where"`   // what is changed to set it
	HasEffect   bool     `json:"has_effect"`
	Recommended string   `json:"recommended"` // the present one where no effect was found
}

// A KnobEffect is what one value of a knob changes against the present one, on the average of the others' values; or what values of two knobs
// change together beyond the product of what each does.
type KnobEffect struct {
	Knobs  []string `json:"knobs"` // names: one, or two of an interaction
	Values []string `json:"values"`
	Chain  string   `json:"chain,omitempty"` // the sum of interactions that it is a part of, such as AB+CE

	// Present and Value are the geometric means at the present value and at this one; both 0 for an interaction.
	Present float64 `json:"present,omitempty"`
	Value   float64 `json:"value,omitempty"`
	// Ratio is the geometric mean over the blocks; Low and High its 95% interval, which holds however often it was looked at.
	Ratio float64 `json:"ratio"`
	Low   float64 `json:"low"`
	High  float64 `json:"high"`
	// P holds however often it was looked at; PAdjusted is the same for all effects together (Holm).
	P         float64 `json:"p"`
	PAdjusted float64 `json:"p_adjusted"`
	// Found is whether that is more than chance: an adjusted p of at most 0.01, and an interval without 1.
	Found bool `json:"found"`
	// Detectable is the smallest difference that would have been found four times in five, as a ratio less 1.
	Detectable float64  `json:"detectable"`
	Warnings   []string `json:"warnings,omitempty"`
}

// Confirmed is whether the recommended setting was better than the present one when it was measured again.
func (t *Tuning) Confirmed() bool {
	c := t.Confirmation
	return c != nil && c.Differs() && (c.Ratio > 1) == c.More
}
