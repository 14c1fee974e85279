// SPDX-License-Identifier: Apache-2.0

package reports

import (
	"bufio"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
)

// Capture sums up a recording of system calls. Except for the file and times, all are numbers of calls.
type Capture struct {
	File       string           `json:"file"`
	DurationNS int64            `json:"duration_ns"`
	EmptyNS    int64            `json:"empty_ns"` // what a call that does next to nothing takes as recorded
	Calls      int64            `json:"calls"`
	Names      map[string]int64 `json:"names"`
	Lost       map[string]int64 `json:"lost"`    // not in the file, by cause
	Partial    map[string]int64 `json:"partial"` // in the file, but not all of it, by what is not as usual
	Unfollowed int64            `json:"unfollowed_processes"`
}

// shownNames is how many names of calls a summary tells of.
const shownNames = 10

// CaptureSummary writes c for people. An error comes from w.
func CaptureSummary(w io.Writer, c *Capture) error {
	b := bufio.NewWriter(w)
	fmt.Fprintf(b, "%s system calls in %s\n", formatCount(c.Calls), formatNanoseconds(float64(c.DurationNS)))
	names := slices.SortedFunc(maps.Keys(c.Names), func(x, y string) int {
		return cmp.Or(cmp.Compare(c.Names[y], c.Names[x]), cmp.Compare(x, y))
	})
	for _, name := range names[:min(len(names), shownNames)] {
		fmt.Fprintf(b, "%12s %s\n", formatCount(c.Names[name]), name)
	}
	if rest := len(names) - shownNames; rest > 0 {
		fmt.Fprintf(b, "%12s and %d other names\n", "", rest)
	}
	if len(c.Lost) == 0 {
		fmt.Fprintln(b, "Lost: none")
	}
	for _, cause := range slices.Sorted(maps.Keys(c.Lost)) {
		fmt.Fprintf(b, "Lost: %s, %s\n", formatCount(c.Lost[cause]), words(cause))
	}
	for _, what := range slices.Sorted(maps.Keys(c.Partial)) {
		fmt.Fprintf(b, "Partial: %s, %s\n", formatCount(c.Partial[what]), words(what))
	}
	if c.Unfollowed > 0 {
		fmt.Fprintf(b, "Not followed: %s processes, for lack of room\n", formatCount(c.Unfollowed))
	}
	fmt.Fprintf(b, "\nWrote %s\n", printable(c.File))
	return b.Flush()
}

// CaptureJSON writes c as one indented JSON object and a newline. An error comes from w.
func CaptureJSON(w io.Writer, c *Capture) error {
	text, err := json.MarshalIndent(c, "", "  ")
	if err != nil {
		return fmt.Errorf("summary: %w", err)
	}
	_, err = w.Write(append(text, '\n'))
	return err
}
