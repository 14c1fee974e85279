// SPDX-License-Identifier: Apache-2.0

package dwarf

import (
	"debug/elf"
	"path"
	"slices"
	"strings"
	"testing"
)

// difference is an address for which addr2line has other frames than we.
type difference struct {
	addr         uint64
	ours, theirs []call
	symbols      []elf.Symbol // of functions
}

// reasons are the known ways of addr2line 2.40, each with the rule that tells it. They count only where llvm-symbolizer has our frames.
var reasons = []struct {
	name  string
	tells func(d *difference) bool
}{
	{"padding", (*difference).isPadding},
	{"no-inlined", (*difference).lacksInlined},
	{"other-file", (*difference).hasOtherFile},
	{"symbol-name", (*difference).hasSymbolNames},
}

// isPadding: no function has the address, and addr2line takes the one before.
func (d *difference) isPadding() bool { return len(d.ours) == 0 || nameless(d.ours) }

// lacksInlined: addr2line has the same innermost place, but not all inlined calls around it. It doesn't follow the indices into .debug_addr and
// .debug_rnglists that clang writes.
func (d *difference) lacksInlined() bool {
	if len(d.theirs) == 0 || len(d.theirs) >= len(d.ours) || d.theirs[0].Location != d.ours[0].Location {
		return false
	}
	rest := d.ours
	for _, c := range d.theirs {
		n := slices.IndexFunc(rest, func(o call) bool { return o.Name == c.Name })
		if n < 0 {
			return false
		}
		rest = rest[n+1:]
	}
	return true
}

// hasOtherFile: names and lines are the same. addr2line takes the file of the unit for that of a header.
func (d *difference) hasOtherFile() bool {
	line := func(c call) string { return c.Location[strings.LastIndexByte(c.Location, ':'):] }
	return slices.EqualFunc(d.ours, d.theirs, func(a, b call) bool { return a.Name == b.Name && line(a) == line(b) })
}

// hasSymbolNames: places are the same, and each other name is that of a symbol which has the address.
func (d *difference) hasSymbolNames() bool {
	return slices.EqualFunc(d.ours, d.theirs, func(a, b call) bool {
		return a.Location == b.Location && (a.Name == b.Name || slices.ContainsFunc(d.symbols, func(s elf.Symbol) bool {
			return s.Name == b.Name && d.addr-s.Value < s.Size
		}))
	})
}

// functionSymbols are the symbols of the functions of a program.
func functionSymbols(t testing.TB, name string) []elf.Symbol {
	t.Helper()
	f, err := elf.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	all, err := f.Symbols()
	if err != nil {
		t.Fatal(err)
	}
	return slices.DeleteFunc(all, func(s elf.Symbol) bool { return elf.ST_TYPE(s.Info) != elf.STT_FUNC })
}

// reportReasons tells how many addresses differ from addr2line, by reason, and how many for no known one.
func reportReasons(b *testing.B, name string, addrs []uint64, got, llvm, binutils [][]call) {
	b.Helper()
	symbols := functionSymbols(b, name)
	counts := make(map[string]int)
	// addr2line of 2.40 has folders twice that are relative in DWARF 5, so its paths are compared without folders.
	shortOurs, shortTheirs := bare(got), bare(binutils)
	for i := range got {
		d := &difference{addrs[i], shortOurs[i], shortTheirs[i], symbols}
		if slices.Equal(d.ours, d.theirs) {
			continue
		}
		counts["differ"]++
		why := "unexplained"
		for _, r := range reasons {
			if slices.Equal(got[i], llvm[i]) && r.tells(d) {
				why = r.name
				break
			}
		}
		if counts[why]++; counts[why] <= 1 {
			b.Logf("addr2line, %s: %#x: %v\nours: %v", why, addrs[i], d.theirs, d.ours)
		}
	}
	b.ReportMetric(float64(counts["differ"]), "addr2line-differ")
	b.ReportMetric(float64(counts["unexplained"]), "unexplained")
	for _, r := range reasons {
		b.ReportMetric(float64(counts[r.name]), r.name)
	}
}

// bare is without the folders of files.
func bare(all [][]call) [][]call {
	out := make([][]call, len(all))
	for i, frames := range all {
		for _, c := range frames {
			out[i] = append(out[i], call{c.Name, path.Base(c.Location)})
		}
	}
	return out
}

// TestReasons: each rule tells its own difference, and none that has another line.
func TestReasons(t *testing.T) {
	symbols := []elf.Symbol{{Name: "f.cold", Value: 0x10, Size: 8}}
	for _, tc := range []struct {
		want         string
		ours, theirs []call
	}{
		{"padding", []call{{unnamed, "a.c:1"}}, []call{{"f", "a.c:1"}}},
		{"padding", nil, []call{{"f", "a.c:1"}}},
		{"no-inlined", []call{{"in", "a.c:1"}, {"f", "a.c:2"}}, []call{{"f", "a.c:1"}}},
		{"", []call{{"in", "a.c:1"}, {"f", "a.c:2"}}, []call{{"g", "a.c:1"}}},
		{"", []call{{"in", "a.c:1"}, {"f", "a.c:2"}}, []call{{"f", "a.c:2"}}},
		{"other-file", []call{{"f", "a.h:1"}}, []call{{"f", "a.c:1"}}},
		{"", []call{{"f", "a.h:1"}}, []call{{"f", "a.c:2"}}},
		{"symbol-name", []call{{"f", "a.c:1"}}, []call{{"f.cold", "a.c:1"}}},
		{"", []call{{"f", "a.c:1"}}, []call{{"g", "a.c:1"}}},
		{"", []call{{"f", "a.c:1"}}, nil},
	} {
		d := &difference{0x17, tc.ours, tc.theirs, symbols}
		got := ""
		for _, r := range reasons {
			if got == "" && r.tells(d) {
				got = r.name
			}
		}
		if got != tc.want {
			t.Errorf("ours %v, theirs %v: %q, want %q", tc.ours, tc.theirs, got, tc.want)
		}
	}
}
