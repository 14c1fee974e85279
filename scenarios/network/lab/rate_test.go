// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"strings"
	"testing"
)

func TestParseRate(t *testing.T) {
	for _, c := range []struct {
		text  string
		want  uint64
		error string
	}{
		{text: ""},
		{text: "0"},
		{text: "0mbit"},
		{text: "8000", want: 8000},
		{text: "8000bit", want: 8000},
		{text: "8kbit", want: 8000},
		{text: "100mbit", want: 100e6},
		{text: "2.5gbit", want: 2500e6},
		{text: "100gbit", want: 100e9},
		{text: "7999", error: "8kbit to 100gbit"},
		{text: "101gbit", error: "8kbit to 100gbit"},
		{text: "-1mbit", error: "8kbit to 100gbit"},
		{text: "1e300gbit", error: "8kbit to 100gbit"},
		{text: "mbit", error: "want a rate such as 100mbit"},
		{text: "100 mbit", error: "want a rate such as 100mbit"},
		{text: "100Mbit", error: "want a rate such as 100mbit"},
		{text: "100mbps", error: "want a rate such as 100mbit"},
		{text: "inf", error: "want a rate such as 100mbit"},
		{text: "nan", error: "want a rate such as 100mbit"},
		{text: "NaN", error: "8kbit to 100gbit"},
		{text: "Inf", error: "want a rate such as 100mbit"},
		{text: "1x", error: "want a rate such as 100mbit"},
	} {
		got, err := ParseRate(c.text)
		if got != c.want || (err == nil) != (c.error == "") || (err != nil && !strings.Contains(err.Error(), c.error)) {
			t.Errorf("ParseRate(%q) = %d, %v; want %d, error with %q", c.text, got, err, c.want, c.error)
		}
	}
}
