// SPDX-License-Identifier: Apache-2.0

package reports

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"github.com/google/pprof/profile"
)

// SummaryOptions say what Summary and SummaryJSON show beside the profile.
type SummaryOptions struct {
	File  string // where the profile was written; nothing is said if empty
	Color bool   // for a terminal; no colours in JSON
}

// summaryWidth is the number of columns that a summary keeps to.
const summaryWidth = 96

// Summary writes what a recording found, how complete it is and what it cost, for people, in up to 96 columns. What the profile doesn't say is left out. An
// error comes from w.
func Summary(w io.Writer, p *profile.Profile, opts SummaryOptions) error {
	r := newRecord(p, opts.File)
	b := bufio.NewWriter(w)
	look := style(opts.Color)
	d := newDigest(r)
	fmt.Fprintln(b, look.heading(shorten(d.title, summaryWidth)))
	for i, s := range d.sections {
		writeSection(b, s, look)
		if i == 0 {
			writeTops(b, r, look)
		}
	}
	if len(d.sections) == 0 {
		writeTops(b, r, look)
	}
	if r.File != "" {
		fmt.Fprintf(b, "\nWrote %s\n", look.heading(printable(r.File)))
	}
	return b.Flush()
}

// SummaryJSON writes a Record as one indented JSON object and a newline. An error comes from w.
func SummaryJSON(w io.Writer, p *profile.Profile, opts SummaryOptions) error {
	text, err := json.MarshalIndent(newRecord(p, opts.File), "", "  ")
	if err != nil {
		return fmt.Errorf("summary: %w", err)
	}
	_, err = w.Write(append(text, '\n'))
	return err
}

// times returns the sample types that are a time and have any; all that have any value if none is.
func (r *Record) times() []SampleType {
	var times, rest []SampleType
	for _, t := range r.SampleTypes {
		if len(t.Top) == 0 {
			continue
		}
		if _, isTime := nanosecondsIn[t.Unit]; isTime {
			times = append(times, t)
		} else {
			rest = append(rest, t)
		}
	}
	if len(times) > 0 {
		return times
	}
	return rest
}

// writeTops writes a table for each of the times.
func writeTops(b *bufio.Writer, r *Record, look style) {
	for _, t := range r.times() {
		const width = summaryWidth - 38
		fmt.Fprintf(b, "\n%s%s\n", padded(t.Type+", "+formatValue(t.Total, t.Unit), width, look.heading),
			look.faint(fmt.Sprintf("%10s %7s %10s %7s", "flat", "flat%", "cum", "cum%")))
		for _, f := range t.Top {
			fmt.Fprintf(b, "%s%10s %7s %10s %7s\n", padded("  "+f.frame().label(), width, func(s string) string { return look.named(f.frame(), s) }),
				formatValue(f.Flat, t.Unit), formatShare(f.Flat, t.Total), formatValue(f.Cum, t.Unit), formatShare(f.Cum, t.Total))
		}
	}
}

func (f Function) frame() frame {
	switch {
	case !f.Named && f.Kernel:
		return frame{f.Name, unnamedKernel}
	case !f.Named:
		return frame{f.Name, unnamed}
	case f.Kernel:
		return frame{f.Name, kernel}
	}
	return frame{f.Name, user}
}

// padded fits text into width columns and then colours it: colours have no width.
func padded(text string, width int, colour func(string) string) string {
	text = shorten(text, width)
	return colour(text) + strings.Repeat(" ", width-utf8.RuneCountInString(text))
}

func writeSection(b *bufio.Writer, s section, look style) {
	colour := look.heading
	if s.warns {
		colour = look.warning
	}
	fmt.Fprintf(b, "\n%s\n", colour(s.heading))
	for _, l := range s.lines {
		indent := 2
		if l.label != "" {
			indent = 14
		}
		for i, text := range wrap(l.pieces, summaryWidth-indent) {
			label := ""
			if i == 0 {
				label = l.label
			}
			fmt.Fprintf(b, "  %s%s\n", look.faint(fmt.Sprintf("%-*s", indent-2, label)), text)
		}
	}
}

// wrap joins pieces with commas and breaks lines between pieces; a piece that is longer than a line is broken between words, and a word that is
// longer stands out.
func wrap(pieces phrases, width int) []string {
	var words []string
	for i, piece := range pieces {
		if i < len(pieces)-1 {
			piece += ","
		}
		if utf8.RuneCountInString(piece) <= width {
			words = append(words, piece)
			continue
		}
		words = append(words, strings.Fields(piece)...)
	}
	lines := []string{""}
	for _, word := range words {
		last := &lines[len(lines)-1]
		if *last == "" {
			*last = word
			continue
		}
		if utf8.RuneCountInString(*last)+1+utf8.RuneCountInString(word) <= width {
			*last += " " + word
			continue
		}
		lines = append(lines, word)
	}
	return lines
}
