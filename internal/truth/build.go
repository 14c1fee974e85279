// SPDX-License-Identifier: Apache-2.0

package truth

import (
	"embed"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

//go:embed testdata
var sources embed.FS

// compilers say how the sources of a language become a program, by the extension of the first source; -o FILE and the sources follow. C is not
// optimised: from -O1 on, gcc gives a function that calls nobody and needs no stack no frame pointer, whatever the flags say, and then
// the stack of its samples lacks its caller.
var compilers = map[string][]string{
	".c":  {"gcc", "-g", "-O0", "-fno-omit-frame-pointer", "-pthread"},
	".cc": {"g++", "-g", "-O0", "-fno-omit-frame-pointer"},
	".rs": {"rustc", "-g", "-C", "opt-level=1", "-C", "force-frame-pointers=yes"},
	".go": {"go", "build"},
}

// A Recipe is what to compile: one or more sources in testdata, with more flags for the compiler of the first.
type Recipe struct {
	Sources  []string
	Flags    []string
	Compiler string // in place of the usual one
}

// Build compiles sources, without more flags, and returns the path of the program.
func Build(t testing.TB, sources ...string) string {
	t.Helper()
	return Recipe{Sources: sources}.Build(t)
}

// Build compiles r in a folder that is removed when t ends, and returns the path of the program, which has the name of its first source
// without the extension. It ends the test if the compiler refuses.
func (r Recipe) Build(t testing.TB) string {
	t.Helper()
	folder := Sources(t)
	extension := filepath.Ext(r.Sources[0])
	program := filepath.Join(t.TempDir(), r.Sources[0][:len(r.Sources[0])-len(extension)])
	args := append(append([]string{}, compilers[extension]...), r.Flags...)
	if r.Compiler != "" {
		args[0] = r.Compiler
	}
	args = append(append(args, "-o", program), r.Sources...)
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Dir = folder
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%q: %v\n%s", args, err, out)
	}
	return program
}

// Sources writes the sources into a folder that is removed when t ends, and returns it.
func Sources(t testing.TB) string {
	t.Helper()
	folder := t.TempDir()
	if err := os.CopyFS(folder, sources); err != nil {
		t.Fatal(err)
	}
	return filepath.Join(folder, "testdata")
}
