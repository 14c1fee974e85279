// SPDX-License-Identifier: Apache-2.0

package scenarios

import (
	"os"
	"path/filepath"
	"testing"
)

// TestLacks says what to install, and nothing when all is there.
func TestLacks(t *testing.T) {
	check := func(want string, needs ...Need) {
		t.Helper()
		k := Kind{Name: "test/kind", Needs: needs}
		got := ""
		if err := k.Lacks(); err != nil {
			got = err.Error()
		}
		if got != want {
			t.Errorf("needs %q: %q, want %q", needs, got, want)
		}
	}
	check("")
	check("", "sh")
	check("test/kind: no-such-program is not installed: apt install no-such-program", "sh", "no-such-program")
	packages["no-such-program"] = "a-package"
	defer delete(packages, "no-such-program")
	check("test/kind: no-such-program is not installed: apt install a-package", "no-such-program")
}

// TestProgram finds what PATH leads to, and else the newest of several versions.
func TestProgram(t *testing.T) {
	root := t.TempDir()
	before := folders
	folders = []string{root + "/*/bin"}
	defer func() { folders = before }()
	for _, version := range []string{"9", "15", "17"} {
		if err := os.MkdirAll(filepath.Join(root, version, "bin"), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(root, version, "bin", "assay-test-program"), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if path, err := Need("assay-test-program").Program(); err != nil || path != root+"/17/bin/assay-test-program" {
		t.Errorf("%s, %v; want that of version 17", path, err)
	}
	if path, err := Need("sh").Program(); err != nil || !filepath.IsAbs(path) {
		t.Errorf("%s, %v", path, err)
	}
}
