// SPDX-License-Identifier: Apache-2.0

package elfx

import (
	"bytes"
	"debug/elf"
	"slices"
	"testing"
)

// TestDynamic compares with the standard library.
func TestDynamic(t *testing.T) {
	for _, flags := range [][]string{nil, {"-static"}, {"-Wl,--no-as-needed", "-lm"}, {"-Wl,-rpath,$ORIGIN/a:/b"}, {"-Wl,-rpath,/old,--disable-new-dtags"}} {
		b := build(t, flags...)
		std, err := elf.NewFile(bytes.NewReader(b))
		if err != nil {
			t.Fatal(err)
		}
		needed, err := std.ImportedLibraries()
		if err != nil {
			t.Fatal(err)
		}
		var paths []string
		for _, tag := range []elf.DynTag{elf.DT_RUNPATH, elf.DT_RPATH} {
			found, err := std.DynString(tag)
			if err != nil {
				t.Fatal(err)
			}
			paths = append(paths, found...)
		}
		got, err := open(t, b).Dynamic()
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(got.Needed, needed) || got.RunPath != slices.Concat(paths, []string{""})[0] {
			t.Errorf("%v: %+v, want %v and %v", flags, got, needed, paths)
		}
	}
}

// FuzzDynamic asks files that lie.
func FuzzDynamic(f *testing.F) {
	f.Add(build(f, "-Wl,-rpath,$ORIGIN"))
	f.Fuzz(func(_ *testing.T, b []byte) {
		if e, err := Open(bytes.NewReader(b), int64(len(b))); err == nil {
			e.Dynamic() //nolint:errcheck // any answer will do, as long as there is one
		}
	})
}
