// SPDX-License-Identifier: Apache-2.0

package reports

import (
	"bufio"
	"bytes"
	_ "embed"
	"fmt"
	"html/template"
	"io"
	"math"
	"strings"
	"time"

	"github.com/assaylab/assay/bench/result"
)

// howMeasured is what one must know to believe a table of overheads.
const howMeasured = `Each block runs the workload alone, alone again (a/a, whose difference is noise), and beside each tool, in random order. Slowdown is the ratio of the
workload's primary metric beside the tool to that alone within a block, turned so that more is worse; the interval holds at 95%, however often it was looked at. CPU/op is
the CPU time of the workload's processes. CPU a sample is the CPU time that the tool's own process took in a trial for each sample that it took; what it does in
interrupts and in system calls of the workload is in the slowdown, and what it does to start and to end is in "CPU in all", that of a whole run. A
question mark stands where the interval holds "no change".`

// Overhead writes a table of what tools cost workloads, for people. An error comes from w.
func Overhead(w io.Writer, o *result.Overhead, opts ComparisonOptions) error {
	b := bufio.NewWriter(w)
	rows := [][]string{{"workload", "tool", "slowdown", "95% interval", "p50", "p99", "CPU/op", "CPU a sample", "CPU in all", "blocks"}}
	for _, t := range overheadRows(o) {
		rows = append(rows, t.cells())
	}
	writeRows(b, rows, opts)
	fmt.Fprintln(b)
	for _, t := range o.Tools {
		fmt.Fprintf(b, "%s: %s\n", printable(t.Arm), printable(t.Spec))
	}
	fmt.Fprintf(b, "\n%s\n", howMeasured)
	for _, line := range overheadNotes(o) {
		fmt.Fprintln(b, line)
	}
	return b.Flush()
}

// overheadNotes are where and how well it was measured, a line each.
func overheadNotes(o *result.Overhead) []string {
	var notes []string
	for _, t := range o.Workloads {
		notes = append(notes, fmt.Sprintf("%s (%s, by %s): %d blocks of %s trials, ended because: %s; seed %d.",
			printable(t.Scenario), printable(t.Kind), printable(t.Primary), t.Blocks, time.Duration(t.DurationNS), printable(t.End), t.Seed))
	}
	f := o.Environment.Facts
	notes = append(notes, printable(fmt.Sprintf("Measured on %s, by assay %s: kernel %s, %s CPUs (%s), %s; environment %s.",
		o.Start.Format(time.RFC3339), o.Assay, f["kernel"], f["cpus"], f["cpu_model"], f["arch"], o.Environment.ID)))
	for _, w := range o.Environment.Warnings {
		notes = append(notes, "Unfit to measure on: "+printable(w))
	}
	return notes
}

// overheadRow is a line of the table, and of its picture.
type overheadRow struct {
	Workload, Tool                              string
	Slowdown, Interval                          string
	P50, P99, CPU, SampleCPU, WholeCPU, Verdict string
	Blocks                                      int
	First                                       bool // of its workload
	Plot                                        *intervalPlot
}

func (r *overheadRow) cells() []string {
	return []string{r.Workload, r.Tool, r.Slowdown, r.Interval, r.P50, r.P99, r.CPU, r.SampleCPU, r.WholeCPU, fmt.Sprint(r.Blocks)}
}

func overheadRows(o *result.Overhead) []overheadRow {
	var rows []overheadRow
	for _, t := range o.Workloads {
		scale := plotScale(t.Costs)
		for i, c := range t.Costs {
			r := overheadRow{
				Workload: printable(t.Scenario), Tool: printable(c.Arm), Slowdown: change(c.Slowdown.Ratio), Interval: interval(c.Slowdown.Low, c.Slowdown.High),
				P50: brief(c.P50), P99: brief(c.P99), CPU: brief(c.CPU), SampleCPU: "-", WholeCPU: "-", Blocks: c.Blocks, First: i == 0,
				Plot: plotInterval(c.Slowdown, scale), Verdict: costVerdict(c.Slowdown),
			}
			if c.SampleCPU != nil {
				r.SampleCPU = formatNanoseconds(c.SampleCPU.Value)
			}
			if c.WholeCPU != nil {
				r.WholeCPU = formatNanoseconds(1e9 * c.WholeCPU.Value)
			}
			rows = append(rows, r)
		}
	}
	return rows
}

func costVerdict(c result.Change) string {
	switch {
	case !c.Known() || !c.Differs():
		return "unclear"
	case c.Ratio > 1:
		return "slower"
	}
	return "faster"
}

// brief is a change, with a question mark where its interval doesn't leave "none" out.
func brief(c *result.Change) string {
	if c == nil {
		return "-"
	}
	text := fmt.Sprintf("%+.1f%%", 100*(c.Ratio-1))
	if !c.Known() || !c.Differs() {
		text += "?"
	}
	return text
}

// intervalPlot is an interval as a line with a dot, in percent of the width; the middle is "no change".
type intervalPlot struct{ Low, High, Dot float64 }

// plotScale is the change that is drawn at the edge: that of the widest interval, but at most 50%.
func plotScale(costs []result.Cost) float64 {
	const least, most = 0.001, 0.5
	scale := least
	for _, c := range costs {
		if c.Slowdown.Known() {
			scale = max(scale, math.Abs(c.Slowdown.High-1), math.Abs(c.Slowdown.Low-1))
		}
	}
	return min(scale, most)
}

func plotInterval(c result.Change, scale float64) *intervalPlot {
	if !c.Known() {
		return nil
	}
	at := func(ratio float64) float64 { return math.Round(10*(50+50*max(-1, min(1, (ratio-1)/scale)))) / 10 }
	return &intervalPlot{at(c.Low), at(c.High), at(c.Ratio)}
}

var (
	//go:embed overhead/page.html
	overheadSource string
	overheadPage   = template.Must(template.New("overhead").Parse(overheadSource))
)

// OverheadHTML writes the table as one HTML page that holds all it needs and runs no script. An error comes from w.
func OverheadHTML(w io.Writer, o *result.Overhead) error {
	var b bytes.Buffer
	tools := make([]result.BesideTool, len(o.Tools))
	for i, t := range o.Tools {
		tools[i] = result.BesideTool{Arm: printable(t.Arm), Spec: printable(t.Spec)}
	}
	err := overheadPage.Execute(&b, map[string]any{
		"Rows": overheadRows(o), "Tools": tools, "How": strings.ReplaceAll(howMeasured, "\n", " "), "Notes": overheadNotes(o),
	})
	if err != nil {
		return fmt.Errorf("overhead: %w", err)
	}
	_, err = w.Write(b.Bytes())
	return err
}
