// SPDX-License-Identifier: Apache-2.0

package reports

import (
	"bufio"
	"fmt"
	"io"
	"strings"

	"github.com/assaylab/assay/bench/result"
)

// Tuning writes what an experiment says of knobs, for people: what each value changes, what values change together, which setting is recommended,
// and whether its gain was there when it was measured again. An error comes from w.
func Tuning(w io.Writer, t *result.Tuning, opts ComparisonOptions) error {
	b := bufio.NewWriter(w)
	fmt.Fprintf(b, "%s: %s, %s is better\n", printable(t.Scenario), printable(t.Metric), better(t.More))
	fmt.Fprintf(b, "%s; %s\n\n", printable(t.Design.About), blocks(t.Blocks, t.FailedBlocks))
	writeRows(b, mainEffects(t), opts)
	if rows := interactions(t); len(rows) > 1 {
		fmt.Fprint(b, "\nTogether, beyond what each does alone:\n\n")
		writeRows(b, rows, opts)
	}
	writeLetters(b, t)
	fmt.Fprintln(b)
	for _, e := range t.Effects {
		for _, warning := range e.Warnings {
			fmt.Fprintf(b, "%s, %s: %s\n", effectName(e), effectValues(e), printable(warning))
		}
	}
	writeRecommendation(b, t)
	return b.Flush()
}

func better(more bool) string {
	if more {
		return "more"
	}
	return "less"
}

func blocks(good, failed int) string {
	text := fmt.Sprintf("%d blocks", good)
	if failed > 0 {
		text += fmt.Sprintf(", and %d left out in which a trial failed", failed)
	}
	return text
}

func mainEffects(t *result.Tuning) [][]string {
	rows := [][]string{{"knob", "now", printable(t.Metric), "value", printable(t.Metric), "change", "95% interval", "p (Holm)", "verdict"}}
	for _, e := range t.Effects {
		if len(e.Knobs) != 1 {
			continue
		}
		rows = append(rows, append([]string{
			printable(e.Knobs[0]), knobValue(presentOf(t, e.Knobs[0])), formatMetric(e.Present, t.Unit),
			knobValue(e.Values[0]), formatMetric(e.Value, t.Unit),
		}, effectCells(e, t.More)...))
	}
	return rows
}

func interactions(t *result.Tuning) [][]string {
	rows := [][]string{{"knobs", "values", "change", "95% interval", "p (Holm)", "verdict"}}
	for _, e := range t.Effects {
		if len(e.Knobs) == 2 {
			rows = append(rows, append([]string{effectName(e), effectValues(e)}, effectCells(e, t.More)...))
		}
	}
	return rows
}

// effectName names the knobs of an effect, and the sum of interactions that can't be told apart.
func effectName(e result.KnobEffect) string {
	name := printable(strings.Join(e.Knobs, " × "))
	if e.Chain != "" {
		name += " (" + printable(e.Chain) + ")"
	}
	return name
}

func effectValues(e result.KnobEffect) string {
	var values []string
	for _, v := range e.Values {
		values = append(values, knobValue(v))
	}
	return strings.Join(values, " × ")
}

func effectCells(e result.KnobEffect, more bool) []string {
	return []string{change(e.Ratio), change(e.Low) + " to " + change(e.High), fmt.Sprintf("%.2g", e.PAdjusted), effectVerdict(e, more)}
}

func effectVerdict(e result.KnobEffect, more bool) string {
	switch {
	case !e.Found && e.Detectable > 1:
		return "no effect found; it takes more blocks to find one"
	case !e.Found:
		return fmt.Sprintf("no effect found; %.2g%% would mostly have been", 100*e.Detectable)
	case (e.Ratio > 1) == more:
		return "better"
	}
	return "worse"
}

func presentOf(t *result.Tuning, name string) string {
	for _, k := range t.Knobs {
		if k.Name == name {
			return k.Present
		}
	}
	return ""
}

// knobValue shows a value; that of an environment variable may be empty.
func knobValue(value string) string {
	if value == "" {
		return "(empty)"
	}
	return printable(value)
}

// writeLetters says what the letters of a fraction mean.
func writeLetters(b *bufio.Writer, t *result.Tuning) {
	if len(t.Design.Generators) == 0 {
		return
	}
	fmt.Fprint(b, "\nInteractions joined by + can't be told apart, where")
	for i, k := range t.Knobs {
		if i > 0 {
			fmt.Fprint(b, ",")
		}
		fmt.Fprintf(b, " %s is %s", printable(k.Letter), printable(k.Name))
	}
	fmt.Fprintln(b, ".")
}

func writeRecommendation(b *bufio.Writer, t *result.Tuning) {
	c := t.Confirmation
	switch {
	case !t.Changes:
		fmt.Fprintln(b, "Nothing to change: no value was found to be better than the present one.")
		return
	case c == nil:
		fmt.Fprintln(b, "Nothing is recommended: there was no time to measure the setting that came out best again. It is")
		writeChanges(b, t)
		return
	case !t.Confirmed():
		fmt.Fprintln(b, "Nothing is recommended: the setting that came out best was not better when it was measured again. It is")
		writeChanges(b, t)
	default:
		fmt.Fprintln(b, "Recommended (what isn't named stays as it is):")
		writeChanges(b, t)
	}
	fmt.Fprintf(b, "Measured again in %d new blocks: %s %s (95%% interval %s to %s), %s instead of %s.\n", c.Blocks, printable(c.Metric),
		change(c.Ratio), change(c.Low), change(c.High), formatMetric(c.Value, c.Unit), formatMetric(c.Baseline, c.Unit))
	for _, warning := range c.Warnings {
		fmt.Fprintf(b, "Measured again: %s\n", printable(warning))
	}
}

func writeChanges(b *bufio.Writer, t *result.Tuning) {
	for _, k := range t.Knobs {
		if k.Recommended != k.Present {
			fmt.Fprintf(b, "  %s=%s (now %s)\n", printable(k.Name), knobValue(k.Recommended), knobValue(k.Present))
		}
	}
}

// TuningPlan writes what an experiment with knobs would do. An error comes from w.
func TuningPlan(w io.Writer, t *result.Tuning, opts ComparisonOptions) error {
	b := bufio.NewWriter(w)
	fmt.Fprintf(b, "%s: %s\n%s\n\n", printable(t.Scenario), printable(t.Metric), printable(t.Design.About))
	rows := [][]string{{"knob", "now", "to try", "set for"}}
	for _, k := range t.Knobs {
		var others []string
		for _, v := range k.Values[1:] {
			others = append(others, knobValue(v))
		}
		rows = append(rows, []string{printable(k.Name), knobValue(k.Present), strings.Join(others, ", "), printable(k.Where)})
	}
	writeRows(b, rows, opts)
	fmt.Fprint(b, "\nSettings, each once in a block, in random order:\n\n")
	names := []string{"#"}
	for _, k := range t.Knobs {
		names = append(names, printable(k.Name))
	}
	rows = [][]string{names}
	for i, s := range t.Design.Settings {
		row := []string{fmt.Sprint(i)}
		for _, k := range t.Knobs {
			row = append(row, knobValue(s[k.Name]))
		}
		rows = append(rows, row)
	}
	writeRows(b, rows, opts)
	writeLetters(b, t)
	if len(t.Design.Generators) > 0 {
		fmt.Fprintf(b, "Generators: %s. Aliases: %s.\n", printable(strings.Join(t.Design.Generators, ", ")), printable(strings.Join(t.Design.Aliases, ", ")))
	}
	return b.Flush()
}
