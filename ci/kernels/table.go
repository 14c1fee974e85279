// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
)

// print says how one kernel went: a line a check, and below it why it failed.
func (t trial) print(out io.Writer, verbose bool) error {
	var text strings.Builder
	fmt.Fprintf(&text, "%s: %s, %.0f s\n", t.kernel.name, t.version, t.took.Seconds())
	for _, r := range t.results {
		fmt.Fprintf(&text, "  %-4s %-16s %5.1f s  %s\n", mark(r.Error == ""), r.Check, r.Seconds, r.Detail)
		if r.Error != "" {
			text.WriteString(indent(r.Error))
		}
		if verbose || r.Error != "" {
			text.WriteString(indent(r.Output))
		}
	}
	if t.err != nil {
		text.WriteString(indent(t.err.Error()))
	}
	_, err := io.WriteString(out, text.String())
	return err
}

// indent moves the lines of a text to below the line that they explain.
func indent(text string) string {
	if text = strings.TrimSpace(text); text == "" {
		return ""
	}
	return "       " + strings.ReplaceAll(text, "\n", "\n       ") + "\n"
}

func mark(ok bool) string {
	if ok {
		return "ok"
	}
	return "FAIL"
}

// printTable prints checks against kernels.
func printTable(out io.Writer, trials []trial) error {
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprint(table, "\ncheck")
	for _, t := range trials {
		fmt.Fprint(table, "\t", t.kernel.name)
	}
	fmt.Fprintln(table)
	for _, check := range checkNames(trials) {
		fmt.Fprint(table, check)
		for _, t := range trials {
			fmt.Fprint(table, "\t", t.cell(check))
		}
		fmt.Fprintln(table)
	}
	return table.Flush()
}

// checkNames lists the checks in the order in which the guests ran them. All guests begin with the same; one may have stopped early, or have more.
func checkNames(trials []trial) []string {
	var names []string
	for _, t := range trials {
		for _, r := range t.results[min(len(names), len(t.results)):] {
			names = append(names, r.Check)
		}
	}
	return names
}

// cell is how a check went: "-" if it didn't run.
func (t trial) cell(check string) string {
	for _, r := range t.results {
		if r.Check == check {
			return mark(r.Error == "")
		}
	}
	return "-"
}

// verdict is an error if anything failed.
func verdict(trials []trial) error {
	failed := 0
	for _, t := range trials {
		if t.err != nil {
			failed++
		}
		for _, r := range t.results {
			if r.Error != "" {
				failed++
			}
		}
	}
	if failed > 0 {
		return fmt.Errorf("%d failures", failed)
	}
	return nil
}
