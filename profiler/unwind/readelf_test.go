// SPDX-License-Identifier: Apache-2.0

package unwind

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"sort"
	"strconv"
	"strings"
	"testing"
)

// told is a row as readelf interprets it: where the caller's CFA, frame pointer and return address are, "u" for what is not
// described, "exp" for expressions.
type told struct {
	start, end  uint64
	cfa, fp, ra string
	sp, bx      string
	thrown      string
}

var (
	fdeLine  = regexp.MustCompile(`^[0-9a-f]+ [0-9a-f]+ [0-9a-f]+ FDE cie=([0-9a-f]+) pc=([0-9a-f]+)\.\.([0-9a-f]+)`)
	register = regexp.MustCompile(`r[0-9]+ \(([a-z0-9]+)\)`)
	cieLine  = regexp.MustCompile(`^([0-9a-f]+) [0-9a-f]+ [0-9a-f]+ CIE "([^"]*)"`)
)

// oracle has what `readelf --debug-dump=frames-interp` says of a file.
type oracle struct {
	rows      []told
	functions []extent
	initial   map[string]told // by CIE
	signal    map[string]bool // CIEs of signal frames

	columns []string
	current string // CIE that a row belongs to
	isCIE   bool
	end     uint64
}

// ask runs readelf; section is .eh_frame or .debug_frame.
func ask(t testing.TB, path, section string) *oracle {
	t.Helper()
	cmd := exec.Command("readelf", "--wide", "--debug-dump=frames-interp,no-follow-links", path)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	o := &oracle{initial: map[string]told{}, signal: map[string]bool{}}
	lines := bufio.NewScanner(out)
	lines.Buffer(nil, 1<<20)
	inside := false
	for lines.Scan() {
		line := lines.Text()
		if rest, ok := strings.CutPrefix(line, "Contents of the "); ok {
			inside = strings.HasPrefix(rest, section+" ")
		}
		if inside {
			o.line(t, line)
		}
	}
	if err := cmd.Wait(); err != nil {
		t.Fatal(err)
	}
	o.settle()
	return o
}

func (o *oracle) line(t testing.TB, line string) {
	if m := cieLine.FindStringSubmatch(line); m != nil {
		o.current, o.isCIE = m[1], true
		o.signal[m[1]] = strings.Contains(m[2], "S")
		return
	}
	if m := fdeLine.FindStringSubmatch(line); m != nil {
		o.current, o.isCIE = m[1], false
		start, end := parseHex(t, m[2]), parseHex(t, m[3])
		o.end = end
		o.functions = append(o.functions, extent{start, end})
		first := o.initial[m[1]]
		first.start, first.end = start, end
		o.rows = append(o.rows, first) // replaced by the first row if there are rows
		return
	}
	fields := strings.Fields(register.ReplaceAllString(line, "$1"))
	if len(fields) < 2 {
		return
	}
	if fields[0] == "LOC" {
		o.columns = fields
		return
	}
	if len(fields[0]) != 16 || len(fields) != len(o.columns) {
		return
	}
	row := told{start: parseHex(t, fields[0]), end: o.end}
	for i, column := range o.columns {
		switch column {
		case "CFA":
			row.cfa = fields[i]
		case "rbp", "x29":
			row.fp = fields[i]
		case "ra", "x30":
			row.ra = fields[i]
		case "rsp", "sp":
			row.sp = fields[i]
		case "rbx", "x28":
			row.bx = fields[i]
		case "rax", "x0":
			row.thrown = fields[i]
		}
	}
	if o.isCIE {
		o.initial[o.current] = row
		return
	}
	last := &o.rows[len(o.rows)-1]
	if last.start == row.start {
		*last = row
		return
	}
	last.end = row.start
	o.rows = append(o.rows, row)
}

func parseHex(t testing.TB, s string) uint64 {
	t.Helper()
	v, err := strconv.ParseUint(s, 16, 64)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// settle sorts the rows and leaves out those of no code.
func (o *oracle) settle() {
	o.rows = slices.DeleteFunc(o.rows, func(r told) bool { return r.start >= r.end })
	slices.SortStableFunc(o.rows, func(a, b told) int {
		switch {
		case a.start < b.start:
			return -1
		case a.start > b.start:
			return 1
		}
		return 0
	})
}

// find gives the row of an address, false in a gap.
func (o *oracle) find(addr uint64) (told, bool) {
	i := sort.Search(len(o.rows), func(i int) bool { return o.rows[i].start > addr }) - 1
	if i < 0 || addr >= o.rows[i].end {
		return told{}, false
	}
	return o.rows[i], true
}

// hole gives the size of the hole between functions around an address.
func (o *oracle) hole(addr uint64) uint64 {
	i := sort.Search(len(o.rows), func(i int) bool { return o.rows[i].start > addr })
	start, end := uint64(0), ^uint64(0)
	if i > 0 {
		start = o.rows[i-1].end
	}
	if i < len(o.rows) {
		end = o.rows[i].start
	}
	return end - start
}

// beforeEnd says whether where all stacks end comes next: an address in a hole lies in the C library's clone.
func (o *oracle) beforeEnd(addr uint64) bool {
	i := sort.Search(len(o.rows), func(i int) bool { return o.rows[i].start > addr })
	return i < len(o.rows) && o.rows[i].ra == "u"
}

var amd64Names = []string{"rax", "rdx", "rcx", "rbx", "rsi", "rdi", "rbp", "rsp", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15"}

// agrees says whether a rule means what readelf told; for what readelf doesn't spell out (expressions) it wants a rule that
// stands for an expression.
func agrees(m *machine, r Rule, row told) bool {
	if r.CFA == CFAUnsupported {
		return !plain(m, row)
	}
	if r.CFA == CFAEnd || r.CFA == CFASignal {
		return (r.CFA == CFAEnd) == (row.ra == "u" && m == amd64 || m == arm64 && row.ra == "u")
	}
	if r.CFA == CFALanding {
		return agreesLanding(m, r, row)
	}
	if r.RA == RALanding && r.CFA == CFADerefFP { // what the description means there, and the code does not
		return row.throws() && row.cfa == "rbp+16" && row.fp == "c-16" && row.ra == "c-8"
	}
	if r.RA == RALanding && m == amd64 && !row.throws() {
		return false
	}
	return agreesCFA(m, r, row.cfa) && agreesRA(m, r, row.ra) && agreesFP(m, r, row.fp) && agreesBX(m, r, row.bx)
}

// throws says whether a register is saved that is for who catches an exception, beside those that any function may have to save.
func (r *told) throws() bool {
	return strings.HasPrefix(r.thrown, "c-") && strings.HasPrefix(r.bx, "c-")
}

// agreesLanding is about where the CFA was and the registers are; on arm64, it may be told no more.
func agreesLanding(m *machine, r Rule, row told) bool {
	if m == arm64 && r.Aux == 0 {
		return r.RA == RALanding && row.cfa == "sp+0" && row.fp == "u" && row.ra == "u"
	}
	described := Rule{CFA: CFAFP, CFAOffset: r.Aux, RA: RAAtCFA, FP: FPAtCFA, FPOffset: r.FPOffset - r.Aux}
	if m == arm64 {
		described.CFA, described.Aux = CFASP, described.FPOffset+1
	}
	return row.throws() && m.isFramed(described) && agreesCFA(m, described, row.cfa) && agreesFP(m, described, row.fp) && agreesRA(m, described, row.ra)
}

// agreesBX is about those rules that say where RBX is.
func agreesBX(m *machine, r Rule, bx string) bool {
	switch {
	case !m.near(&r):
		return true
	case r.Aux == 0:
		return bx == "" || bx == "s" || bx == "u"
	case r.Aux == BXLost:
		return !strings.HasPrefix(bx, "c-")
	}
	return bx == fmt.Sprintf("c%+d", int(r.Aux)*word)
}

// plain says whether a row needs nothing but registers, offsets and the places that are usual.
func plain(m *machine, row told) bool {
	reg, offset, _ := strings.Cut(row.cfa, "+")
	known := reg == "rsp" || reg == "rbp" || reg == "sp" || reg == "x29"
	off, err := strconv.Atoi(offset)
	if err != nil || m == arm64 && off >= 1<<15*word {
		return false // too large for a rule
	}
	usual := row.ra == "c-8" || m == arm64 && strings.HasPrefix(row.ra, "c-")
	return known && usual && (row.sp == "" || row.sp == "u")
}

func agreesCFA(m *machine, r Rule, cfa string) bool {
	sp, fp := "rsp", "rbp"
	if m == arm64 {
		sp, fp = "sp", "x29"
	}
	off := int(r.CFAOffset) * word
	if r.CFA == CFASPFar || r.CFA == CFAFPFar {
		off += int(r.Aux) << 16 * word
	}
	switch r.CFA {
	case CFASP, CFASPFar:
		return cfa == fmt.Sprintf("%s%+d", sp, off)
	case CFAFP, CFAFPFar:
		return cfa == fmt.Sprintf("%s%+d", fp, off)
	case CFAReg:
		return cfa == fmt.Sprintf("%s%+d", amd64Names[r.Aux], int(r.CFAOffset)*word)
	}
	return cfa == "exp"
}

func agreesRA(m *machine, r Rule, ra string) bool {
	switch {
	case r.RA == RAInLR, m == arm64 && r.RA == RALanding:
		return ra == "" || ra == "s" || ra == "u"
	case r.RA == RAInRDI:
		return ra == "rdi"
	case r.RA == RAInRCX:
		return ra == "rcx"
	case m == arm64:
		return ra == fmt.Sprintf("c%+d", int(r.Aux)*word)
	}
	return ra == "c-8"
}

func agreesFP(m *machine, r Rule, fp string) bool {
	switch r.FP {
	case FPSame:
		return fp == "" || fp == "s" || fp == "u"
	case FPAtCFA:
		return fp == fmt.Sprintf("c%+d", int(r.FPOffset)*word)
	case FPAtFP:
		return fp == "exp"
	}
	return fp != "" && fp != "s" && !strings.HasPrefix(fp, "c")
}

func open(t testing.TB, path string) *os.File {
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
	return f
}

func build(t testing.TB, path string) *Table {
	t.Helper()
	f := open(t, path)
	info, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	table, err := Build(f, info.Size(), Options{})
	if err != nil {
		t.Fatal(err)
	}
	return table
}

func machineOf(table *Table) *machine {
	if table.Machine == arm64.elf {
		return arm64
	}
	return amd64
}

// compare checks a table against readelf in both directions, so that they are the same function of the address.
func compare(t *testing.T, table *Table, o *oracle) {
	t.Helper()
	m := machineOf(table)
	wrong := 0
	check := func(addr uint64) {
		r, ok := table.Find(addr)
		row, want := o.find(addr)
		if ok && !want && (o.hole(addr) >= padding || o.beforeEnd(addr) || r.CFA == CFAEnd) {
			return // what is known without call frame information has tests of its own
		}
		if ok != want || ok && !agrees(m, r, row) {
			if wrong++; wrong <= 20 {
				t.Errorf("%#x: table has %+v, %v; readelf says %+v, %v", addr, r, ok, row, want)
			}
		}
	}
	for _, row := range o.rows {
		check(row.start)
		check(row.end - 1)
		check(row.end)
	}
	for _, p := range table.Pages {
		for _, row := range p.Rows {
			addr := table.Base + uint64(p.Number)<<pageBits + uint64(row.Low)
			check(addr)
			check(addr - 1)
		}
	}
	t.Logf("%d rows of readelf, %d of the table, %d rules; %+v; %d wrong", len(o.rows), table.rows(), len(table.Rules), table.Stats, wrong)
}

// compile builds a C program, or a C++ one by its name.
func compile(t testing.TB, compiler, source string, flags ...string) string {
	t.Helper()
	out := filepath.Join(t.TempDir(), "program")
	args := append(flags, "-o", out, filepath.Join("testdata", source))
	if text, err := exec.Command(compiler, args...).CombinedOutput(); err != nil {
		t.Fatalf("%s %q: %v\n%s", compiler, args, err, text)
	}
	return out
}

func TestAgainstReadelf(t *testing.T) {
	const cross = "/usr/aarch64-linux-gnu/lib/"
	for _, path := range []string{
		"/lib/x86_64-linux-gnu/libc.so.6", "/lib64/ld-linux-x86-64.so.2", "/lib/x86_64-linux-gnu/libcrypto.so.3",
		"/lib/x86_64-linux-gnu/libgcc_s.so.1",
		"/usr/lib/x86_64-linux-gnu/libstdc++.so.6", "/bin/bash",
		cross + "libc.so.6", cross + "libstdc++.so.6", cross + "libgcc_s.so.1",
		compile(t, "g++", "throw.cc", "-O2"), compile(t, "gcc", "frames.c", "-O0"),
		compile(t, "gcc", "frames.c", "-O2", "-fno-omit-frame-pointer"), compile(t, "clang-19", "frames.c", "-O2"),
		compile(t, "aarch64-linux-gnu-gcc", "frames.c", "-O2"), compile(t, "aarch64-linux-gnu-gcc", "frames.c", "-O2", "-mbranch-protection=pac-ret+leaf"),
		compile(t, "aarch64-linux-gnu-gcc", "frames.c", "-O2", "-fomit-frame-pointer", "-static"),
	} {
		t.Run(filepath.Base(path), func(t *testing.T) { compare(t, build(t, path), ask(t, path, ".eh_frame")) })
	}
}

// TestDebugFrame: programs without .eh_frame, which have call frame information for debuggers alone.
func TestDebugFrame(t *testing.T) {
	for _, more := range []string{"-gdwarf-4", "-gdwarf-5", "-gz=zlib"} {
		for _, compiler := range []string{"gcc", "aarch64-linux-gnu-gcc"} {
			t.Run(compiler+more, func(t *testing.T) {
				path := compile(t, compiler, "bare.c", "-O2", "-g", more, "-nostdlib", "-static", "-fno-asynchronous-unwind-tables", "-fno-unwind-tables")
				o := ask(t, path, ".debug_frame")
				if len(o.rows) < 8 {
					t.Fatalf("readelf shows %d rows", len(o.rows))
				}
				compare(t, build(t, path), o)
			})
		}
	}
}

// TestNoSections: .eh_frame is found by .eh_frame_hdr when a file has lost its section headers.
func TestNoSections(t *testing.T) {
	for _, path := range []string{"/lib/x86_64-linux-gnu/libc.so.6", "/usr/aarch64-linux-gnu/lib/libc.so.6"} {
		file, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		clear(file[40:48]) // e_shoff
		got, err := Build(bytes.NewReader(file), int64(len(file)), Options{})
		if err != nil {
			t.Fatal(err)
		}
		compare(t, got, ask(t, path, ".eh_frame"))
	}
}
