// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"fmt"
	"strconv"
	"strings"
)

// The slowest and the fastest rate limit, in bit/s.
const (
	minRate = 8e3
	maxRate = 100e9
)

var rateUnits = map[string]float64{"": 1, "bit": 1, "kbit": 1e3, "mbit": 1e6, "gbit": 1e9}

// ParseRate reads a rate in bit/s: a number with bit, kbit, mbit or gbit, such as 100mbit or 2.5gbit. "" and 0 are 0, no limit. Units are
// powers of 1000, as those of tc.
func ParseRate(text string) (uint64, error) {
	if text == "" {
		return 0, nil
	}
	digits := strings.TrimRight(text, "abcdefghijklmnopqrstuvwxyz")
	x, err := strconv.ParseFloat(digits, 64)
	unit, known := rateUnits[text[len(digits):]]
	if err != nil || !known {
		return 0, fmt.Errorf("%q: want a rate such as 100mbit, in bit, kbit, mbit or gbit", text)
	}
	rate := x * unit
	if rate != 0 && !(rate >= minRate && rate <= maxRate) {
		return 0, fmt.Errorf("%q: want 0 (no limit), or 8kbit to 100gbit", text)
	}
	return uint64(rate), nil
}
