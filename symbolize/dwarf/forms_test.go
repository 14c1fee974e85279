// SPDX-License-Identifier: Apache-2.0

package dwarf

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/assaylab/assay/internal/elfx"
	"github.com/assaylab/assay/internal/elfx/elfxtest"
)

// image opens a file that the code under test closes.
func image(name string) (Image, error) {
	r, err := os.Open(name)
	if err != nil {
		return Image{}, err
	}
	info, err := r.Stat()
	if err != nil {
		return Image{}, err
	}
	f, err := elfx.Open(r, info.Size())
	return Image{f, r}, err
}

// TestForms: debug information says the same whatever form it is stored in.
func TestForms(t *testing.T) {
	for _, tc := range []struct {
		name, compiler, flags string
		store                 func(t *testing.T, dir string)
	}{
		{"zlib", "g++", "-O2 -gdwarf-5 -gz=zlib", nil},
		{"old zlib", "g++", "-O2 -gdwarf-4 -gz=zlib-gnu", nil},
		{"zstd", "clang++-19", "-O2 -g", func(t *testing.T, dir string) {
			run(t, dir, "", "llvm-objcopy-19", "--compress-debug-sections=zstd", "calls")
		}},
		{"dwz", "g++", "-O2 -gdwarf-4", func(t *testing.T, dir string) { run(t, dir, "", "dwz", "calls") }},
		{"alternate", "g++", "-O2 -gdwarf-5", alternate},
		{"split gcc 4", "g++", "-O2 -gdwarf-4 -gsplit-dwarf", nil},
		{"split gcc 5", "g++", "-O2 -gdwarf-5 -gsplit-dwarf", nil},
		{"split clang 4", "clang++-19", "-O2 -gdwarf-4 -gsplit-dwarf", nil},
		{"split clang 5", "clang++-19", "-O2 -gdwarf-5 -gsplit-dwarf -fsplit-dwarf-inlining", nil},
		{"package gcc 4", "g++", "-O2 -gdwarf-4 -gsplit-dwarf", func(t *testing.T, dir string) { pack(t, dir, "dwp") }},
		{"package clang 5", "clang++-19", "-O2 -gdwarf-5 -gsplit-dwarf", func(t *testing.T, dir string) { pack(t, dir, "llvm-dwp-19") }},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			flags := strings.Fields(tc.flags)
			plain := compile(t, tc.compiler, append(flags, "-gno-split-dwarf", "-gz=none")...)
			name := compile(t, tc.compiler, flags...)
			if tc.store != nil {
				tc.store(t, filepath.Dir(name))
			}
			addrs := textAddresses(t, name)
			want := ours(t, plain, nil, addrs)
			got := ours(t, name, local(filepath.Dir(name)), addrs)
			compare(t, "stored plainly", addrs, got, want)
		})
	}
}

// local finds what belongs to a program in its folder.
func local(dir string) *Options {
	return &Options{
		Alternate: func(path string, _ []byte) (Image, error) { return image(filepath.Join(dir, filepath.Base(path))) },
		Split:     func(dir, name string) (Image, error) { return image(filepath.Join(dir, name)) },
		Package: func() (Image, error) {
			i, err := image(filepath.Join(dir, "calls.dwp"))
			if errors.Is(err, fs.ErrNotExist) {
				return Image{}, nil
			}
			return i, err
		},
	}
}

// alternate moves what two copies of a program share to a file of its own.
func alternate(t *testing.T, dir string) {
	run(t, dir, "", "cp", "calls", "calls2")
	run(t, dir, "", "dwz", "-m", "shared.debug", "calls", "calls2")
	if f := elfxtest.Open(t, filepath.Join(dir, "calls")); !hasSection(f, ".gnu_debugaltlink") {
		t.Fatal("dwz made no alternate file")
	}
}

func hasSection(f *elfx.File, name string) bool {
	_, ok := f.Section(name)
	return ok
}

// pack makes a package file, and removes what it was made of.
func pack(t *testing.T, dir, tool string) {
	parts, err := filepath.Glob(filepath.Join(dir, "*.dwo"))
	if err != nil || len(parts) == 0 {
		t.Fatalf("no .dwo file: %v", err)
	}
	run(t, dir, "", tool, append([]string{"-o", "calls.dwp"}, parts...)...)
	for _, p := range parts {
		if err := os.Remove(p); err != nil {
			t.Fatal(err)
		}
	}
}

// TestMissingFiles: without the file that has the functions, lines are still known, and the error says what is missing.
func TestMissingFiles(t *testing.T) {
	split := compile(t, "g++", "-O2", "-g", "-gsplit-dwarf")
	alt := compile(t, "g++", "-O2", "-g")
	alternate(t, filepath.Dir(alt))
	for _, tc := range []struct {
		name string
		want error
	}{{split, ErrNoSplit}, {alt, ErrNoAlternate}} {
		d, err := Open(elfxtest.Open(t, tc.name), nil)
		if err != nil {
			t.Fatal(err)
		}
		failed, lines := 0, 0
		for _, a := range textAddresses(t, tc.name) {
			frames, err := d.Frames(nil, a)
			if err != nil && !errors.Is(err, tc.want) {
				t.Fatalf("error %v, want %v", err, tc.want)
			}
			if err != nil {
				failed++
			}
			if len(frames) > 0 && frames[0].Line > 0 {
				lines++
			}
		}
		if failed == 0 || errors.Is(tc.want, ErrNoSplit) && lines == 0 {
			t.Errorf("%v: %d addresses with it, %d with a line", tc.want, failed, lines)
		}
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	}
}

// TestBudget: with a budget that no unit fits in, the answers are the same.
func TestBudget(t *testing.T) {
	name := compile(t, "g++", "-O2", "-g")
	addrs := textAddresses(t, name)[:300]
	if diff := gocmp.Diff(ours(t, name, nil, addrs), ours(t, name, &Options{Budget: 1}, addrs)); diff != "" {
		t.Error(diff)
	}
}
