// SPDX-License-Identifier: Apache-2.0

package truth

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"
)

// Says is what a program said, by key.
type Says map[string]int64

// Parse reads the output of a program. An error says which line is none of the truth.
func Parse(output string) (Says, error) {
	said := Says{}
	for line := range strings.Lines(output) {
		line = strings.TrimSuffix(line, "\n")
		key, value, _ := strings.Cut(line, "=")
		n, err := strconv.ParseInt(value, 10, 64)
		if err != nil || key == "" {
			return nil, fmt.Errorf("truth: line %q is not KEY=INTEGER", line)
		}
		said[key] = n
	}
	return said, nil
}

// Want returns what was said of key, and ends the test if nothing was.
func (s Says) Want(t testing.TB, key string) int64 {
	t.Helper()
	n, ok := s[key]
	if !ok {
		t.Fatalf("the program didn't say %s: %v", key, s)
	}
	return n
}

// Group returns the times said under a unit, by name: Group("cpu_ns") has "main" for the key cpu_ns.main.
func (s Says) Group(unit string) map[string]time.Duration {
	group := map[string]time.Duration{}
	for key, n := range s {
		if name, ok := strings.CutPrefix(key, unit+"."); ok {
			group[name] = time.Duration(n)
		}
	}
	return group
}

// A Span is the sum of some waits, which is known to lie between two others, and the longest of them.
type Span struct{ Least, Most, Longest time.Duration }

// Spans returns the waits by name.
func (s Says) Spans() map[string]Span {
	spans := map[string]Span{}
	least, longest := s.Group("least_ns"), s.Group("longest_ns")
	for name, most := range s.Group("most_ns") {
		spans[name] = Span{least[name], most, longest[name]}
	}
	return spans
}
