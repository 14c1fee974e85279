// SPDX-License-Identifier: Apache-2.0

package reports

import (
	"bufio"
	"fmt"
	"io"

	"github.com/assaylab/assay/bench/result"
)

// BPFCosts writes a table of what eBPF programs cost in each arm, for people, set off by an empty line; nothing if none ran. An error comes from w.
func BPFCosts(w io.Writer, all []result.BPFCost, opts ComparisonOptions) error {
	if len(all) == 0 {
		return nil
	}
	rows := [][]string{{"arm", "eBPF program", "type", "runs an operation", "an operation", "a run", "of one CPU"}}
	for _, c := range all {
		rows = append(rows, []string{
			printable(c.Arm), printable(c.Program), printable(c.Type), fmt.Sprintf("%.3g", c.RunsPerOp), formatMetric(c.NSPerOp, "ns"),
			formatMetric(c.NS/float64(max(c.Runs, 1)), "ns"), fmt.Sprintf("%.2f%%", 100*c.CPU),
		})
	}
	b := bufio.NewWriter(w)
	fmt.Fprintln(b)
	writeRows(b, rows, opts)
	return b.Flush()
}
