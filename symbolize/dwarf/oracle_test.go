// SPDX-License-Identifier: Apache-2.0

package dwarf

import (
	"bytes"
	"cmp"
	"debug/elf"
	"fmt"
	"os/exec"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/assaylab/assay/internal/elfx/elfxtest"
)

// run gives the standard output of a command that is run in a folder.
func run(t testing.TB, dir, stdin, name string, args ...string) string {
	t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Dir, cmd.Stdin = dir, strings.NewReader(stdin)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, errs.String())
	}
	return out.String()
}

// compile compiles testdata/calls.cc and returns the program's path. The folder is the test's own.
func compile(t testing.TB, compiler string, flags ...string) string {
	t.Helper()
	dir := t.TempDir()
	source, err := filepath.Abs("testdata/calls.cc")
	if err != nil {
		t.Fatal(err)
	}
	run(t, dir, "", compiler, append(flags, "-o", "calls", source)...)
	return filepath.Join(dir, "calls")
}

// textAddresses are the addresses of the section .text.
func textAddresses(t testing.TB, name string) []uint64 {
	t.Helper()
	f, err := elf.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	s := f.Section(".text")
	var all []uint64
	for a := s.Addr; a < s.Addr+s.Size; a++ {
		all = append(all, a)
	}
	return all
}

// call is a frame as other symbolizers print it.
type call struct{ Name, Location string }

// ours are our frames of addresses.
func ours(t testing.TB, name string, opts *Options, addrs []uint64) [][]call {
	t.Helper()
	d, err := Open(elfxtest.Open(t, name), opts)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	}()
	all := make([][]call, len(addrs))
	for i, a := range addrs {
		frames, err := d.Frames(nil, a)
		if err != nil {
			t.Fatalf("%#x: %v", a, err)
		}
		for _, f := range frames {
			all[i] = append(all[i], call{cmp.Or(f.Name, unnamed), fmt.Sprintf("%s:%d", f.File, f.Line)})
		}
	}
	return all
}

// oracle asks another symbolizer for addresses. It prints each address, then the name and the place of each frame.
func oracle(t testing.TB, addrs []uint64, name string, args ...string) [][]call {
	t.Helper()
	var in strings.Builder
	for _, a := range addrs {
		fmt.Fprintf(&in, "%#x\n", a)
	}
	var all [][]call
	var lines []string
	for line := range strings.Lines(run(t, "", in.String(), name, args...)) {
		line = strings.TrimSpace(line)
		switch {
		case line == "":
		case strings.HasPrefix(line, "0x"):
			all = append(all, nil)
		default:
			if lines = append(lines, line); len(lines) == 2 {
				if c, ok := newCall(lines[0], lines[1]); ok {
					all[len(all)-1] = append(all[len(all)-1], c)
				}
				lines = lines[:0]
			}
		}
	}
	return all
}

// newCall takes the discriminator and the column from a place. It is false for a name of the symbol table: the file is not known then, or
// that of a symbol, without folders.
func newCall(name, place string) (call, bool) {
	place, _, _ = strings.Cut(place, " (")
	parts := strings.Split(place, ":")
	line, err := strconv.Atoi(parts[1])
	if err != nil {
		line = 0 // "?"
	}
	return call{name, fmt.Sprintf("%s:%d", path.Clean(parts[0]), line)}, strings.Contains(parts[0], "/")
}

// TestAgainstOthers compares each address of a program with what LLVM says of it, and binutils where it is right: addr2line of 2.40
// doesn't follow the indices that clang writes in DWARF 5, and takes wrong files with gcc's -O0.
func TestAgainstOthers(t *testing.T) {
	for _, tc := range []struct {
		compiler, flags string
		binutils        bool
	}{
		{"g++", "-O2 -gdwarf-4", true},
		{"g++", "-O2 -gdwarf-5", true},
		{"g++", "-O3 -g -ffunction-sections", true},
		{"g++", "-O2 -g1", true},
		{"g++", "-O0 -g", false},
		{"clang++-19", "-O2 -gdwarf-4", true},
		{"clang++-19", "-O2 -gdwarf-5", false},
		{"clang++-19", "-O3 -g1 -ffunction-sections", false},
	} {
		t.Run(tc.compiler+" "+tc.flags, func(t *testing.T) {
			t.Parallel()
			name := compile(t, tc.compiler, strings.Fields(tc.flags)...)
			addrs := textAddresses(t, name)
			got := ours(t, name, nil, addrs)
			compare(t, "llvm-symbolizer", addrs, got, askLLVM(t, name, addrs, got))
			if tc.binutils {
				compare(t, "addr2line", addrs, got, askBinutils(t, name, addrs, got))
			}
		})
	}
}

// askLLVM asks llvm-symbolizer, which takes the name of the outermost function from the symbol table; that is left out.
func askLLVM(t testing.TB, name string, addrs []uint64, got [][]call) [][]call {
	t.Helper()
	want := oracle(t, addrs, "llvm-symbolizer-19", "--obj="+name, "--inlines", "--no-demangle", "--addresses")
	for i, frames := range got {
		if n := len(frames); n > 0 && n == len(want[i]) && frames[n-1].Name != unnamed {
			want[i][n-1].Name = frames[n-1].Name
		}
	}
	return want
}

// askBinutils asks addr2line. It takes names from the symbol table when debug information doesn't tell a name as the linker knows it, and
// finds functions of the symbol table also for the padding behind them; both are left out.
func askBinutils(t testing.TB, name string, addrs []uint64, got [][]call) [][]call {
	t.Helper()
	want := oracle(t, addrs, "addr2line", "-a", "-i", "-f", "-e", name)
	for i, frames := range got {
		if len(want[i]) != len(frames) {
			continue
		}
		for k, c := range frames {
			if !strings.HasPrefix(c.Name, "_Z") {
				want[i][k].Name = c.Name
			}
		}
	}
	return want
}

// unnamed is how the others print that they have no name.
const unnamed = "??"

// compare shows the first few addresses whose frames differ.
func compare(t *testing.T, other string, addrs []uint64, got, want [][]call) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%s has %d answers to %d questions", other, len(want), len(got))
	}
	named, inlined, differ := 0, 0, 0
	for i := range got {
		if len(got[i]) > 0 {
			named++
		}
		if len(got[i]) > 2 {
			inlined++
		}
		if diff := gocmp.Diff(want[i], got[i]); diff != "" {
			if differ++; differ <= 3 {
				t.Errorf("%#x, %s -, ours +:\n%s", addrs[i], other, diff)
			}
		}
	}
	if differ > 0 {
		t.Errorf("%s: %d of %d addresses differ", other, differ, len(addrs))
	}
	if named < len(addrs)/2 {
		t.Errorf("only %d of %d addresses have a name", named, len(addrs))
	}
}
