// SPDX-License-Identifier: Apache-2.0

package main_test

import (
	"errors"
	"fmt"
	"path/filepath"
	"testing"

	"github.com/google/pprof/profile"

	"github.com/assaylab/assay/internal/truth"
)

// TestNode records a program of known shares in JavaScript, with names from the perf map that V8 writes when asked.
func TestNode(t *testing.T) {
	script := filepath.Join(truth.Sources(t), "split.mjs")
	settle(t, 1, func(seconds float64) error {
		r := record(t, flags(cpuFlags, "--", "node", "--perf-basic-prof", "--interpreted-frames-native-stack", script, secondsArg(seconds))...)
		return errors.Join(compareCPU(t, r.p, r.truth(t).Group("cpu_ns")), checkPlace(r.p, "seventy", script, 18))
	})
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
