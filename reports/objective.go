// SPDX-License-Identifier: Apache-2.0

package reports

import (
	"bufio"
	"io"

	"github.com/assaylab/assay/bench/result"
)

// Objectives writes a table of the objectives of a scenario and whether its arms kept them. An error comes from w.
func Objectives(w io.Writer, all []result.Objective, opts ComparisonOptions) error {
	rows := [][]string{{"arm", "objective", "median", "95% interval", "trials", "verdict"}}
	for _, o := range all {
		rows = append(rows, []string{
			printable(o.Arm), printable(o.Metric) + " " + printable(o.Limit) + " " + formatMetric(o.Want, o.Unit), formatMetric(o.Value, o.Unit),
			formatMetric(o.Low, o.Unit) + " to " + formatMetric(o.High, o.Unit), formatCount(int64(o.Trials)), string(o.Verdict),
		})
	}
	b := bufio.NewWriter(w)
	writeRows(b, rows, opts)
	return b.Flush()
}
