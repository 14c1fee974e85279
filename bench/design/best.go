// SPDX-License-Identifier: Apache-2.0

package design

import "slices"

// Best returns the setting to recommend, as the index of a level for each factor. A factor of which no effect was found keeps its reference, and so
// does a level that isn't better. Where every combination was tried, it is the one with the best mean of those that only differ in what was found,
// so that interactions count; else each factor has the best of its levels. more says that larger results are better.
//
// The best of several looks better than it is, for luck helped it to be the best. So its gain has to be measured again.
func (d *Design) Best(effects []Effect, logs [][]float64, more bool) []int {
	if !more {
		return d.Best(effects, negated(logs), true)
	}
	allowed := d.allowed(effects, logs)
	if d.Form != Full {
		best := make([]int, len(d.Factors))
		for i, levels := range allowed {
			best[i] = slices.MaxFunc(levels, func(a, b int) int { return compare(d.gain(i, a, logs), d.gain(i, b, logs)) })
		}
		return best
	}
	return d.bestCombination(allowed, logs)
}

func negated(logs [][]float64) [][]float64 {
	all := make([][]float64, len(logs))
	for b, block := range logs {
		for _, x := range block {
			all[b] = append(all[b], -x)
		}
	}
	return all
}

func compare(a, b float64) int {
	switch {
	case a > b:
		return 1
	case a < b:
		return -1
	}
	return 0
}

// allowed are the levels of each factor that may be recommended: the reference, those that are better than it, and where every combination was
// tried, those of an interaction that was found.
func (d *Design) allowed(effects []Effect, logs [][]float64) [][]int {
	allowed := make([][]int, len(d.Factors))
	for i := range allowed {
		allowed[i] = []int{0}
	}
	for i := range effects {
		e := &effects[i]
		main := len(e.Changes) == 1
		if !e.Found || main && meanContrast(&e.Term, logs) <= 0 || !main && d.Form != Full {
			continue
		}
		for _, c := range e.Changes {
			if !slices.Contains(allowed[c.Factor], c.Level) {
				allowed[c.Factor] = append(allowed[c.Factor], c.Level)
			}
		}
	}
	return allowed
}

// gain is the mean main effect of a level.
func (d *Design) gain(factor, level int, logs [][]float64) float64 {
	for i := range d.Terms {
		t := &d.Terms[i]
		if len(t.Changes) == 1 && t.Changes[0] == (Change{factor, level}) {
			return meanContrast(t, logs)
		}
	}
	return 0 // the reference
}

func meanContrast(t *Term, logs [][]float64) float64 {
	sum := 0.0
	for _, block := range logs {
		sum += t.contrast(block)
	}
	return sum / float64(len(logs))
}

// bestCombination takes the combination of allowed levels with the best mean over the factors of which only the reference is allowed.
func (d *Design) bestCombination(allowed [][]int, logs [][]float64) []int {
	best := make([]int, len(d.Factors))
	most := d.mean(best, allowed, logs)
	for _, s := range d.Settings {
		if !within(s, allowed) {
			continue
		}
		if m := d.mean(s, allowed, logs); m > most {
			best, most = s, m
		}
	}
	return slices.Clone(best)
}

func within(setting []int, allowed [][]int) bool {
	for i, level := range setting {
		if !slices.Contains(allowed[i], level) {
			return false
		}
	}
	return true
}

// mean averages the settings that are like s in all factors with a choice.
func (d *Design) mean(s []int, allowed [][]int, logs [][]float64) float64 {
	t := Term{weights: make([]float64, len(d.Settings))}
	var levels []Change
	for i, level := range s {
		if len(allowed[i]) > 1 {
			levels = append(levels, Change{i, level})
		}
	}
	d.addMean(&t, 1, levels...)
	return meanContrast(&t, logs)
}
