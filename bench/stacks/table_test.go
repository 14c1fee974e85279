// SPDX-License-Identifier: Apache-2.0

package main

import (
	"strings"
	"testing"
)

// TestTable: what could not be measured is told with its reason, also when nothing could.
func TestTable(t *testing.T) {
	failed := row{Case: "b", Failed: "no a|b"}
	for name, test := range map[string]struct {
		rows []row
		want string
	}{
		"some": {
			[]row{{Case: "a", Samples: 7, Shares: map[string]float64{"whole": 0.75, "cut": 0.25}}, failed},
			"| program | samples | whole | cut |\n| --- | --- | --- | --- |\n| a | 7 | 75.00% | 25.00% |\n| b | 0 | not measured: no a\\|b | |\n",
		},
		"none": {[]row{failed}, "| program | samples | whole |\n| --- | --- | --- |\n| b | 0 | not measured: no a\\|b |\n"},
	} {
		var b strings.Builder
		if err := table(&b, test.rows); err != nil || b.String() != test.want {
			t.Errorf("%s: %v\n%s\nwant\n%s", name, err, b.String(), test.want)
		}
	}
}
