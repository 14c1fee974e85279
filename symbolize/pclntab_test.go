// SPDX-License-Identifier: Apache-2.0

package symbolize

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/pprof/profile"
)

// goProgram prints where its text is mapped, and then what its runtime says of addresses all over it: a line "@ADDRESS" for
// each, then lines "function|symbol|file|line|start line" from the innermost inlined call on. It asks in the way in which
// runtime/pprof does, through the functions that the runtime keeps for it.
const goProgram = `package main

import (
	"bufio"
	"example/pprof"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
)

type pair[K comparable, V any] struct { k K; v V }

func (p pair[K, V]) String() string { return fmt.Sprint(p.k, p.v) }

func main() {
	text, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		panic(err)
	}
	exe, err := os.Readlink("/proc/self/exe")
	if err != nil {
		panic(err)
	}
	lines := strings.Split(string(text), "\n")
	i := slices.IndexFunc(lines, func(l string) bool { return strings.Contains(l, "r-xp") && strings.HasSuffix(l, exe) })
	var start, end, offset uintptr
	fmt.Sscanf(lines[i], "%x-%x r-xp %x", &start, &end, &offset)
	out := bufio.NewWriter(os.Stdout)
	defer out.Flush()
	fmt.Fprintln(out, start, end, offset, pair[string, int]{"a", len(os.Args)})
	for pc := start; pc < end; pc += (end - start) / 20000 | 1 {
		fmt.Fprintf(out, "@%d\n", pc)
		if next := runtime.FuncForPC(pc + 1); next == nil || next.Entry() == pc+1 {
			continue // taken for an entry by the runtime, not for a return address
		}
		frames := runtime.CallersFrames(pprof.Expand([]uintptr{pc + 1}))
		for more := true; more; {
			var f runtime.Frame
			f, more = frames.Next()
			file := f.File
			if file == "?" {
				file = ""
			}
			fmt.Fprintf(out, "%s|%s|%s|%d|%d\n", f.Function, pprof.Symbol(&f), file, f.Line, pprof.StartLine(&f))
		}
	}
}
`

const goPprof = `package pprof

import (
	"runtime"
	_ "unsafe"
)

//go:linkname Expand runtime/pprof.runtime_expandFinalInlineFrame
func Expand([]uintptr) []uintptr

//go:linkname Symbol runtime/pprof.runtime_FrameSymbolName
func Symbol(*runtime.Frame) string

//go:linkname StartLine runtime/pprof.runtime_FrameStartLine
func StartLine(*runtime.Frame) int
`

const cgoFile = `package main

// __attribute__((noinline)) static int triple(int n) { return 3 * n; }
// int sextuple(int n) { return 2 * triple(n); }
import "C"

func init() { C.sextuple(2) }
`

// buildGo compiles goProgram, with C code in it when asked to.
func buildGo(t testing.TB, cgo bool, ldflags string, flags ...string) string {
	t.Helper()
	dir := t.TempDir()
	sources := map[string]string{
		"go.mod": "module example\n\ngo 1.26\n", "main.go": goProgram, "pprof/pprof.go": goPprof, "pprof/bodyless.s": "",
	}
	if cgo {
		sources["cgo.go"] = cgoFile
	}
	if err := os.Mkdir(filepath.Join(dir, "pprof"), 0o755); err != nil {
		t.Fatal(err)
	}
	for name, text := range sources {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	out := filepath.Join(dir, "out")
	run(t, "", "go", append([]string{"build", "-C", dir, "-o", out, "-ldflags=-checklinkname=0 " + ldflags}, flags...)...)
	return out
}

// TestGoFrames compares names, files, lines and inlined calls with what the runtime of the very program says.
func TestGoFrames(t *testing.T) {
	for _, tc := range []struct {
		name, ldflags string
		cgo           bool
		flags         []string
	}{
		{"fixed addresses", "", false, nil},
		{"stripped", "-s -w", false, nil},
		{"PIE, stripped", "-s -w", false, []string{"-buildmode=pie"}},
		{"PIE, linked by gcc, stripped", "-s -w -linkmode=external", false, []string{"-buildmode=pie"}},
		{"cgo, stripped", "-s -w", true, nil},
		{"cgo, PIE", "", true, []string{"-buildmode=pie"}},
	} {
		t.Run(tc.name, func(t *testing.T) { compareGoFrames(t, buildGo(t, tc.cgo, tc.ldflags, tc.flags...)) })
	}
}

func compareGoFrames(t *testing.T, path string) {
	m := &profile.Mapping{File: path}
	want := runtimeFrames(t, path, m)
	addresses := make([]uint64, 0, len(want))
	for a := range want {
		addresses = append(addresses, a)
	}
	p := newProfile(map[*profile.Mapping][]uint64{m: addresses})
	symbolized(t, p, &files{}, nil)

	compared, inlined, wrappers, differ := 0, 0, 0, 0
	for _, l := range p.Location {
		w := want[l.Address]
		if len(w) == 0 || strings.HasPrefix(w[0], "|") {
			continue // C code, or padding, or the first name in the table, which the runtime takes for none
		}
		compared++
		if len(w) > 1 {
			inlined++
		}
		got := goLines(l)
		if len(got) == len(w)+1 { // the runtime hides a method that the compiler made when the method it calls is inlined
			wrappers++
			got = got[:len(w)]
		}
		if diff := cmp.Diff(w, got); diff != "" {
			if differ++; differ < 5 {
				t.Errorf("%#x:\n%s", l.Address, diff)
			}
		}
	}
	if compared < 5000 || inlined < 1000 || wrappers > compared/50 || differ > 0 {
		t.Errorf("%d of %d addresses differ, %d have inlined calls, %d a wrapper", differ, compared, inlined, wrappers)
	}
	if !m.HasInlineFrames || !m.HasFunctions {
		t.Errorf("the mapping says that it has no functions or inlined frames: %+v", m)
	}
}

// runtimeFrames runs the program: it fills in the mapping of its text, and gives the lines for each address.
func runtimeFrames(t *testing.T, path string, m *profile.Mapping) map[uint64][]string {
	t.Helper()
	out, err := exec.Command(path).Output()
	if err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(strings.NewReader(string(out)))
	lines.Scan()
	if _, err := fmt.Sscan(lines.Text(), &m.Start, &m.Limit, &m.Offset); err != nil {
		t.Fatal(err)
	}
	frames := make(map[uint64][]string)
	var pc uint64
	for lines.Scan() {
		if text, ok := strings.CutPrefix(lines.Text(), "@"); ok {
			if _, err := fmt.Sscan(text, &pc); err != nil {
				t.Fatal(err)
			}
			frames[pc] = nil
			continue
		}
		frames[pc] = append(frames[pc], lines.Text())
	}
	return frames
}

func goLines(l *profile.Location) []string {
	var lines []string
	for _, n := range l.Line {
		lines = append(lines, fmt.Sprintf("%s|%s|%s|%d|%d", n.Function.Name, n.Function.SystemName, n.Function.Filename, n.Line, n.Function.StartLine))
	}
	return lines
}
