// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"strings"

	"gonum.org/v1/gonum/stat"
	"gonum.org/v1/gonum/stat/distuv"

	"github.com/assaylab/assay/bench/stats"
)

// report writes Markdown: a row a scenario, and one of all.
func (s *settings) report(all []trial, out io.Writer) error {
	by := map[string][]trial{}
	for _, t := range all {
		by[t.Scenario] = append(by[t.Scenario], t)
	}
	columns := sameColumns
	if s.slowdown > 0 {
		columns = plantedColumns
	}
	var b strings.Builder
	b.WriteString("| scenario | experiments | failed |")
	for _, c := range columns {
		b.WriteString(" " + c.name + " |")
	}
	fmt.Fprintf(&b, "\n%s\n", "| --- | --- | --- |"+strings.Repeat(" --- |", len(columns)))
	for _, name := range slices.Sorted(maps.Keys(by)) {
		writeRow(&b, name, by[name], columns)
	}
	writeRow(&b, "all", all, columns)
	_, err := io.WriteString(out, b.String())
	return err
}

// A column is what is told of some experiments that did not fail.
type column struct {
	name string
	cell func([]trial) string
}

var sameColumns = []column{
	{"fixed interval holds 1", shareOf(func(t *trial) bool { return t.FixedLow <= 1 && 1 <= t.FixedHigh })},
	{"holds at the end", shareOf(func(t *trial) bool { return t.Low <= 1 && 1 <= t.High })},
	{"holds at all looks", shareOf(func(t *trial) bool { return !t.Found })},
	{"spread of a block's ratio", spread},
	{"second place over first", placeEffect},
	{"autocorrelation", autocorrelation},
}

var plantedColumns = []column{
	{"found", shareOf(func(t *trial) bool { return t.Found })},
	{"in the wrong direction", shareOf(func(t *trial) bool { return t.Found && t.slowerBy() < 0 })},
	{"slower by, median", func(ts []trial) string { return percent(medianOf(ts, (*trial).slowerBy)) }},
	{"blocks, median", func(ts []trial) string {
		return fmt.Sprintf("%.0f", medianOf(ts, func(t *trial) float64 { return float64(t.Blocks) }))
	}},
	{"seconds, median", func(ts []trial) string {
		return fmt.Sprintf("%.0f", medianOf(ts, func(t *trial) float64 { return t.Seconds }))
	}},
}

func writeRow(b *strings.Builder, name string, all []trial, columns []column) {
	good := slices.DeleteFunc(slices.Clone(all), func(t trial) bool { return t.Failed != "" })
	fmt.Fprintf(b, "| %s | %d | %d |", name, len(all), len(all)-len(good))
	for _, c := range columns {
		text := "–"
		if len(good) > 0 {
			text = c.cell(good)
		}
		b.WriteString(" " + text + " |")
	}
	b.WriteString("\n")
}

// shareOf tells how many experiments are so. With many, the 95% interval of that share is told too (Clopper and Pearson, "The use of confidence
// or fiducial limits", Biometrika 26, 1934).
func shareOf(is func(*trial) bool) func([]trial) string {
	return func(all []trial) string {
		n := 0
		for i := range all {
			if is(&all[i]) {
				n++
			}
		}
		if len(all) < 50 {
			return fmt.Sprintf("%d of %d", n, len(all))
		}
		low, high := 0.0, 1.0
		if n > 0 {
			low = distuv.Beta{Alpha: float64(n), Beta: float64(len(all) - n + 1)}.Quantile(0.025)
		}
		if n < len(all) {
			high = distuv.Beta{Alpha: float64(n + 1), Beta: float64(len(all) - n)}.Quantile(0.975)
		}
		return fmt.Sprintf("%.1f%% (%.1f to %.1f)", 100*float64(n)/float64(len(all)), 100*low, 100*high)
	}
}

// spread is the median standard deviation of blocks' ratios.
func spread(all []trial) string {
	return percent(medianOf(all, func(t *trial) float64 { return stat.StdDev(t.Logs, nil) }))
}

// placeEffect is by how much a trial that is later in its block differs from an earlier one, with two standard errors: 0 if the place
// doesn't matter.
func placeEffect(all []trial) string {
	var xs []float64
	for _, t := range all {
		for i, x := range t.Logs {
			xs = append(xs, math.Copysign(x, x*float64(t.Places[i])))
		}
	}
	mean, sd := stat.MeanStdDev(xs, nil)
	return fmt.Sprintf("%s ± %.2f", percent(mean), 100*2*sd/math.Sqrt(float64(len(xs))))
}

// autocorrelation is that of one block's ratio with the next one's, about 0, which is the true mean; with two standard errors.
func autocorrelation(all []trial) string {
	var rs []float64
	for _, t := range all {
		var products, squares float64
		for i, x := range t.Logs {
			squares += x * x
			if i > 0 {
				products += x * t.Logs[i-1]
			}
		}
		if squares > 0 {
			rs = append(rs, products/squares)
		}
	}
	mean, sd := stat.MeanStdDev(rs, nil)
	return fmt.Sprintf("%.2f ± %.2f", mean, 2*sd/math.Sqrt(float64(len(rs))))
}

// slowerBy is by which share operations took longer, whichever way the metric counts.
func (t *trial) slowerBy() float64 {
	if t.More {
		return 1/t.Ratio - 1
	}
	return t.Ratio - 1
}

func medianOf(all []trial, value func(*trial) float64) float64 {
	xs := make([]float64, len(all))
	for i := range all {
		xs[i] = value(&all[i])
	}
	return stats.Median(xs)
}

func percent(x float64) string { return fmt.Sprintf("%.2f%%", 100*x) }
