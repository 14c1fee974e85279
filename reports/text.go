// SPDX-License-Identifier: Apache-2.0

package reports

import (
	"bufio"
	"fmt"
	"io"

	"github.com/google/pprof/profile"
)

// TextOptions say what Text shows.
type TextOptions struct {
	SampleType string // name of a sample type; empty for the profile's default
	Top        int    // number of functions; all if 0
	Color      bool   // for a terminal
}

// Text writes a table of functions, the one with the largest flat value first. An error says that the sample type is unknown, or comes from w.
func Text(w io.Writer, p *profile.Profile, opts TextOptions) error {
	index, err := sampleIndex(p, opts.SampleType)
	if err != nil {
		return fmt.Errorf("text: %w", err)
	}
	b := bufio.NewWriter(w)
	writeTable(b, p, index, opts)
	return b.Flush()
}

// writeTable leaves errors to Flush: a bufio.Writer keeps the first one.
func writeTable(b *bufio.Writer, p *profile.Profile, index int, opts TextOptions) {
	look := style(opts.Color)
	valueType := p.SampleType[index]
	total := totalOf(p, index)
	functions := topFunctions(p, index)
	shown := functions
	if opts.Top > 0 && opts.Top < len(shown) {
		shown = shown[:opts.Top]
	}
	fmt.Fprintf(b, "%s %s, %d of %d functions\n", look.heading(printable(valueType.Type)), formatValue(total, valueType.Unit), len(shown), len(functions))
	fmt.Fprintln(b, look.faint(fmt.Sprintf("%10s %7s %10s %7s  %s", "flat", "flat%", "cum", "cum%", "function")))
	for _, f := range shown {
		fmt.Fprintf(b, "%10s %7s %10s %7s  %s\n",
			formatValue(f.flat, valueType.Unit), formatShare(f.flat, total),
			formatValue(f.cum, valueType.Unit), formatShare(f.cum, total), look.named(f.frame, f.label()))
	}
}
