// SPDX-License-Identifier: Apache-2.0

package main

import (
	"debug/elf"
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/google/pprof/profile"

	"github.com/assaylab/assay/profiler"
)

// A stopRow compares the stacks of a program with those that a witness finds when each sample stops it.
type stopRow struct {
	Case   string `json:"case"`
	Stops  int    `json:"stops"`
	Frames int    `json:"frames"` // that the witness found, of the stacks that can be compared
	Equal  int    `json:"equal"`  // frames of ours that are the same, in the same place
	Whole  int    `json:"whole"`  // stacks that are the same in all frames
	Cut    int    `json:"cut"`    // of these, stacks of which we keep no more than the first frames
	Failed string `json:"failed,omitempty"`
	// Differ are the stacks that differ.
	Differ []difference `json:"differ,omitempty"`
}

// A difference is a stack of the witness beside ours.
type difference struct {
	Kind   kind             `json:"kind"`
	Says   profiler.Quality `json:"says"` // what our recorder says of its stack
	Reason string           `json:"reason,omitempty"`
	Theirs []frame          `json:"theirs"`
	Ours   []frame          `json:"ours"`
}

// A kind is why two stacks differ, as far as can be told.
type kind string

const (
	ours   kind = "ours is wrong"
	unsure kind = "ours is told to be broken or guessed"
	// Those that can't be compared:
	madeUp  kind = "theirs has a frame that no call leads to"
	mixed   kind = "theirs has a frame of who throws with the place of who catches" // that libgcc is about to go on at
	short   kind = "theirs ends too soon"                                           // and each further frame of ours lies behind a call
	moved   kind = "the program went on"                                            // between sample and stop: they don't even have the same leaf
	unasked kind = "no sample"                                                      // the program was stopped, but the recorder has no sample of that time
)

// A stop is what a witness found.
type stop struct {
	At     uint64 // CLOCK_MONOTONIC, ns
	Frames []frame
}

// A frame is a place in a file, or an address without one.
type frame struct {
	File   string
	Offset uint64
}

func (f frame) String() string { return fmt.Sprintf("%s+%#x", filepath.Base(f.File), f.Offset) }

// userFrames are the native user frames of a sample, from the leaf on.
func userFrames(s *profile.Sample) []frame {
	var stack []frame
	for _, loc := range s.Location {
		m := loc.Mapping
		switch {
		case m == nil:
			stack = append(stack, frame{"", loc.Address})
		case !strings.HasPrefix(m.File, "[kernel"):
			stack = append(stack, frame{m.File, loc.Address - m.Start + m.Offset})
		}
	}
	return stack
}

// compare pairs each stop with the sample that made it: the last before the witness looked. A program that is stopped is not sampled.
func (r *stopRow) compare(stops []stop, samples []profiler.Stop) {
	for _, s := range stops {
		r.Stops++
		n := 0
		for n < len(samples) && samples[n].At < s.At {
			n++
		}
		if n == 0 {
			r.Differ = append(r.Differ, difference{Kind: unasked, Theirs: s.Frames})
			continue
		}
		r.add(s.Frames, samples[n-1])
		samples = samples[n:]
	}
}

// add compares two stacks of the same moment.
func (r *stopRow) add(theirs []frame, sample profiler.Stop) {
	mine := userFrames(sample.Sample)
	if len(theirs) > 0 && len(mine) > 0 && returns(theirs[0]) == mine[0] {
		mine[0] = theirs[0] // in a system call, our leaf counts as a return address
	}
	if cut := sample.Quality == profiler.Cut && len(theirs) > len(mine); cut && slices.Equal(theirs[:len(mine)], mine) {
		theirs = theirs[:len(mine)]
		r.Cut++
	}
	n := common(theirs, mine)
	if n == len(theirs) && n == len(mine) {
		r.Whole++
		r.count(theirs, n)
		return
	}
	d := difference{why(theirs, mine, n, sample.Quality), sample.Quality, sample.Reason, theirs, mine}
	r.Differ = append(r.Differ, d)
	switch d.Kind {
	case ours, unsure:
		r.count(theirs, n)
	case madeUp:
		// What they found besides the frames that it made up still counts.
		if real := withoutMadeUp(theirs, mine); slices.Equal(real, mine) {
			r.count(real, len(real))
		}
	case mixed:
		r.count(mine, len(mine))
	}
}

// isMixed says whether their stack is ours but for the frame behind those of libgcc, which is made of two: before libgcc goes on where an exception is
// caught, it puts the frame pointer of who catches in the place of its own, and then the return address. The bytes prove which of the two
// is the return address of who catches, for that one calls the program itself. TestUnwindThrown of cmd/assay has programs that say who
// called whom.
func isMixed(theirs, mine []frame) bool {
	k := slices.IndexFunc(theirs, func(f frame) bool { return filepath.Base(f.File) != "libgcc_s.so.1" })
	if k < 1 {
		return false
	}
	real := slices.Clone(theirs)
	switch {
	case len(mine) == len(theirs)-1 && theirs[k].callsOwn(): // where who catches is to go on, in the frame of who throws
		real = slices.Delete(real, k, k+1)
		if k < len(real) && real[k] == returns(mine[k]) {
			real[k] = mine[k] // it isn't returned to, and begins there
		}
	case len(mine) != len(theirs):
		return false
	case !theirs[k].callsOwn() && mine[k].callsOwn(), // where who throws was, in the frame of who catches
		theirs[k].callsOwn() && !mine[k].behindCall(): // where who catches called, and not where it is to go on
		real[k] = mine[k]
	}
	return slices.Equal(real, mine)
}

// withoutMadeUp is their stack without the frames that lie behind no call, and that ours does not have.
func withoutMadeUp(theirs, mine []frame) []frame {
	var real []frame
	for _, f := range theirs {
		if n := len(real); n < len(mine) && f != mine[n] && !f.behindCall() {
			continue
		}
		real = append(real, f)
	}
	return real
}

func (r *stopRow) count(theirs []frame, equal int) {
	r.Frames += len(theirs)
	r.Equal += equal
}

// why tells why two stacks differ that share n frames.
func why(theirs, mine []frame, n int, says profiler.Quality) kind {
	switch {
	case n == 0 && len(mine) > 0:
		return moved
	case n < len(theirs) && !theirs[n].behindCall() && n < len(mine) && mine[n].behindCall():
		return madeUp
	case isMixed(theirs, mine):
		return mixed
	case n == len(theirs) && says == profiler.Whole && !slices.ContainsFunc(mine[n:], func(f frame) bool { return !f.behindCall() }):
		return short
	case says != profiler.Whole:
		return unsure
	}
	return ours
}

// returns is the frame as a return address counts: the byte before.
func returns(f frame) frame { return frame{f.File, f.Offset - 1} }

// behindCall says whether the bytes up to that of a frame are an instruction of amd64 that calls, so that it can be one that called.
func (f frame) behindCall() bool {
	const direct, longest = 5, 7
	file, err := os.Open(f.File)
	if err != nil {
		return false
	}
	defer file.Close()
	code := make([]byte, longest)
	if n, err := file.ReadAt(code, int64(f.Offset)+1-longest); err != nil || n < longest {
		return false
	}
	if code[longest-direct] == 0xe8 {
		return true
	}
	// call of what a register or memory says: ff /2, with what its operand needs
	for i := range longest - 1 {
		if code[i] == 0xff && code[i+1]>>3&7 == 2 {
			return true
		}
	}
	return false
}

// callsOwn says whether the bytes up to that of a frame call a place that is known and lies in the code of the same file.
func (f frame) callsOwn() bool {
	const size = 5
	file, err := elf.Open(f.File)
	if err != nil {
		return false
	}
	defer file.Close()
	text := file.Section(".text")
	at := f.Offset + 1 - size
	if text == nil || at < text.Offset || at-text.Offset > text.Size {
		return false
	}
	var call [size]byte
	if _, err := text.ReadAt(call[:], int64(at-text.Offset)); err != nil || call[0] != 0xe8 {
		return false
	}
	target := f.Offset + 1 + uint64(int64(int32(binary.LittleEndian.Uint32(call[1:]))))
	return target-text.Offset < text.Size
}

// common counts the frames that two stacks share, from the leaf on.
func common(a, b []frame) int {
	n := 0
	for n < min(len(a), len(b)) && a[n] == b[n] {
		n++
	}
	return n
}

// of counts the stacks that differ for a reason.
func (r *stopRow) of(k kind) int {
	n := 0
	for _, d := range r.Differ {
		if d.Kind == k {
			n++
		}
	}
	return n
}

// stopTable writes the rows as a table in Markdown, and stacks that differ under it.
func stopTable(out io.Writer, rows []stopRow) error {
	var b strings.Builder
	kinds := []kind{ours, unsure, madeUp, mixed, short, moved, unasked}
	b.WriteString("| program | stops | frames compared | equal | stacks equal in all frames |")
	for _, k := range kinds {
		fmt.Fprintf(&b, " %s |", k)
	}
	b.WriteString("\n|" + strings.Repeat(" --- |", 5+len(kinds)) + "\n")
	for _, r := range rows {
		if r.Failed != "" {
			fmt.Fprintf(&b, "| %s | not measured: %s |%s\n", r.Case, strings.ReplaceAll(r.Failed, "|", `\|`), strings.Repeat(" |", 3+len(kinds)))
			continue
		}
		fmt.Fprintf(&b, "| %s | %d | %d | %.2f%% | %d |", r.Case, r.Stops, r.Frames, 100*float64(r.Equal)/float64(max(r.Frames, 1)), r.Whole)
		for _, k := range kinds {
			fmt.Fprintf(&b, " %d |", r.of(k))
		}
		b.WriteString("\n")
	}
	for _, r := range rows {
		r.writeExamples(&b, kinds)
	}
	_, err := io.WriteString(out, b.String())
	return err
}

// maxExamples is how many stacks that differ for the same reason the table has under it. JSON has all.
const maxExamples = 3

// writeExamples shows the first stacks of each kind, from the last frame that is the same on.
func (r *stopRow) writeExamples(b *strings.Builder, kinds []kind) {
	const frames = 5
	for _, k := range kinds {
		left := maxExamples
		for _, d := range r.Differ {
			if d.Kind != k || left == 0 {
				continue
			}
			left--
			n := common(d.Theirs, d.Ours)
			from := max(n-1, 0)
			part := func(stack []frame) string {
				return strings.Trim(fmt.Sprint(stack[from:min(from+frames, len(stack))]), "[]")
			}
			fmt.Fprintf(b, "\n%s: %s (%s), after %d of %d frames:\n\n```\ntheirs: %s\nours:   %s\n```\n", r.Case, k,
				strings.TrimSpace(string(d.Says)+" "+d.Reason), n, len(d.Theirs), part(d.Theirs), part(d.Ours))
		}
	}
}
