// SPDX-License-Identifier: Apache-2.0

package symbolize

import (
	"debug/elf"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/assaylab/assay/internal/elfx"
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

// TestSymbolChoice names the bytes of a hand-written program in which symbols nest, share addresses and lack sizes.
func TestSymbolChoice(t *testing.T) {
	const program = `
	.macro func name
	.type \name,@function
\name:
	.endm
	.text
	.fill 16,1,0x90
	.globl outer
	func outer
	.fill 8,1,0x90
	func inner
	.fill 8,1,0x90
	.size inner,.-inner
	.fill 8,1,0x90
	.size outer,.-outer
	.fill 8,1,0x90
label:
	.fill 8,1,0x90
	.globl shared, __shared, shared.part.0
	func __shared
	func shared
	func shared.part.0
	func a_local
	.fill 8,1,0x90
	.size shared,.-shared
	.size __shared,.-__shared
	.size a_local,.-a_local
	.size shared.part.0,.-shared.part.0
	.section .other,"ax",@progbits
	.fill 8,1,0x90
last:
	.fill 8,1,0x90
	.data
not_code: .quad 1
`
	path := compile(t, "a.s", program, "gcc", "-nostdlib", "-static", "-Wl,-eouter,--build-id=none")
	file, std := openELF(t, path)
	text, other := std.Section(".text").Addr, std.Section(".other").Addr
	for _, tc := range []struct {
		name string
		addr uint64
		want string
	}{
		{"in front of the first symbol", text + 15, ""},
		{"start of a function", text + 16, "outer"},
		{"function in a function", text + 24, "inner"},
		{"behind it", text + 32, "outer"},
		{"label", text + 48, "label"},
		{"end of a label", text + 55, "label"},
		{"four names", text + 56, "shared"},
		{"end of the section", text + 64, ""},
		{"a label doesn't reach into another section", other, ""},
		{"label in another section", other + 8, "last"},
		{"data", std.Section(".data").Addr, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, stripped, err := findSymbols(file, addrs{tc.addr})
			if err != nil || stripped || got[0] != tc.want {
				t.Errorf("%q, stripped %v, error %v; want %q", got[0], stripped, err, tc.want)
			}
		})
	}
}

// TestMappingSymbols: the marks of an arm64 assembler aren't names.
func TestMappingSymbols(t *testing.T) {
	const program = "start: nop\nnop\n.long 7\nnop\n"
	path := compile(t, "a.s", program, "llvm-mc-19", "-triple=aarch64-linux-gnu", "-filetype=obj")
	file, std := openELF(t, path)
	symbols, err := std.Symbols()
	if err != nil {
		t.Fatal(err)
	}
	if !slices.ContainsFunc(symbols, func(s elf.Symbol) bool { return strings.HasPrefix(s.Name, "$x") && s.Value > 0 }) {
		t.Fatalf("no mapping symbols in %v", symbols)
	}
	got, _, err := findSymbols(file, addrs{0, 12})
	if diff := cmp.Diff([]string{"start", "start"}, got); diff != "" || err != nil {
		t.Errorf("error %v, diff:\n%s", err, diff)
	}
}

// symbolTable is a file with n symbols, each of size bytes and step bytes behind the one before.
func symbolTable(t testing.TB, n int, step, size uint64) *elfx.File {
	t.Helper()
	m := newImage()
	strings := m.here()
	m.add("\x00")
	var offsets []uint32
	for i := range n {
		offsets = append(offsets, uint32(m.here()-strings))
		m.add(fmt.Sprintf("_ZN4some8function%d", i), "\x00")
	}
	stringsSize := m.here() - strings
	m.align()
	symbols := m.here()
	for i, name := range offsets {
		m.add(name, elf.ST_INFO(elf.STB_GLOBAL, elf.STT_FUNC), uint8(0), uint16(3), imageBase+uint64(i)*step, size)
	}
	return openImage(t, m.finish(
		section{".symtab", elf.SHT_SYMTAB, symbols, m.here() - symbols, 2},
		section{".strtab", elf.SHT_STRTAB, strings, stringsSize, 0},
	))
}

// TestSymbolsOverlap: symbols that all cover all addresses end the search instead of taking for ever.
func TestSymbolsOverlap(t *testing.T) {
	want := make(addrs, 1<<16)
	for i := range want {
		want[i] = imageBase + uint64(i) + 1<<20
	}
	_, _, err := findSymbols(symbolTable(t, 3000, 1, 1<<30), want)
	if !errors.Is(err, errOverlap) {
		t.Errorf("error %v, want %v", err, errOverlap)
	}
}

// BenchmarkSymtab names 5,000 addresses of a file with half a million symbols.
func BenchmarkSymtab(b *testing.B) {
	const n = 500_000
	f := symbolTable(b, n, 64, 60)
	var want addrs
	for i := uint64(0); i < n; i += 100 {
		want = append(want, imageBase+i*64+7)
	}
	b.SetBytes(n * symbolSize)
	b.ReportAllocs()
	for b.Loop() {
		names, _, err := findSymbols(f, want)
		if err != nil || names[1] != "_ZN4some8function100" {
			b.Fatalf("%q, %v", names[1], err)
		}
	}
}
