// SPDX-License-Identifier: Apache-2.0

package reports

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// printable escapes what a terminal would act upon (control characters, reordering of text) and bytes that are not UTF-8.
func printable(s string) string {
	if utf8.ValidString(s) && strings.IndexFunc(s, isUnprintable) < 0 {
		return s
	}
	var b strings.Builder
	for len(s) > 0 {
		r, size := utf8.DecodeRuneInString(s)
		switch {
		case r == utf8.RuneError && size == 1:
			fmt.Fprintf(&b, `\x%02x`, s[0])
		case isUnprintable(r):
			b.WriteString(strings.Trim(strconv.QuoteRune(r), "'"))
		default:
			b.WriteString(s[:size])
		}
		s = s[size:]
	}
	return b.String()
}

func isUnprintable(r rune) bool { return !unicode.IsPrint(r) }

// shorten cuts the middle of s out so that it has at most width characters: names differ at both ends.
func shorten(s string, width int) string {
	runes := []rune(s)
	if len(runes) <= width {
		return s
	}
	tail := width / 2
	return string(runes[:width-tail-1]) + "…" + string(runes[len(runes)-tail:])
}

// nanosecondsIn has the units of time that profiles use.
var nanosecondsIn = map[string]float64{"nanoseconds": 1, "microseconds": 1e3, "milliseconds": 1e6, "seconds": 1e9}

// formatValue writes a value with the unit of its sample type.
func formatValue(v int64, unit string) string {
	if v == 0 {
		return "0"
	}
	if ns, ok := nanosecondsIn[unit]; ok {
		return formatNanoseconds(float64(v) * ns)
	}
	switch unit {
	case "count", "":
		return formatCount(v)
	case "bytes":
		return formatBytes(v)
	}
	return formatCount(v) + " " + printable(unit)
}

// formatNanoseconds writes three digits and a unit; minutes and seconds from a minute on.
func formatNanoseconds(ns float64) string {
	switch size := math.Abs(ns); {
	case size == 0:
		return "0"
	case size < 1e3:
		return strconv.FormatFloat(ns, 'f', 0, 64) + "ns"
	case size < 1e6:
		return threeDigits(ns/1e3) + "µs"
	case size < 1e9:
		return threeDigits(ns/1e6) + "ms"
	case size < 60e9:
		return threeDigits(ns/1e9) + "s"
	case size < math.MaxInt64:
		return time.Duration(ns).Round(time.Second).String()
	}
	return threeDigits(ns/3600e9) + "h"
}

func formatBytes(n int64) string {
	x := float64(n)
	for _, unit := range []string{"B", "KiB", "MiB", "GiB"} {
		if math.Abs(x) < 1024 {
			if unit == "B" {
				return strconv.FormatInt(n, 10) + " B"
			}
			return threeDigits(x) + " " + unit
		}
		x /= 1024
	}
	return threeDigits(x) + " TiB"
}

func threeDigits(x float64) string {
	switch size := math.Abs(x); {
	case size >= 100:
		return strconv.FormatFloat(x, 'f', 0, 64)
	case size >= 10:
		return strconv.FormatFloat(x, 'f', 1, 64)
	}
	return strconv.FormatFloat(x, 'f', 2, 64)
}

// formatCount writes n with a comma at each thousand.
func formatCount(n int64) string {
	digits := strconv.FormatInt(n, 10)
	sign := ""
	if n < 0 {
		sign, digits = "-", digits[1:]
	}
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return sign + digits
}

// formatShare writes part of whole in percent, with more digits for small shares; "-" for a share of nothing.
func formatShare(part, whole int64) string {
	if whole == 0 {
		return "-"
	}
	share := 100 * float64(part) / float64(whole)
	switch {
	case part == 0:
		return "0%"
	case math.Abs(share) < 0.1:
		return strconv.FormatFloat(share, 'f', 3, 64) + "%"
	}
	return strconv.FormatFloat(share, 'f', 1, 64) + "%"
}

// addSaturating adds without wrapping around.
func addSaturating(a, b int64) int64 {
	sum := a + b
	switch {
	case a > 0 && b > 0 && sum < 0:
		return math.MaxInt64
	case a < 0 && b < 0 && sum >= 0:
		return math.MinInt64
	}
	return sum
}
