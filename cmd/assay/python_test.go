// SPDX-License-Identifier: Apache-2.0

package main_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/pprof/profile"

	"github.com/assaylab/assay/internal/truth"
)

// pythons are the interpreters of this machine: Debian's, and each series that pyenv has.
func pythons(t testing.TB) []string {
	t.Helper()
	home, err := os.UserHomeDir()
	if err != nil {
		t.Fatal(err)
	}
	found := []string{"/usr/bin/python3"}
	for minor := 8; minor <= 13; minor++ {
		paths, err := filepath.Glob(fmt.Sprintf("%s/.pyenv/versions/3.%d.*/bin/python3", home, minor))
		if err != nil {
			t.Fatal(err)
		}
		found = append(found, paths...)
	}
	return found
}

// TestPython records a program of known shares in Python: with its functions, and the way to them, on both of its threads.
func TestPython(t *testing.T) {
	script := filepath.Join(truth.Sources(t), "split.py")
	thread := []string{"Thread.run", "Thread._bootstrap_inner", "Thread._bootstrap"}
	for i, python := range pythons(t) {
		t.Run(python, func(t *testing.T) {
			args, root := []string{}, []string{"<module>"}
			if i%2 == 0 {
				args, root = []string{"on a thread"}, thread
			}
			settle(t, 0.4, func(seconds float64) error {
				r := record(t, append(flags(cpuFlags, "--", python, script, secondsArg(seconds)), args...)...)
				return errors.Join(compareCPU(t, r.p, r.truth(t).Group("cpu_ns")), checkWays(r.p, root))
			})
		})
	}
}

// TestPythonThatLies records a program that only looks like Python: its stacks are cut, its functions lost, all of it is counted, and
// nothing hangs.
func TestPythonThatLies(t *testing.T) {
	program := truth.Recipe{Sources: []string{"python3.9.c"}, Flags: []string{"-rdynamic"}}.Build(t)
	settle(t, 0.5, func(seconds float64) error {
		r := record(t, append(flags(cpuFlags), "--", program, secondsArg(seconds))...)
		r.truth(t)
		if r.fact(t, "lost.python_frames") < 128 {
			return errors.New("no frame of Python was lost")
		}
		lost := sum(t, r.p, "samples", onStack("[Python function lost]"))
		if seen := sum(t, r.p, "samples", all); lost == 0 || lost > seen {
			return fmt.Errorf("%d of %d samples have lost functions", lost, seen)
		}
		return nil
	})
}

// checkWays wants of each sample in thirty or seventy that it came there by the way that the source has. Before 3.11 a function's code
// doesn't know its class.
func checkWays(p *profile.Profile, root []string) error {
	ways := map[string][]string{
		"thirty":  append([]string{"descend", "descend", "descend", "descend", "descend", "<lambda>", "work", "run"}, root...),
		"seventy": append([]string{"work", "run"}, root...),
	}
	var errs []error
	for _, s := range p.Sample {
		frames := pythonFrames(s)
		for name, way := range ways {
			i := slices.Index(frames, name)
			if i < 0 {
				continue
			}
			if got, want := strings.Join(frames[i+1:], " "), lastParts(way); got != want {
				errs = append(errs, fmt.Errorf("%s came from %s, want %s", name, got, want))
			}
		}
	}
	return errors.Join(errs[:min(len(errs), 5)]...)
}

// pythonFrames are the frames of Python of a sample, innermost first, by the last part of their names.
func pythonFrames(s *profile.Sample) []string {
	var frames []string
	for _, l := range s.Location {
		for _, line := range l.Line {
			if f := line.Function; strings.HasSuffix(f.Filename, ".py") {
				frames = append(frames, lastPart(f.Name))
			}
		}
	}
	return frames
}

func lastPart(name string) string { return name[strings.LastIndex(name, ".")+1:] }

func lastParts(names []string) string {
	parts := make([]string, len(names))
	for i, n := range names {
		parts[i] = lastPart(n)
	}
	return strings.Join(parts, " ")
}
