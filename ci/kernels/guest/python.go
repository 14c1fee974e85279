// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/pprof/profile"

	"github.com/assaylab/assay/ci/kernels/report"
)

// pythonTruth computes in functions of Python. Nothing but itself and the modules that it needs is imported.
var pythonTruth = program{command: []string{"/usr/bin/python3.11", "-I", "-S", script}, says: readTimes, right: checkWays}

const script = "/scripts/split.py"

// readTimes reads what a program of internal/truth says of its CPU time.
func readTimes(out string) (map[string]report.Span, error) {
	times := map[string]report.Span{}
	for line := range strings.Lines(out) {
		name, value, _ := strings.Cut(strings.TrimSpace(strings.TrimPrefix(line, "cpu_ns.")), "=")
		ns, err := strconv.ParseInt(value, 10, 64)
		if err != nil {
			return nil, err
		}
		times[name] = report.Span{Least: time.Duration(ns), Most: time.Duration(ns)}
	}
	return times, nil
}

// call is a frame that called another: its function, and part of the line where it did.
type call struct{ function, text string }

// ways lead to the functions of the script that compute, the innermost call first.
var ways = map[string][]call{
	"thirty": {
		{"descend", "thirty(end)"},
		{"descend", "descend(depth - 1"},
		{"descend", "descend(depth - 1"},
		{"descend", "descend(depth - 1"},
		{"descend", "descend(depth - 1"},
		{"run.<locals>.<lambda>", "descend(4"},
		{"Share.work", "self.function("},
		{"run", "s.work()"},
		{"<module>", "run()"},
	},
	"seventy": {{"Share.work", "self.function("}, {"run", "s.work()"}, {"<module>", "run()"}},
}

// checkWays wants each sample of a function to have come there by the way that the script has, line by line.
func checkWays(p *profile.Profile, functions map[string]report.Span) error {
	text, err := os.ReadFile(script)
	if err != nil {
		return err
	}
	source := strings.Split(string(text), "\n")
	for _, s := range p.Sample {
		frames := framesOf(s, script)
		for name := range functions {
			inner := slices.IndexFunc(frames, func(f profile.Line) bool { return f.Function.Name == name })
			if inner < 0 {
				continue
			}
			if err := checkWay(frames[inner+1:], ways[name], source); err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
		}
	}
	return nil
}

func checkWay(frames []profile.Line, way []call, source []string) error {
	if len(frames) != len(way) {
		return fmt.Errorf("%d frames called it, want %d", len(frames), len(way))
	}
	var problems []error
	for i, f := range frames {
		if f.Function.Name != way[i].function || f.Line < 1 || f.Line > int64(len(source)) || !strings.Contains(source[f.Line-1], way[i].text) {
			problems = append(problems, fmt.Errorf("frame %d is %s, line %d, want %s at %q", i, f.Function.Name, f.Line, way[i].function, way[i].text))
		}
	}
	return errors.Join(problems...)
}

// framesOf are the frames of a sample that lie in a source file.
func framesOf(s *profile.Sample, file string) []profile.Line {
	var frames []profile.Line
	for _, l := range s.Location {
		for _, line := range l.Line {
			if line.Function.Filename == file {
				frames = append(frames, line)
			}
		}
	}
	return frames
}
