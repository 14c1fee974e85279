// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/google/pprof/profile"

	"github.com/assaylab/assay/profiler"
)

// A stopRow compares the stacks of a program with those that gdb finds when each sample stops it.
type stopRow struct {
	Case   string `json:"case"`
	Stops  int    `json:"stops"`
	Frames int    `json:"frames"` // that gdb found
	Equal  int    `json:"equal"`  // frames of ours that are the same, in the same place
	Whole  int    `json:"whole"`  // stacks that are the same in all frames
	Failed string `json:"failed,omitempty"`
	// Examples are stacks of gdb's without an equal of ours, each with the one of ours that is most like it.
	Examples []string `json:"examples,omitempty"`
}

const maxExamples = 3

// A frame is a place in a file, or an address without one.
type frame struct {
	File   string
	Offset uint64
}

func (f frame) String() string { return fmt.Sprintf("%s+%#x", filepath.Base(f.File), f.Offset) }

// key is a stack as text, from the leaf on.
func key(stack []frame) string { return strings.Trim(fmt.Sprint(stack), "[]") }

// compareStops builds a case and runs it in gdb.
func (l *lab) compareStops(ctx context.Context, c program) stopRow {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	r := stopRow{Case: c.name}
	theirs, ours, err := l.runStops(ctx, c)
	if err != nil {
		r.Failed = err.Error()
		return r
	}
	r.compare(theirs, ours)
	return r
}

// runStops returns the stacks of a run, as gdb finds them and as we do, from the leaf on.
func (l *lab) runStops(ctx context.Context, c program) (theirs, ours [][]frame, err error) {
	work, err := l.prepare(ctx, c)
	if err != nil {
		return nil, nil, err
	}
	g, err := l.startDebugger(ctx, work, l.words(c.run))
	if err != nil {
		return nil, nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	done := make(chan error, 1)
	rec, err := profiler.Record(ctx, profiler.Options{
		Modes: []profiler.Mode{profiler.CPU}, Freq: stopFreq, PIDs: []int{g.pid}, Stop: true,
		Started: func() {
			go func() {
				var err error
				theirs, err = g.stacks()
				cancel()
				done <- err
			}()
		},
	})
	if err != nil {
		return nil, nil, errors.Join(err, g.end())
	}
	err = errors.Join(<-done, g.end())
	return theirs, stacksOf(rec.Profile), errors.Join(err, rec.Close())
}

// stopFreq is low enough for a program to get on between two stops.
const stopFreq = 499

// A debugger is a gdb that has started a program and waits.
type debugger struct {
	cmd   *exec.Cmd
	pid   int // of the program
	said  *bufio.Reader
	files []*os.File
	goOn  *os.File
}

func (l *lab) startDebugger(ctx context.Context, work string, args []string) (*debugger, error) {
	script := filepath.Join(l.folder, "programs", "stops.py")
	cmd := exec.CommandContext(ctx, "gdb", append([]string{"-q", "-nx", "-batch", "-x", script, "--args"}, args...)...)
	cmd.Dir = work
	out, outW, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	inR, in, err := os.Pipe()
	if err != nil {
		return nil, errors.Join(err, out.Close(), outW.Close())
	}
	cmd.ExtraFiles = []*os.File{outW, inR}
	cmd.Env = append(os.Environ(), "STOPS_OUT=3", "STOPS_IN=4", "STOPS="+strconv.Itoa(l.settings.stops))
	d := &debugger{cmd: cmd, said: bufio.NewReader(out), goOn: in, files: []*os.File{out, in}}
	err = cmd.Start()
	err = errors.Join(err, outW.Close(), inR.Close())
	if err == nil {
		_, err = fmt.Fscanln(d.said, &d.pid)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("gdb: %w", err), d.end())
	}
	return d, nil
}

// stacks lets the program go and reads what gdb finds at its stops.
func (d *debugger) stacks() ([][]frame, error) {
	if _, err := d.goOn.Write([]byte{'\n'}); err != nil {
		return nil, err
	}
	var all [][]frame
	for {
		line, err := d.said.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			return all, nil
		}
		if err != nil {
			return nil, err
		}
		var stack []frame
		if err := json.Unmarshal(line, &stack); err != nil {
			return nil, fmt.Errorf("gdb said %q: %w", line, err)
		}
		all = append(all, stack)
	}
}

// end waits for gdb, which ends by itself when nobody listens any more.
func (d *debugger) end() error {
	var errs []error
	for _, f := range d.files {
		errs = append(errs, f.Close())
	}
	if d.cmd.Process != nil {
		errs = append(errs, d.cmd.Wait())
	}
	return errors.Join(errs...)
}

// stacksOf returns the user stacks of a profile, each as often as it was sampled.
func stacksOf(p *profile.Profile) [][]frame {
	var all [][]frame
	for _, s := range p.Sample {
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
		for range s.Value[0] {
			all = append(all, stack)
		}
	}
	return all
}

// compare pairs each stack of gdb's with one of ours: an equal one, or else the one that is most like it of those left.
func (r *stopRow) compare(theirs, ours [][]frame) {
	left := map[string][][]frame{}
	for _, s := range ours {
		left[key(s)] = append(left[key(s)], s)
	}
	var without [][]frame
	for _, s := range theirs {
		r.Stops++
		r.Frames += len(s)
		if !take(left, s) {
			without = append(without, s)
			continue
		}
		r.Whole++
		r.Equal += len(s)
	}
	for _, s := range without {
		like := mostLike(left, s)
		take(left, like)
		r.Equal += common(s, like)
		if len(r.Examples) < maxExamples {
			r.Examples = append(r.Examples, fmt.Sprintf("gdb:   %s\nassay: %s", key(s), key(like)))
		}
	}
}

// take takes a stack out of those left, if it is there. Where a thread is in a system call, its leaf counts as a return address.
func take(left map[string][][]frame, stack []frame) bool {
	for back := range uint64(2) {
		if len(stack) == 0 {
			return false
		}
		called := slices.Clone(stack)
		called[0].Offset -= back
		if k := key(called); len(left[k]) > 0 {
			left[k] = left[k][1:]
			return true
		}
	}
	return false
}

// mostLike returns the stack left that shares most frames.
func mostLike(left map[string][][]frame, stack []frame) []frame {
	var best []frame
	for _, stacks := range left {
		if len(stacks) > 0 && (best == nil || common(stack, stacks[0]) > common(stack, best)) {
			best = stacks[0]
		}
	}
	return best
}

// common counts the frames that two stacks share, from the leaf on.
func common(a, b []frame) int {
	n := 0
	for n < min(len(a), len(b)) && a[n] == b[n] {
		n++
	}
	return n
}

// stopTable writes the rows as a table in Markdown, and the examples under it.
func stopTable(out io.Writer, rows []stopRow) error {
	var b strings.Builder
	b.WriteString("| program | stops | frames by gdb | equal | stacks equal in all frames |\n| --- | --- | --- | --- | --- |\n")
	for _, r := range rows {
		if r.Failed != "" {
			fmt.Fprintf(&b, "| %s | not measured: %s | | | |\n", r.Case, r.Failed)
			continue
		}
		fmt.Fprintf(&b, "| %s | %d | %d | %.2f%% | %.2f%% |\n", r.Case, r.Stops, r.Frames,
			100*float64(r.Equal)/float64(max(r.Frames, 1)), 100*float64(r.Whole)/float64(max(r.Stops, 1)))
	}
	for _, r := range slices.DeleteFunc(slices.Clone(rows), func(r stopRow) bool { return len(r.Examples) == 0 }) {
		fmt.Fprintf(&b, "\n%s, stacks that differ:\n\n```\n%s\n```\n", r.Case, strings.Join(r.Examples, "\n"))
	}
	_, err := io.WriteString(out, b.String())
	return err
}
