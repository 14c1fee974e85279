// SPDX-License-Identifier: Apache-2.0

package main_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/assaylab/assay/scenarios/knobs"
)

// assayPath is the command under test, built once for all tests, as `make build` does.
var assayPath string

func TestMain(m *testing.M) {
	code, err := runWithCommand(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, "cmd/assay:", err)
		code = 1
	}
	os.Exit(code)
}

func runWithCommand(m *testing.M) (code int, err error) {
	folder, err := os.MkdirTemp("", "assay-command")
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(folder)) }()
	if err := os.Chmod(folder, 0o755); err != nil { // other users run it too
		return 0, err
	}
	// What tests change is written down apart from the journal of this machine, which may be in use.
	if err := os.Setenv(knobs.StateVariable, filepath.Join(folder, "state")); err != nil {
		return 0, err
	}
	assayPath = filepath.Join(folder, "assay")
	build := exec.Command("go", "build", "-trimpath", "-o", assayPath, ".")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return 0, fmt.Errorf("go build: %w\n%s", err, out)
	}
	return m.Run(), nil
}
