// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"fmt"
	"io"
	"strings"
)

// The layout of the table, in columns.
const (
	tableWidth = 98
	nameWidth  = 26
	textColumn = 2 + 8 + 2 + nameWidth + 2 // status, name, then what was found
)

// The colours of a status, as ANSI escapes.
const (
	green  = "\x1b[32m"
	yellow = "\x1b[33m"
	red    = "\x1b[31m"
	grey   = "\x1b[90m"
	bold   = "\x1b[1m"
	plain  = "\x1b[0m"
)

// table is the text that people read, while it grows.
type table struct {
	*strings.Builder
	colour bool
}

// WriteTable writes the report for people: the checks by group, what mends
// what is missing, and a last line that says what can be recorded and with
// what limits. No line is longer than 98 characters, unless a path is.
func (r *Report) WriteTable(w io.Writer, colour bool) error {
	t := table{new(strings.Builder), colour}
	t.checks(r.Checks)
	t.fixes(r.Checks)
	t.wrap(r.Summary, 0)
	_, err := io.WriteString(w, t.String())
	return err
}

// checks writes checks by group.
func (t table) checks(checks []Check) {
	group := ""
	for _, c := range checks {
		if c.Group != group {
			group = c.Group
			fmt.Fprintf(t, "%s\n", t.paint(bold, group))
		}
		t.check(c)
	}
}

func (t table) paint(colour, text string) string {
	if !t.colour {
		return text
	}
	return colour + text + plain
}

func (t table) check(c Check) {
	status := t.paint(shade(c), fmt.Sprintf("%-8s", c.Status))
	fmt.Fprintf(t, "  %s  %-*s  ", status, nameWidth, c.Name)
	switch {
	case c.Status == OK, c.Status == Unknown:
		t.wrap(c.Found, textColumn)
	case c.Need == Unused:
		t.wrap(c.Found+" (not needed)", textColumn)
	default:
		t.wrap(c.Found, textColumn)
		fmt.Fprintf(t, "%*s", textColumn, "")
		t.wrap("costs: "+c.Costs, textColumn)
	}
}

func shade(c Check) string {
	switch {
	case c.Status == OK:
		return green
	case c.Need == Unused:
		return grey
	case c.Status == Missing && c.Need == Core:
		return red
	}
	return yellow
}

// fixes lists each remedy once, with what it is for.
func (t table) fixes(checks []Check) {
	var order []string
	names := make(map[string][]string)
	for _, c := range checks {
		if c.Fix == "" {
			continue
		}
		if names[c.Fix] == nil {
			order = append(order, c.Fix)
		}
		names[c.Fix] = append(names[c.Fix], c.Name)
	}
	if len(order) > 0 {
		fmt.Fprintf(t, "%s\n", t.paint(bold, "to mend"))
	}
	for _, fix := range order {
		t.WriteString("  ")
		t.wrap(strings.Join(names[fix], ", ")+":", 2)
		t.WriteString("    ")
		t.wrapBy(fix, 4, continuation(fix))
	}
}

// continuation is what ends a line of a remedy that goes on: a backslash in a
// command, so that it can be copied.
func continuation(fix string) string {
	if strings.HasPrefix(fix, "sudo ") {
		return " \\"
	}
	return ""
}

// wrap writes text that begins at a column and goes on at the same one.
func (t table) wrap(text string, column int) { t.wrapBy(text, column, "") }

func (t table) wrapBy(text string, column int, continuation string) {
	at := column
	for i, word := range strings.Fields(text) {
		size := len([]rune(word))
		switch {
		case i == 0:
		case at+1+size+len(continuation) > tableWidth:
			fmt.Fprintf(t, "%s\n%*s", continuation, column, "")
			at = column
		default:
			t.WriteByte(' ')
			at++
		}
		t.WriteString(word)
		at += size
	}
	t.WriteByte('\n')
}
