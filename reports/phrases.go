// SPDX-License-Identifier: Apache-2.0

package reports

import (
	"fmt"
	"strings"
)

// phrases gathers the pieces of one line, each with the fact it is made from; a fact that is missing leaves no piece.
type phrases []string

func (s *phrases) say(format string, args ...any) { *s = append(*s, fmt.Sprintf(format, args...)) }

func (s *phrases) text(v *string, format string) {
	if v != nil && *v != "" {
		s.say(format, printable(*v))
	}
}

func (s *phrases) count(v *int64, format string) {
	if v != nil {
		s.say(format, formatCount(*v))
	}
}

func (s *phrases) duration(v *int64, format string) {
	if v != nil {
		s.say(format, formatNanoseconds(float64(*v)))
	}
}

func (s *phrases) bytes(v *int64, format string) {
	if v != nil {
		s.say(format, formatBytes(*v))
	}
}

func (s *phrases) share(part *int64, whole int64, format string) {
	if part != nil && whole != 0 {
		s.say(format, formatShare(*part, whole))
	}
}

// each says every entry of counts, the largest first.
func (s *phrases) each(counts map[string]int64, unit string) {
	for _, name := range byCount(counts) {
		s.say("%s %s", formatValue(counts[name], unit), words(name))
	}
}

// words makes text of a name in a fact's key.
func words(name string) string { return strings.ReplaceAll(printable(name), "_", " ") }

func sum(counts map[string]int64) int64 {
	var total int64
	for _, n := range counts {
		total = addSaturating(total, n)
	}
	return total
}

// at returns what v points to, 0 if nothing.
func at(v *int64) int64 {
	if v == nil {
		return 0
	}
	return *v
}
