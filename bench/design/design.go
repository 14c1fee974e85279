// SPDX-License-Identifier: Apache-2.0

package design

import (
	"errors"
	"fmt"
	"math/bits"
	"slices"
	"strings"
)

// A Factor is something that can be set.
type Factor struct {
	Name   string
	Levels []string // two at least, all different; the first is the reference
}

// Form is how settings were chosen.
type Form string

// The forms of designs, from the one that tells most to the one that tells least.
const (
	Full       Form = "full factorial"       // every combination of levels
	Fraction   Form = "fractional factorial" // a part of them, chosen so that main effects have no aliases among interactions of two
	OneAtATime Form = "one at a time"        // the reference, and each level by itself
)

// Bounds of a design.
const (
	MaxFull     = 32 // settings up to which all are tried, and of a fraction
	MaxSettings = 64
)

// A Design is the settings to try.
type Design struct {
	Form     Form
	Factors  []Factor
	Settings [][]int // for each factor the index of its level; the first setting has the reference of all
	// Generators say how a fraction was made: "E=ABC" sets the fifth factor by the product of the first three. [Letter] names factors.
	Generators []string
	Terms      []Term
}

// New chooses the settings for factors: all combinations if there are at most [MaxFull]; else, if all factors have two levels and there are at
// most 16 of them, a fraction of resolution IV; else one factor at a time.
//
// The fraction is the one of Box and Hunter ("The 2^(k-p) fractional factorial designs, part I", Technometrics 3, 1961, section 6): of q factors
// all combinations are tried, and each other factor is set by the product of three or five of those. All these words have an odd number of
// letters, and the product of two words an even one: so no main effect is the alias of an interaction of two.
func New(factors []Factor) (*Design, error) {
	if err := check(factors); err != nil {
		return nil, err
	}
	d := &Design{Factors: factors}
	switch {
	case combinations(factors) <= MaxFull:
		d.Form, d.Settings = Full, all(factors)
	case twoLevels(factors) && len(factors) <= MaxFull/2:
		d.fraction()
		return d, nil
	default:
		d.Form, d.Settings = OneAtATime, oneByOne(factors)
	}
	if len(d.Settings) > MaxSettings {
		return nil, fmt.Errorf("%d settings, one factor at a time: want at most %d; try fewer values", len(d.Settings), MaxSettings)
	}
	d.addTerms()
	return d, nil
}

func check(factors []Factor) error {
	if len(factors) == 0 {
		return errors.New("nothing to try: want a factor at least")
	}
	names := map[string]bool{}
	for _, f := range factors {
		if names[f.Name] {
			return fmt.Errorf("%s is given twice; want it once, with all its values", f.Name)
		}
		names[f.Name] = true
		levels := slices.Compact(slices.Sorted(slices.Values(f.Levels)))
		if len(levels) < 2 || len(levels) < len(f.Levels) {
			return fmt.Errorf("%s: values %s: want two at least, each once", f.Name, strings.Join(f.Levels, ", "))
		}
	}
	return nil
}

// combinations multiplies the levels, up to one more than are ever tried.
func combinations(factors []Factor) int {
	n := 1
	for _, f := range factors {
		n = min(n*len(f.Levels), MaxFull+1)
	}
	return n
}

func twoLevels(factors []Factor) bool {
	return !slices.ContainsFunc(factors, func(f Factor) bool { return len(f.Levels) != 2 })
}

// all counts through all combinations, the last factor fastest.
func all(factors []Factor) [][]int {
	settings := [][]int{{}}
	for _, f := range factors {
		var longer [][]int
		for _, s := range settings {
			for level := range f.Levels {
				longer = append(longer, append(slices.Clone(s), level))
			}
		}
		settings = longer
	}
	return settings
}

// oneByOne is the reference, then each other level of each factor with the reference of the others.
func oneByOne(factors []Factor) [][]int {
	settings := [][]int{make([]int, len(factors))}
	for i, f := range factors {
		for level := 1; level < len(f.Levels); level++ {
			s := make([]int, len(factors))
			s[i] = level
			settings = append(settings, s)
		}
	}
	return settings
}

// fraction makes the settings and terms of a fraction.
func (d *Design) fraction() {
	d.Form = Fraction
	words := oddWords(len(d.Factors))
	base := bits.Len(uint(slices.Max(words)))
	for i := base; i < len(words); i++ {
		d.Generators = append(d.Generators, Letter(i)+"="+spell(words[i]))
	}
	for run := range 1 << base {
		s := make([]int, len(words))
		for i, w := range words {
			s[i] = bits.OnesCount(uint(run&w)) % 2
		}
		d.Settings = append(d.Settings, s)
	}
	d.addMainTerms()
	d.addChains(words)
}

// oddWords returns n sets of letters, as bits, of an odd number of letters each, single letters first, of as few different letters as will do.
func oddWords(n int) []int {
	letters := 1
	for 1<<(letters-1) < n {
		letters++
	}
	var words []int
	for size := 1; size <= letters; size += 2 {
		for w := range 1 << letters {
			if bits.OnesCount(uint(w)) == size {
				words = append(words, w)
			}
		}
	}
	return words[:n]
}

// Letter is the name of a factor, by its index, in generators and aliases: A to Q without I, which means the mean.
func Letter(i int) string { return "ABCDEFGHJKLMNOPQ"[i : i+1] }

func spell(word int) string {
	text := ""
	for i := range bits.Len(uint(word)) {
		if word>>i&1 == 1 {
			text += Letter(i)
		}
	}
	return text
}

// String names the design with what it can tell.
func (d *Design) String() string {
	n := len(d.Settings)
	switch d.Form {
	case Full:
		return fmt.Sprintf("full factorial, %d settings: main effects and all interactions of two", n)
	case Fraction:
		k := len(d.Factors)
		return fmt.Sprintf("fractional factorial 2^(%d-%d) of resolution IV, %d settings: main effects clear of interactions of two; those of two in sums",
			k, len(d.Generators), n)
	}
	return fmt.Sprintf("one at a time, %d settings: main effects beside the reference of the others, no interactions", n)
}
