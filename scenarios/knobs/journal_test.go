// SPDX-License-Identifier: Apache-2.0

package knobs

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/assaylab/assay/scenarios/internal/thread"
)

// somaxconn is a sysctl that each network namespace has for itself.
const somaxconn = "sysctl:net.core.somaxconn"

// inSpace runs a test in a network namespace of its own.
func inSpace(t *testing.T, f func() error) {
	t.Helper()
	err := thread.Do(func() error {
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			return err
		}
		return f()
	})
	if err != nil {
		t.Fatal(err)
	}
}

// mustParse parses a knob with values.
func mustParse(t *testing.T, text string) *Knob {
	t.Helper()
	k, err := Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// wantRead compares what a knob is set to.
func wantRead(t *testing.T, k *Knob, want string) {
	t.Helper()
	if got, err := k.Read(); err != nil || got != want {
		t.Errorf("%s is %q, %v; want %q", k, got, err, want)
	}
}

// TestJournal sets, and puts back.
func TestJournal(t *testing.T) {
	path := filepath.Join(t.TempDir(), "assay", "journal")
	inSpace(t, func() error {
		k := mustParse(t, somaxconn+"=128,256")
		original, err := k.Read()
		if err != nil {
			return err
		}
		j, err := OpenJournal(path)
		if err != nil {
			return err
		}
		if _, err := OpenJournal(path); !errors.Is(err, ErrHeld) {
			t.Errorf("a second run: %v", err)
		}
		for _, value := range k.Values {
			if err := j.Set(k, value); err != nil {
				t.Error(err)
			}
			wantRead(t, k, value)
		}
		if err := j.Close(); err != nil {
			t.Error(err)
		}
		wantRead(t, k, original)
		if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("the journal after Close: %v", err)
		}
		return nil
	})
}

// TestLeft finds a journal that a dead run left.
func TestLeft(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal")
	inSpace(t, func() error {
		k := mustParse(t, somaxconn+"=128")
		original, err := k.Read()
		if err != nil {
			return err
		}
		j, err := OpenJournal(path)
		if err != nil {
			return err
		}
		if err := j.Set(k, "128"); err != nil {
			return err
		}
		if err := j.file.Close(); err != nil { // as the end of a process does
			return err
		}
		if _, err := OpenJournal(path); !errors.Is(err, ErrLeft) {
			t.Errorf("a journal that was left: %v", err)
		}
		text, err := RestoreLeft(path)
		if want := "put back what a killed run had changed: " + somaxconn + "=" + original + " (was left at 128)"; err != nil || text != want {
			t.Errorf("%q, %v; want %q", text, err, want)
		}
		wantRead(t, k, original)
		text, err = RestoreLeft(path)
		if text != "" || err != nil {
			t.Errorf("once more: %q, %v", text, err)
		}
		return nil
	})
}
