// SPDX-License-Identifier: Apache-2.0

package design

import "math"

// A Change is a level that is not the reference, of one factor.
type Change struct {
	Factor int // index
	Level  int // index, 1 at least
}

// A Term is an effect that a design can tell.
type Term struct {
	Changes []Change   // one: a main effect; two: an interaction
	Aliases [][]Change // other interactions that add to it

	weights []float64 // of the logarithm of each setting's result; their sum is 0
}

// contrast is the logarithm of the term's effect in a block, from the logarithms of the results of all settings. Of a main effect it is the
// mean at the level less the mean at the reference; of an interaction the difference of two such: what the second change does with the first
// less what it does without.
func (t *Term) contrast(logs []float64) float64 {
	sum := 0.0
	for i, w := range t.weights {
		sum += w * logs[i]
	}
	return sum
}

// Means are the geometric means of the results at the reference and at the level of a main effect, the ratio of which is the effect.
func (t *Term) Means(logs [][]float64) (reference, level float64) {
	for _, block := range logs {
		for i, w := range t.weights {
			reference += min(0, w) * block[i]
			level += max(0, w) * block[i]
		}
	}
	n := float64(len(logs))
	return math.Exp(-reference / n), math.Exp(level / n)
}

// Chain is an interaction of a fraction with its aliases, by the letters of the factors: "AB+CE".
func (t *Term) Chain() string {
	text := letters(t.Changes)
	for _, a := range t.Aliases {
		text += "+" + letters(a)
	}
	return text
}

func letters(changes []Change) string {
	text := ""
	for _, c := range changes {
		text += Letter(c.Factor)
	}
	return text
}

// addTerms adds the terms of a design that has no aliases.
func (d *Design) addTerms() {
	d.addMainTerms()
	if d.Form == OneAtATime {
		return
	}
	for i := range d.Factors {
		for j := i + 1; j < len(d.Factors); j++ {
			d.addInteractions(i, j)
		}
	}
}

func (d *Design) addMainTerms() {
	for i, f := range d.Factors {
		for level := 1; level < len(f.Levels); level++ {
			c := Change{i, level}
			t := Term{Changes: []Change{c}, weights: make([]float64, len(d.Settings))}
			if d.Form == OneAtATime {
				t.weights[0] = -1 // all others have other changes
				d.addMean(&t, 1, c)
			} else {
				d.addMean(&t, 1, c)
				d.addMean(&t, -1, Change{i, 0})
			}
			d.Terms = append(d.Terms, t)
		}
	}
}

// addMean adds to a term's contrast the mean of the settings that have all of some levels, times sign.
func (d *Design) addMean(t *Term, sign float64, levels ...Change) {
	var has []int
	for i, s := range d.Settings {
		if hasAll(s, levels) {
			has = append(has, i)
		}
	}
	for _, i := range has {
		t.weights[i] += sign / float64(len(has))
	}
}

func hasAll(setting []int, levels []Change) bool {
	for _, c := range levels {
		if setting[c.Factor] != c.Level {
			return false
		}
	}
	return true
}

// addInteractions adds those of two factors, one for each pair of levels that are not references.
func (d *Design) addInteractions(i, j int) {
	for a := 1; a < len(d.Factors[i].Levels); a++ {
		for b := 1; b < len(d.Factors[j].Levels); b++ {
			d.Terms = append(d.Terms, d.interaction(Change{i, a}, Change{j, b}))
		}
	}
}

func (d *Design) interaction(a, b Change) Term {
	t := Term{Changes: []Change{a, b}, weights: make([]float64, len(d.Settings))}
	without := func(c Change) Change { return Change{c.Factor, 0} }
	d.addMean(&t, 1, a, b)
	d.addMean(&t, -1, a, without(b))
	d.addMean(&t, -1, without(a), b)
	d.addMean(&t, 1, without(a), without(b))
	return t
}

// addChains adds the interactions of a fraction: those of which the words have the same product are aliases, and one term.
func (d *Design) addChains(words []int) {
	chains := map[int]int{} // product to index in d.Terms
	for i := range words {
		for j := i + 1; j < len(words); j++ {
			a, b := Change{i, 1}, Change{j, 1}
			at, ok := chains[words[i]^words[j]]
			if ok {
				d.Terms[at].Aliases = append(d.Terms[at].Aliases, []Change{a, b})
				continue
			}
			chains[words[i]^words[j]] = len(d.Terms)
			d.Terms = append(d.Terms, d.interaction(a, b))
		}
	}
}
