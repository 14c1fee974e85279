// SPDX-License-Identifier: Apache-2.0

package design

import (
	"fmt"
	"math"

	"gonum.org/v1/gonum/stat"

	"github.com/assaylab/assay/bench/stats"
)

// FalseAlarms is how often, at most, an experiment may find any effect at all where no factor has one.
const FalseAlarms = 0.01

// An Effect is what results say of a term.
type Effect struct {
	Term
	stats.Effect         // as a ratio: of a level to the reference, or of what two levels do together to the product of what each does
	PAdjusted    float64 // AlwaysP for all terms of the design together (Holm)
	// Found says that this is more than chance: PAdjusted is at most [FalseAlarms], and the interval leaves 1 out. Both hold however often they
	// were looked at.
	Found bool
}

// Logs takes logarithms of results, by block and setting. An error says which has none: results have to be finite and above 0.
func (d *Design) Logs(results [][]float64) ([][]float64, error) {
	logs := make([][]float64, len(results))
	for b, block := range results {
		if len(block) != len(d.Settings) {
			return nil, fmt.Errorf("block %d has %d results, want %d", b, len(block), len(d.Settings))
		}
		for s, x := range block {
			if !(x > 0) || math.IsInf(x, 1) {
				return nil, fmt.Errorf("block %d, setting %d: a result of %v has no logarithm", b, s, x)
			}
			logs[b] = append(logs[b], math.Log(x))
		}
	}
	return logs, nil
}

// Effects judges all terms by the [Design.Logs] of one block at least. The seed is of resampling.
func (d *Design) Effects(logs [][]float64, seed uint64) []Effect {
	verdicts := judge(d.sequences(logs))
	effects := make([]Effect, len(d.Terms))
	for i := range d.Terms {
		t := &d.Terms[i]
		contrasts := make([]float64, len(logs))
		for b, block := range logs {
			contrasts[b] = t.contrast(block)
		}
		e := Effect{Term: *t, Effect: stats.OfLogs(contrasts, seed), PAdjusted: verdicts[i].p, Found: verdicts[i].found}
		e.Detectable = stats.Detectable(stat.StdDev(contrasts, nil), len(contrasts), 1-FalseAlarms/float64(len(d.Terms)))
		effects[i] = e
	}
	return effects
}

// sequences are the contrasts of each term.
func (d *Design) sequences(logs [][]float64) []*stats.Sequence {
	all := make([]*stats.Sequence, len(d.Terms))
	for i := range d.Terms {
		all[i] = stats.NewSequence(stats.Confidence)
		for _, block := range logs {
			all[i].Add(d.Terms[i].contrast(block))
		}
	}
	return all
}

// verdict says whether a term is more than chance.
type verdict struct {
	p     float64 // adjusted
	found bool
}

func judge(sequences []*stats.Sequence) []verdict {
	ps := make([]float64, len(sequences))
	for i, s := range sequences {
		ps[i] = s.P()
	}
	verdicts := make([]verdict, len(sequences))
	for i, p := range stats.Holm(ps) {
		low, high := sequences[i].Interval()
		verdicts[i] = verdict{p, p <= FalseAlarms && (low > 0 || high < 0)}
	}
	return verdicts
}

// Widest is half the width of the widest interval of a main effect, as a ratio less 1; infinite before all can be told.
func (d *Design) Widest(logs [][]float64) float64 {
	widest := 0.0
	for i, s := range d.sequences(logs) {
		if len(d.Terms[i].Changes) == 1 {
			widest = max(widest, math.Expm1(s.Width()/2))
		}
	}
	return widest
}
