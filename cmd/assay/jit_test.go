// SPDX-License-Identifier: Apache-2.0

package main_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/google/pprof/profile"

	"github.com/assaylab/assay/internal/truth"
)

// TestNode records a program of known shares in JavaScript, with names from the perf map that V8 writes when asked.
func TestNode(t *testing.T) {
	script := filepath.Join(truth.Sources(t), "split.mjs")
	settle(t, 1, func(seconds float64) error {
		r := record(t, flags(cpuFlags, "--", "node", "--perf-basic-prof", "--interpreted-frames-native-stack", script, secondsArg(seconds))...)
		removePerfMap(t, r.p)
		return errors.Join(compareCPU(t, r.p, r.truth(t).Group("cpu_ns")), checkPlace(r.p, "seventy", script, 18))
	})
}

// TestJITDump records the same program, which tells of its code in the way that has lines, too.
func TestJITDump(t *testing.T) {
	script := filepath.Join(truth.Sources(t), "split.mjs")
	settle(t, 1, func(seconds float64) error {
		r := record(t, flags(cpuFlags, "--", "node", "--perf-prof", "--interpreted-frames-native-stack", script, secondsArg(seconds))...)
		return errors.Join(compareCPU(t, r.p, r.truth(t).Group("cpu_ns")), checkLines(r.p, "turn", script, 8))
	})
}

// TestJava records a program of known shares in Java, which is asked for the names of its code when recording ends. Without inlining, as
// HotSpot tells nothing of inlined calls.
func TestJava(t *testing.T) {
	folder, classes := truth.Sources(t), t.TempDir()
	if _, stderr, err := run(t, "javac", "-d", classes, filepath.Join(folder, "Split.java")); err != nil {
		t.Fatalf("%v\n%s", err, stderr)
	}
	settle(t, 0.5, func(seconds float64) error {
		ready := filepath.Join(t.TempDir(), "ready")
		p := launch(t, "java", "-XX:+PreserveFramePointer", "-XX:-Inline", "-cp", classes, "Split", secondsArg(seconds), ready)
		await(t, ready)
		time.AfterFunc(settlingTime, func() { p.open(t) })
		length := time.Duration(seconds*float64(time.Second)) + settlingTime
		r := record(t, append(flags(cpuFlags), "--java-maps", "--duration", length.String(), "--pid", p.pid())...)
		if _, err := os.Stat("/tmp/perf-" + p.pid() + ".map"); err == nil {
			t.Error("the map that was asked for is still there")
		}
		if err := p.stdin.Close(); err != nil {
			t.Fatal(err)
		}
		times := p.wait(t).Group("cpu_ns") // the recording may have ended first, but the shares are the same all the time
		return compareShares(samplesOf(t, r.p, times), times)
	})
}

// await waits for a file to be made.
func await(t testing.TB, file string) {
	t.Helper()
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if _, err := os.Stat(file); err == nil {
			return
		}
	}
	t.Fatalf("%s was not made", file)
}

// checkLines wants a function to have been seen in a line, its inner loop, more often than in all others.
func checkLines(p *profile.Profile, name, file string, loop int64) error {
	lines := map[int64]int64{}
	for _, s := range p.Sample {
		for _, l := range s.Location {
			if len(l.Line) == 1 && l.Line[0].Function.Name == name && l.Line[0].Function.Filename == file {
				lines[l.Line[0].Line] += s.Value[0]
			}
		}
	}
	for line, n := range lines {
		if line != loop && n >= lines[loop] {
			return fmt.Errorf("%s: samples by line are %v, most should be in %d", name, lines, loop)
		}
	}
	return nil
}

// removePerfMap removes the perf map that the recorded command left, since V8 does not.
func removePerfMap(t testing.TB, p *profile.Profile) {
	t.Helper()
	for _, s := range p.Sample {
		if slices.Contains(s.Label["comm"], "node") {
			remove(t, fmt.Sprintf("/tmp/perf-%d.map", s.NumLabel["pid"][0]))
			return
		}
	}
}

// checkPlace wants a function to be in a file, from a line on.
func checkPlace(p *profile.Profile, name, file string, line int64) error {
	for _, f := range p.Function {
		if f.Name == name && f.Filename == file && f.StartLine == line {
			return nil
		}
	}
	return fmt.Errorf("no function %s at %s:%d", name, file, line)
}
