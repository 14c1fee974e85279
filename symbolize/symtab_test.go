// SPDX-License-Identifier: Apache-2.0

package symbolize

import (
	"debug/elf"
	"path/filepath"
	"strings"
	"testing"
)

const cProgram = `
#include <stdio.h>
#include <stdlib.h>
__attribute__((noinline)) static int twice(int n) { return printf("%d\n", n) + 2 * n; }
__attribute__((noinline)) int thrice(int n) { return twice(n) + n; }
extern int alias_of_thrice(int) __attribute__((alias("thrice")));
int main(int argc, char **argv) { return qsort(argv, 0, 8, 0), thrice(argc); }
`

const cppProgram = `
#include <iostream>
#include <map>
#include <string>
#include <vector>
#include <algorithm>
namespace field {
template <typename K> struct Table {
	std::map<K, std::string> rows;
	__attribute__((noinline)) void put(K k, const std::string &v) { rows[k] = v; }
};
__attribute__((noinline)) int sum(std::vector<int> v) { std::sort(v.begin(), v.end()); int n = 0; for (int i : v) n += i; return n; }
}
int main() { field::Table<int> t; t.put(1, "a"); std::cout << field::sum({3, 1}) << t.rows.size(); }
`

const rustProgram = `
use std::collections::BTreeMap;
mod field { #[inline(never)] pub fn sum<T: Into<u64> + Copy>(v: &[T]) -> u64 { v.iter().map(|x| (*x).into()).sum() } }
fn main() {
	let mut m = BTreeMap::new();
	m.insert("a".to_string(), field::sum(&[1u32, 2]));
	println!("{:?}", m);
}
`

// compile builds a program and returns its path. {out} and {src} in the command stand for the files.
func compile(t testing.TB, name, text string, command ...string) string {
	t.Helper()
	src := write(t, name, text)
	out := filepath.Join(filepath.Dir(src), "out")
	args := append(append([]string{}, command[1:]...), "-o", out, src)
	run(t, "", command[0], args...)
	return out
}

// TestSymbolsAgainstLLVM compares the names of thousands of addresses with those of llvm-symbolizer. One address can have
// several names, of which each program prefers others; so names are compared by where their symbols start.
func TestSymbolsAgainstLLVM(t *testing.T) {
	for _, tc := range []struct {
		name    string
		source  string
		text    string
		command []string
	}{
		{"C, PIE", "a.c", cProgram, []string{"gcc", "-O2", "-pie", "-fPIE"}},
		{"C, fixed addresses", "a.c", cProgram, []string{"gcc", "-O2", "-no-pie"}},
		{"C, static", "a.c", cProgram, []string{"gcc", "-O2", "-static"}},
		{"C library, stripped", "a.c", cProgram, []string{"gcc", "-O2", "-shared", "-fPIC", "-s"}},
		{"C++", "a.cc", cppProgram, []string{"g++", "-O2"}},
		{"C++, static", "a.cc", cppProgram, []string{"g++", "-O2", "-static"}},
		{"Rust, legacy names", "a.rs", rustProgram, []string{"rustc", "-O", "-C", "strip=debuginfo"}},
		{"Rust, v0 names", "a.rs", rustProgram, []string{"rustc", "-O", "-C", "strip=debuginfo", "-C", "symbol-mangling-version=v0"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			compareSymbols(t, compile(t, tc.source, tc.text, tc.command...))
		})
	}
}

func compareSymbols(t *testing.T, path string) {
	file, std := openELF(t, path)
	want := textAddrs(std, 5000)
	got, _, err := findSymbols(file, want)
	if err != nil {
		t.Fatal(err)
	}
	starts := symbolStarts(std)
	out := run(t, hexLines(want), "llvm-symbolizer-19", "--obj="+path, "--functions=linkage", "--no-demangle", "--no-inlines", "--output-style=GNU")
	lines := strings.Split(out, "\n")
	named, differ := 0, 0
	for i, a := range want {
		theirs := withoutVersion(lines[2*i])
		if theirs == "??" {
			theirs = ""
		}
		if theirs != "" {
			named++
		}
		if !sameSymbol(starts, got[i], theirs) {
			if differ++; differ <= 10 {
				t.Logf("%#x: %q, llvm-symbolizer says %q", a, got[i], theirs)
			}
		}
	}
	t.Logf("named %d of %d, differ %d", named, len(want), differ)
	if named == 0 || differ*1000 > len(want) { // where symbols nest or have no size both may be right
		t.Errorf("%d of %d names differ, llvm-symbolizer names %d", differ, len(want), named)
	}
}

// symbolStarts gives the addresses of the symbols of each name.
func symbolStarts(f *elf.File) map[string]map[uint64]bool {
	starts := make(map[string]map[uint64]bool)
	add := func(symbols []elf.Symbol, _ error) {
		for _, s := range symbols {
			name := withoutVersion(s.Name)
			if starts[name] == nil {
				starts[name] = make(map[uint64]bool)
			}
			starts[name][s.Value] = true
		}
	}
	add(f.Symbols())
	add(f.DynamicSymbols())
	return starts
}

func sameSymbol(starts map[string]map[uint64]bool, a, b string) bool {
	if a == b {
		return true
	}
	for v := range starts[a] {
		if starts[b][v] {
			return true
		}
	}
	return false
}
