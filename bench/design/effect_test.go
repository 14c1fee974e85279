// SPDX-License-Identifier: Apache-2.0

package design

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// A machine draws the logarithm of a setting's result; block is what all settings of a block have in common.
type machine func(rng *rand.Rand, setting []int) float64

func (m machine) blocks(d *Design, n int, rng *rand.Rand) [][]float64 {
	logs := make([][]float64, n)
	for b := range logs {
		common := 0.2 * rng.NormFloat64() // slow minutes
		for _, s := range d.Settings {
			logs[b] = append(logs[b], common+m(rng, s))
		}
	}
	return logs
}

// still is a machine on which no setting matters, with the noise of trials.
func still(rng *rand.Rand, _ []int) float64 { return 0.02 * rng.NormFloat64() }

// slow has now and then a trial that is much slower, as when others take the CPU.
func slow(rng *rand.Rand, _ []int) float64 {
	x := 0.01 * rng.NormFloat64()
	if rng.IntN(12) == 0 {
		x -= 0.3 * rng.ExpFloat64()
	}
	return x
}

// foundAtAnyLook says whether an experiment that is looked at after each block, from least to most of them, and ends when it likes, would ever
// have found an effect.
func foundAtAnyLook(d *Design, logs [][]float64, least int) bool {
	for n := least; n <= len(logs); n++ {
		if slices.ContainsFunc(judge(d.sequences(logs[:n])), func(v verdict) bool { return v.found }) {
			return true
		}
	}
	return false
}

// TestNothingIsFoundWhereNothingIs: a factor that does nothing is turned down in 99 of 100 runs at least, however many effects a design has and
// though it is looked at after each block. The limit is the share that a hundredth could give by chance, three standard errors above.
func TestNothingIsFoundWhereNothingIs(t *testing.T) {
	const runs, blocks = 1500, 30
	limit := FalseAlarms + 3*math.Sqrt(FalseAlarms*(1-FalseAlarms)/runs)
	for _, c := range []struct {
		levels []int
		noise  machine
		name   string
	}{
		{[]int{2}, still, "normal"},
		{[]int{2}, slow, "slow trials"},
		{[]int{3}, still, "normal"},
		{[]int{3}, slow, "slow trials"},
		{[]int{2, 3}, slow, "slow trials"},
		{twos(6), still, "normal"},
		{[]int{3, 2, 2, 2, 2}, slow, "slow trials"},
	} {
		t.Run(fmt.Sprint(c.name, c.levels), func(t *testing.T) {
			t.Parallel()
			d := mustNew(t, c.levels...)
			alarms := 0
			for seed := range uint64(runs) {
				if foundAtAnyLook(d, c.noise.blocks(d, blocks, rand.New(rand.NewPCG(seed, 1))), 6) {
					alarms++
				}
			}
			share := float64(alarms) / runs
			t.Logf("%s: false alarms in %.2f%% of %d runs", d, 100*share, runs)
			if share > limit {
				t.Errorf("want at most %.2f%%", 100*limit)
			}
		})
	}
}

// TestPlantedIsFound plants an effect in one factor and an interaction of two others, and wants both, and no other.
func TestPlantedIsFound(t *testing.T) {
	d := mustNew(t, 2, 2, 2)
	planted := machine(func(rng *rand.Rand, s []int) float64 {
		return 0.1*float64(s[0]) + 0.2*float64(s[1]*s[2]) - 0.1*float64(s[1]+s[2]) + still(rng, s)
	})
	logs := planted.blocks(d, 14, rand.New(rand.NewPCG(1, 2)))
	for _, e := range d.Effects(logs, 1) {
		want, is := map[string]float64{"A": 0.1, "BC": 0.2}[letters(e.Changes)]
		if e.Found != is || math.Abs(math.Log(e.Ratio)-want) > 0.03 || e.Blocks != 14 {
			t.Errorf("%s: %+v, want %g", letters(e.Changes), e, want)
		}
	}
	if w := d.Widest(logs); w > 0.05 || w < 0.001 {
		t.Errorf("widest %g", w)
	}
	if w := d.Widest(logs[:2]); !math.IsInf(w, 1) {
		t.Errorf("two blocks, and the interval is ±%g", w)
	}
}

// TestBest wants the setting that is best, where factors without an effect stay as they are.
func TestBest(t *testing.T) {
	check := func(name string, m machine, more bool, want []int, levels ...int) {
		t.Helper()
		t.Run(name, func(t *testing.T) {
			d := mustNew(t, levels...)
			logs := m.blocks(d, 16, rand.New(rand.NewPCG(3, 4)))
			if got := d.Best(d.Effects(logs, 1), logs, more); !slices.Equal(got, want) {
				t.Errorf("%v, want %v", got, want)
			}
		})
	}
	check("nothing does anything", still, true, []int{0, 0}, 2, 3)
	check("one level of three", func(rng *rand.Rand, s []int) float64 {
		return []float64{0, -0.2, 0.1}[s[1]] + still(rng, s)
	}, true, []int{0, 2}, 2, 3)
	check("less is better", func(rng *rand.Rand, s []int) float64 {
		return []float64{0, -0.2, 0.1}[s[1]] + still(rng, s)
	}, false, []int{0, 1}, 2, 3)
	check("the reference is best", func(rng *rand.Rand, s []int) float64 { return -0.2*float64(s[0]) + still(rng, s) }, true, []int{0, 0}, 2, 2)
	together := func(rng *rand.Rand, s []int) float64 {
		return 0.3*float64(s[0]*s[1]) - 0.1*float64(s[0]+s[1]) + still(rng, s)
	}
	check("better together, worse alone", together, true, []int{1, 1}, 2, 2)
	apart := func(rng *rand.Rand, s []int) float64 {
		return 0.2*float64(s[0]) + 0.1*float64(s[1]) - 0.3*float64(s[0]*s[1]) + still(rng, s)
	}
	check("better alone than together", apart, true, []int{1, 0}, 2, 2)
	two := func(rng *rand.Rand, s []int) float64 {
		return 0.2*float64(s[0]) - 0.1*float64(s[4]) + 0.1*float64(s[5]) + still(rng, s)
	}
	check("fraction", two, true, []int{1, 0, 0, 0, 0, 1}, twos(6)...)
	check("one at a time", two, true, []int{1, 0, 0, 0, 0, 1, 0}, 2, 3, 2, 2, 2, 2, 2)
}

func TestLogsRefuses(t *testing.T) {
	d := mustNew(t, 2)
	for _, results := range [][][]float64{{{1}}, {{1, 0}}, {{1, math.NaN()}}, {{1, math.Inf(1)}}} {
		if _, err := d.Logs(results); err == nil {
			t.Errorf("%v: no error", results)
		}
	}
	logs, err := d.Logs([][]float64{{1, math.E}})
	if err != nil || logs[0][0] != 0 || logs[0][1] != 1 {
		t.Errorf("%v, %v", logs, err)
	}
}
