// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/assaylab/assay/scenarios/network/lab/leaktest"
)

// deadPID is that of a process that is gone.
func deadPID(t *testing.T) int {
	t.Helper()
	c := exec.Command("true")
	if err := c.Run(); err != nil {
		t.Fatal(err)
	}
	return c.Process.Pid
}

// makeNamespace makes a namespace with a name, and removes it after the test if it's still there.
func makeNamespace(t *testing.T, name string) {
	t.Helper()
	handle, err := newNamed(name)
	if err != nil {
		t.Fatal(err)
	}
	if err := handle.Close(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := removeName(name); err != nil {
			t.Error(err)
		}
	})
}

func TestCleanUp(t *testing.T) {
	leaktest.Check(t)
	dead := deadPID(t)
	leftover, half := fmt.Sprintf("assay-%d-1", dead), fmt.Sprintf("assay-%d-2", dead)
	ours, foreign := fmt.Sprintf("assay-%d-0", os.Getpid()), fmt.Sprintf("assay-test-%d", dead)
	for _, name := range []string{leftover, ours, foreign} {
		makeNamespace(t, name)
	}
	// A process killed between two system calls leaves a file and no namespace.
	if err := os.WriteFile(filepath.Join(directory, half), nil, 0o444); err != nil {
		t.Fatal(err)
	}
	removed, err := CleanUp()
	if err != nil || removed < 2 { // others may have left some too
		t.Errorf("CleanUp() = %d, %v; want at least 2", removed, err)
	}
	for name, want := range map[string]bool{leftover: false, half: false, ours: true, foreign: true} {
		if _, err := os.Stat(filepath.Join(directory, name)); (err == nil) != want {
			t.Errorf("%s is there: %t, want %t (%v)", name, err == nil, want, err)
		}
	}
}

func TestIsLeftover(t *testing.T) {
	dead := deadPID(t)
	for name, want := range map[string]bool{
		fmt.Sprintf("assay-%d-1", dead):                     true,
		fmt.Sprintf("assay-%d-1", os.Getpid()):              false,
		fmt.Sprintf("assay-%d", dead):                       false,
		fmt.Sprintf("assay-%d-x", dead):                     false,
		fmt.Sprintf("my-assay-%d-1", dead):                  false,
		"assay-1-1":                                         false,
		"assay-0-1":                                         false,
		"assay--1-1":                                        false,
		"assay-99999999999999999999999999999999999999999-1": false,
	} {
		if got := isLeftover(name); got != want {
			t.Errorf("isLeftover(%q) = %t", name, got)
		}
	}
}

// TestNameTaken wants a namespace of somebody else to stay, and the next name to be used.
func TestNameTaken(t *testing.T) {
	leaktest.Check(t)
	taken := fmt.Sprintf("assay-%d-%d", os.Getpid(), spaces.Load()+1)
	makeNamespace(t, taken)
	if _, err := newNamed(taken); !errors.Is(err, fs.ErrExist) {
		t.Errorf("a second %s: %v, want that it exists", taken, err)
	}
	s, err := newSpace()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.close(); err != nil || s.Name == taken {
		t.Errorf("space %s (%v) though that name was taken", s.Name, err)
	}
	if _, err := os.Stat(filepath.Join(directory, taken)); err != nil {
		t.Error(err)
	}
}
