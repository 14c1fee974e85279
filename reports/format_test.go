// SPDX-License-Identifier: Apache-2.0

package reports

import (
	"math"
	"testing"
)

func TestFormatValue(t *testing.T) {
	for _, test := range []struct {
		value int64
		unit  string
		want  string
	}{
		{0, "nanoseconds", "0"},
		{999, "nanoseconds", "999ns"},
		{1234, "nanoseconds", "1.23µs"},
		{12_340_000, "nanoseconds", "12.3ms"},
		{59_900_000_000, "nanoseconds", "59.9s"},
		{200_000_000_000, "nanoseconds", "3m20s"},
		{-1500, "nanoseconds", "-1.50µs"},
		{2, "seconds", "2.00s"},
		{math.MaxInt64, "seconds", "2562047788015216h"},
		{1234567, "count", "1,234,567"},
		{-123, "count", "-123"},
		{-1234, "", "-1,234"},
		{math.MinInt64, "count", "-9,223,372,036,854,775,808"},
		{1023, "bytes", "1023 B"},
		{1536, "bytes", "1.50 KiB"},
		{math.MaxInt64, "bytes", "8388608 TiB"},
		{5, "pages", "5 pages"},
	} {
		if got := formatValue(test.value, test.unit); got != test.want {
			t.Errorf("formatValue(%d, %q) = %q, want %q", test.value, test.unit, got, test.want)
		}
	}
}

func TestFormatShare(t *testing.T) {
	for _, test := range []struct {
		part, whole int64
		want        string
	}{
		{0, 0, "-"},
		{0, 5, "0%"},
		{1, 3, "33.3%"},
		{1, 10000, "0.010%"},
		{5, 5, "100.0%"},
	} {
		if got := formatShare(test.part, test.whole); got != test.want {
			t.Errorf("formatShare(%d, %d) = %q, want %q", test.part, test.whole, got, test.want)
		}
	}
}

func TestShorten(t *testing.T) {
	for _, test := range []struct {
		text  string
		width int
		want  string
	}{
		{"abc", 3, "abc"},
		{"abcdefgh", 5, "ab…gh"},
		{"äöüßäöüß", 4, "ä…üß"},
	} {
		if got := shorten(test.text, test.width); got != test.want {
			t.Errorf("shorten(%q, %d) = %q, want %q", test.text, test.width, got, test.want)
		}
	}
}
