// SPDX-License-Identifier: Apache-2.0

// Package elfxtest opens ELF files for tests.
package elfxtest

import (
	"os"
	"testing"

	"github.com/assaylab/assay/internal/elfx"
)

// Open opens a file as an ELF image until the test ends.
func Open(t testing.TB, path string) *elfx.File {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	})
	info, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	e, err := elfx.Open(f, info.Size())
	if err != nil {
		t.Fatal(err)
	}
	return e
}
