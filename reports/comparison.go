// SPDX-License-Identifier: Apache-2.0

package reports

import (
	"bufio"
	"fmt"
	"io"
	"strings"

	"github.com/assaylab/assay/bench/result"
)

// ComparisonOptions say how Comparisons shows a table.
type ComparisonOptions struct {
	Markdown bool
	Color    bool // for a terminal
}

// Comparisons writes a table of what experiments say of their arms, for people: the change, its interval, whether it is more than chance, and
// what would have been missed. An error comes from w.
func Comparisons(w io.Writer, all []result.Comparison, opts ComparisonOptions) error {
	b := bufio.NewWriter(w)
	rows := [][]string{{"arm", "metric", "baseline", "arm's", "change", "95% interval", "p (Holm)", "verdict"}}
	for _, c := range all {
		rows = append(rows, []string{
			printable(c.Arm), printable(c.Metric), formatMetric(c.Baseline, c.Unit), formatMetric(c.Value, c.Unit),
			change(c.Ratio), change(c.Low) + " to " + change(c.High), fmt.Sprintf("%.3g", c.PAdjusted), verdict(c),
		})
	}
	writeRows(b, rows, opts)
	for _, c := range all {
		for _, warning := range c.Warnings {
			fmt.Fprintf(b, "\n%s, %s: %s", printable(c.Arm), printable(c.Metric), printable(warning))
		}
	}
	fmt.Fprintln(b)
	return b.Flush()
}

// change writes a ratio as a change in percent.
func change(ratio float64) string { return fmt.Sprintf("%+.2f%%", 100*(ratio-1)) }

// verdict says in words what the interval says.
func verdict(c result.Comparison) string {
	switch {
	case !c.Differs():
		if c.Detectable > 1 {
			return "no difference found; it takes more blocks to find one"
		}
		return fmt.Sprintf("no difference found; %.2g%% would mostly have been", 100*c.Detectable)
	case (c.Ratio > 1) == c.More:
		return "better"
	}
	return "worse"
}

// formatMetric writes a figure with its unit.
func formatMetric(x float64, unit string) string {
	switch unit {
	case "ns":
		return formatNanoseconds(x)
	case "ns/op":
		return formatNanoseconds(x) + "/op"
	case "B":
		return formatBytes(int64(x))
	case "value":
		return fmt.Sprintf("%.4g", x)
	}
	if x >= 1e4 {
		return formatCount(int64(x+0.5)) + " " + printable(unit)
	}
	return fmt.Sprintf("%.4g %s", x, printable(unit))
}

// writeRows writes rows, the first of which is the heading.
func writeRows(b *bufio.Writer, rows [][]string, opts ComparisonOptions) {
	if opts.Markdown {
		writeMarkdown(b, rows)
		return
	}
	writeColumns(b, rows, style(opts.Color))
}

func writeMarkdown(b *bufio.Writer, rows [][]string) {
	for i, row := range rows {
		fmt.Fprintf(b, "| %s |\n", strings.Join(row, " | "))
		if i == 0 {
			fmt.Fprintf(b, "|%s\n", strings.Repeat(" --- |", len(row)))
		}
	}
}

// writeColumns aligns all columns but the last to their widest cell.
func writeColumns(b *bufio.Writer, rows [][]string, look style) {
	widths := make([]int, len(rows[0]))
	for _, row := range rows {
		for i, cell := range row {
			widths[i] = max(widths[i], len([]rune(cell)))
		}
	}
	for n, row := range rows {
		var line strings.Builder
		for i, cell := range row {
			if i == len(row)-1 {
				line.WriteString(cell)
				break
			}
			line.WriteString(cell + strings.Repeat(" ", widths[i]-len([]rune(cell))+2))
		}
		text := line.String()
		if n == 0 {
			text = look.heading(text)
		}
		fmt.Fprintln(b, text)
	}
}
