// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"io"
	"strings"
)

// table writes the rows as a table in Markdown.
func table(out io.Writer, rows []row) error {
	columns := qualities(rows)
	var b strings.Builder
	fmt.Fprintf(&b, "| program | samples | %s |\n|%s\n", strings.Join(columns, " | "), strings.Repeat(" --- |", len(columns)+2))
	for _, r := range rows {
		fmt.Fprintf(&b, "| %s | %d |", r.Case, r.Samples)
		for i, quality := range columns {
			switch {
			case r.Failed == "":
				fmt.Fprintf(&b, " %.2f%% |", 100*r.Shares[quality])
			case i == 0:
				fmt.Fprintf(&b, " not measured: %s |", strings.ReplaceAll(r.Failed, "|", `\|`))
			default:
				b.WriteString(" |")
			}
		}
		b.WriteString("\n")
	}
	_, err := io.WriteString(out, b.String())
	return err
}
