// SPDX-License-Identifier: Apache-2.0

package symbolize

import (
	"bytes"
	"debug/elf"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/pprof/profile"

	"github.com/assaylab/assay/internal/elfx"
)

// textMapping is the mapping of a file's code in a process that loaded it at bias.
func textMapping(t testing.TB, path string, bias uint64) *profile.Mapping {
	t.Helper()
	f, _ := openELF(t, path)
	for _, l := range f.Loads() {
		if l.Executable() {
			start := (l.Vaddr + bias) &^ 0xfff
			return &profile.Mapping{Start: start, Limit: bias + l.Vaddr + l.Memsz, Offset: l.Off &^ 0xfff, File: path, BuildID: f.BuildID()}
		}
	}
	t.Fatalf("%s has no code", path)
	return nil
}

// function is the vaddr of a function.
func function(t testing.TB, path, name string) uint64 {
	t.Helper()
	_, f := openELF(t, path)
	symbols, err := f.Symbols()
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range symbols {
		if s.Name == name {
			return s.Value
		}
	}
	t.Fatalf("%s has no %s", path, name)
	return 0
}

const bias = 0x7f0000000000

func TestFile(t *testing.T) {
	path := compile(t, "a.c", cProgram, "gcc", "-O2", "-pie", "-fPIE")
	twice, main := function(t, path, "twice"), function(t, path, "main")
	loaded, normal := textMapping(t, path, bias), textMapping(t, path, 0)
	p := newProfile(map[*profile.Mapping][]uint64{
		loaded: {twice + bias + 1, main + bias, loaded.Limit + 1<<20},
		normal: {twice + 2, main + 3},
	})
	src := &files{}
	r := symbolized(t, p, src, nil)
	want := map[uint64]string{
		twice + bias + 1: "twice", main + bias: "main", loaded.Limit + 1<<20: "", twice + 2: "twice", main + 3: "main",
	}
	if diff := cmp.Diff(want, names(p)); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]Unnamed{{Reason: NotInFile, Locations: 1}}, r.Unnamed()); diff != "" {
		t.Error(diff)
	}
	if len(p.Function) != 2 {
		t.Errorf("%d functions, want one for each of two names", len(p.Function))
	}
	if src.opened[path] != 1 || src.open != 0 {
		t.Errorf("opened %d times, want 1; %d left open", src.opened[path], src.open)
	}
	for _, m := range p.Mapping {
		if !m.HasFunctions || m.HasFilenames || m.HasLineNumbers || m.HasInlineFrames {
			t.Errorf("mapping %+v: want functions and nothing more", m)
		}
	}
}

// TestAgain: what has names keeps them, and the report counts them.
func TestAgain(t *testing.T) {
	path := compile(t, "a.c", cProgram, "gcc", "-O2")
	p := newProfile(map[*profile.Mapping][]uint64{textMapping(t, path, bias): {bias + function(t, path, "main")}})
	symbolized(t, p, &files{}, nil)
	before := p.String()
	src := &files{}
	r := symbolized(t, p, src, nil)
	if diff := cmp.Diff(before, p.String()); diff != "" || r.Named() != 1 || len(src.opened) != 0 {
		t.Errorf("the second time: %d named, opened %v, diff:\n%s", r.Named(), src.opened, diff)
	}
}

func TestReasons(t *testing.T) {
	good := compile(t, "a.c", cProgram, "gcc", "-O2", "-Wl,--build-id=0x1234")
	stripped := compile(t, "a.c", cProgram, "gcc", "-O2", "-s")
	text, cut := write(t, "text", strings.Repeat("This is no program.\n", 9)), write(t, "cut", "\x7fELF")
	main := function(t, good, "main")
	at := func(path, id string) *profile.Mapping {
		m := textMapping(t, good, 0)
		m.File, m.BuildID = path, id
		return m
	}
	_, std := openELF(t, good)
	plt := std.Section(".plt").Addr + 1
	for _, tc := range []struct {
		name    string
		mapping *profile.Mapping
		address uint64
		want    Unnamed
	}{
		{"gone", at("/nowhere/prog", ""), main, Unnamed{Reason: FileGone}},
		{"replaced", at(good, "5678"), main, Unnamed{Reason: FileReplaced}},
		{"replaced by a file without a build ID", at(compile(t, "a.c", cProgram, "gcc", "-Wl,--build-id=none"), "1234"), main, Unnamed{Reason: FileReplaced}},
		{"folder", at(t.TempDir(), ""), main, Unnamed{Reason: FileUnreadable, Detail: "is a directory"}},
		{"text", at(text, ""), main, Unnamed{Reason: InvalidELF, Detail: "no magic number (at offset 0x0)"}},
		{"cut off", at(cut, ""), main, Unnamed{Reason: InvalidELF, Detail: "header: unexpected EOF"}},
		{"stripped", at(stripped, ""), main, Unnamed{Reason: NoSymbols}},
		{"not covered", at(good, "1234"), plt, Unnamed{Reason: NotCovered}},
		{"no perf map", at("[heap]", ""), main, Unnamed{Reason: NoPerfMap}},
		{"neither ELF nor a perf map", at("/memfd:jit (deleted)", ""), main, Unnamed{Reason: FileGone}},
		{"vsyscall", &profile.Mapping{File: "[vsyscall]", Start: 0xffffffffff600000, Limit: 0xffffffffff601000}, 0xffffffffff600c00, Unnamed{Reason: NotCovered}},
		{"no mapping", nil, main, Unnamed{Reason: NoMapping}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			p := newProfile(map[*profile.Mapping][]uint64{{File: "[unused]"}: {0}})
			p.Mapping, p.Location[0].Mapping, p.Location[0].Address = nil, tc.mapping, tc.address
			if tc.mapping != nil {
				tc.mapping.ID = 1
				p.Mapping = []*profile.Mapping{tc.mapping}
			}
			src := &files{}
			r := symbolized(t, p, src, nil)
			got := r.Mappings[0].Unnamed
			if len(got) != 1 || got[0].Reason != tc.want.Reason || !strings.Contains(got[0].Detail, tc.want.Detail) || got[0].Locations != 1 {
				t.Errorf("%+v, want %+v", got, tc.want)
			}
			if src.open != 0 {
				t.Errorf("%d files left open", src.open)
			}
		})
	}
}

func TestUnnamedString(t *testing.T) {
	for want, u := range map[string]Unnamed{
		"file gone":           {Reason: FileGone},
		"ELF invalid: no sum": {Reason: InvalidELF, Detail: "no sum"},
	} {
		if u.String() != want {
			t.Errorf("%q, want %q", u.String(), want)
		}
	}
}

// TestSecondCopy: a build that is gone in one place is found in another.
func TestSecondCopy(t *testing.T) {
	path := compile(t, "a.c", cProgram, "gcc", "-O2", "-Wl,--build-id=0x1234")
	here, gone := textMapping(t, path, 0), textMapping(t, path, bias)
	gone.File = "/gone/prog"
	main := function(t, path, "main")
	p := newProfile(map[*profile.Mapping][]uint64{gone: {bias + main}, here: {main}})
	symbolized(t, p, &files{}, nil)
	if diff := cmp.Diff(map[uint64]string{main: "main", bias + main: "main"}, names(p)); diff != "" {
		t.Error(diff)
	}
}

// TestMemoryFile: a JIT that keeps its code in a memory file is named by its perf map.
func TestMemoryFile(t *testing.T) {
	path := write(t, "code", strings.Repeat("\xcc", 4096))
	m := &profile.Mapping{File: "/memfd:jit (deleted)", Start: 0x1000, Limit: 0x2000}
	p := newProfile(map[*profile.Mapping][]uint64{m: {0x1010}})
	symbolized(t, p, memoryFiles{path, &files{perfMaps: map[string]string{m.File: "1000 20 jitted\n"}}}, nil)
	if diff := cmp.Diff(map[uint64]string{0x1010: "jitted"}, names(p)); diff != "" {
		t.Error(diff)
	}
}

// memoryFiles opens one file for every mapping.
type memoryFiles struct {
	path string
	*files
}

func (s memoryFiles) Object(*profile.Mapping) (Object, error) {
	return s.files.Object(&profile.Mapping{File: s.path})
}

func TestVsyscall(t *testing.T) {
	const start = 0xffffffffff600000
	m := &profile.Mapping{File: "[vsyscall]", Start: start, Limit: start + 0x1000}
	p := newProfile(map[*profile.Mapping][]uint64{m: {start, start + 0x407, start + 0x800}})
	symbolized(t, p, &files{}, nil)
	want := map[uint64]string{start: "gettimeofday", start + 0x407: "time", start + 0x800: "getcpu"}
	if diff := cmp.Diff(want, names(p)); diff != "" {
		t.Error(diff)
	}
}

// vdso is a Source of the vdso that the kernel gave to this very process.
type vdso struct {
	files
	image []byte
}

func (v *vdso) Object(*profile.Mapping) (Object, error) {
	v.open++
	return &object{bytes.NewReader(v.image), &v.files}, nil
}

func TestVdso(t *testing.T) {
	m, image := ownVdso(t)
	f, err := elf.NewFile(bytes.NewReader(image))
	if err != nil {
		t.Fatal(err)
	}
	symbols, err := f.DynamicSymbols()
	if err != nil {
		t.Fatal(err)
	}
	var addresses []uint64
	for _, s := range symbols {
		if elf.ST_TYPE(s.Info) == elf.STT_FUNC {
			addresses = append(addresses, m.Start+s.Value+s.Size/2)
		}
	}
	p := newProfile(map[*profile.Mapping][]uint64{m: addresses})
	r := symbolized(t, p, &vdso{image: image}, nil)
	if len(addresses) < 3 || r.Named() != len(addresses) {
		t.Errorf("%d of %d functions named: %v", r.Named(), len(addresses), names(p))
	}
	found := false
	for _, name := range names(p) {
		found = found || name == "clock_gettime"
	}
	if !found {
		t.Errorf("no clock_gettime in %v", names(p))
	}
}

func ownVdso(t *testing.T) (*profile.Mapping, []byte) {
	t.Helper()
	maps, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(maps)) {
		m := &profile.Mapping{File: "[vdso]"}
		if !strings.Contains(line, m.File) {
			continue
		}
		if _, err := fmt.Sscanf(line, "%x-%x", &m.Start, &m.Limit); err != nil {
			t.Fatal(err)
		}
		mem, err := os.Open("/proc/self/mem")
		if err != nil {
			t.Fatal(err)
		}
		defer closing(t, mem)
		image := make([]byte, m.Limit-m.Start)
		if _, err := mem.ReadAt(image, int64(m.Start)); err != nil {
			t.Fatal(err)
		}
		return m, image
	}
	t.Fatal("this process has no vdso")
	return nil, nil
}

func TestInvalidProfile(t *testing.T) {
	p := newProfile(map[*profile.Mapping][]uint64{{File: "/a"}: {1}})
	p.Location[0].ID = 0
	if r, err := Profile(p, &files{}, nil); err == nil || r != nil {
		t.Errorf("report %v, error %v; want an error alone", r, err)
	}
}

// TestPGO gives a named profile of a Go program to the compiler, which must find its hot function.
func TestPGO(t *testing.T) {
	dir := t.TempDir()
	body := strings.Repeat("\tn += n*n ^ n>>3\n", 20) // too much for the compiler to inline unasked
	text := "package main\n\nfunc hot(n int) int {\n" + body + "\treturn n\n}\n\nfunc main() { println(hot(3)) }\n"
	for name, text := range map[string]string{"go.mod": "module pgo\n\ngo 1.26\n", "main.go": text} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	out := filepath.Join(dir, "prog")
	run(t, "", "go", "build", "-C", dir, "-o", out)
	m := textMapping(t, out, 0)
	hot, main := function(t, out, "main.hot"), function(t, out, "main.main")
	p := newProfile(map[*profile.Mapping][]uint64{m: {hot + 1, main + 20}})
	p.SampleType = append(p.SampleType, &profile.ValueType{Type: "cpu", Unit: "nanoseconds"})
	p.Sample = []*profile.Sample{{Location: []*profile.Location{p.Location[0], p.Location[1]}, Value: []int64{100, 1e9}}}
	symbolized(t, p, &files{}, nil)
	if got := p.Location[0].Line[0].Function; got.Name != "main.hot" || got.StartLine != 3 || got.Filename != filepath.Join(dir, "main.go") {
		t.Errorf("function %+v, want main.hot of line 3", got)
	}
	if !m.HasFunctions || !m.HasFilenames || !m.HasLineNumbers {
		t.Errorf("mapping %+v, want functions, files and lines", m)
	}
	var b bytes.Buffer
	if err := p.Write(&b); err != nil {
		t.Fatal(err)
	}
	pgo := write(t, "cpu.pprof", b.String())
	cmd := exec.Command("go", "build", "-C", dir, "-pgo", pgo, "-gcflags=-d=pgodebug=1", "-o", out)
	log, err := cmd.CombinedOutput()
	if err != nil || !bytes.Contains(log, []byte("budget=2000 for func=main.hot")) {
		t.Errorf("go build -pgo: %v\n%s", err, log)
	}
}

// TestAgainstGoAddr2line compares with the tool of the Go distribution, which knows no inlined calls.
func TestAgainstGoAddr2line(t *testing.T) {
	path := buildGo(t, false, "")
	_, std := openELF(t, path)
	want := textAddrs(std, 3000)
	p := newProfile(map[*profile.Mapping][]uint64{textMapping(t, path, 0): want})
	symbolized(t, p, &files{}, nil)
	lines := strings.Split(run(t, hexLines(want), "go", "tool", "addr2line", path), "\n")
	differ := 0
	for i, l := range p.Location {
		got := "?\n?:0"
		if n := len(l.Line); n > 0 {
			got = l.Line[n-1].Function.SystemName + "\n" + l.Line[0].Function.Filename + ":" + strconv.FormatInt(l.Line[0].Line, 10)
		}
		got = strings.Replace(got, "\n:0", "\n:-1", 1) // padding
		if theirs := lines[2*i] + "\n" + lines[2*i+1]; theirs != got {
			if differ++; differ < 5 {
				t.Errorf("%#x: %q, go tool addr2line says %q", l.Address, got, theirs)
			}
		}
	}
	if differ > 0 {
		t.Errorf("%d of %d differ", differ, len(want))
	}
}

// TestCgo: in a program of Go and C both have names, and without symbols the Go part keeps them.
func TestCgo(t *testing.T) {
	path := buildGo(t, true, "")
	p := newProfile(map[*profile.Mapping][]uint64{textMapping(t, path, 0): {
		function(t, path, "sextuple") + 1, function(t, path, "triple") + 1, function(t, path, "main.main") + 1,
	}})
	symbolized(t, p, &files{}, nil)
	for i, want := range []string{"sextuple", "triple", "main.main"} {
		if l := p.Location[i].Line; len(l) != 1 || l[0].Function.Name != want {
			t.Errorf("%s: %+v", want, l)
		}
	}
}

// TestGoWithoutSections: pclntab is found by its magic number where the section headers were cut off.
func TestGoWithoutSections(t *testing.T) {
	path := buildGo(t, false, "")
	main := function(t, path, "main.main")
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for i := 40; i < 48; i++ { // e_shoff
		b[i] = 0
	}
	b[60], b[61] = 0, 0 // e_shnum
	f, err := elfx.Open(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		t.Fatal(err)
	}
	found := findFrames(f, path, addrs{main}, &Options{})
	if len(found.frames[0]) != 1 || found.frames[0][0].name != "main.main" {
		t.Errorf("%v; want main.main", found)
	}
}

// failingObject is an object that can't be read.
type failingObject struct{ Object }

func (failingObject) ReadAt([]byte, int64) (int, error) { return 0, errors.New("disk on fire") }

type failingFiles struct{ *files }

func (s failingFiles) Object(m *profile.Mapping) (Object, error) {
	o, err := s.files.Object(m)
	return failingObject{o}, err
}

func TestReadError(t *testing.T) {
	path := compile(t, "a.c", cProgram, "gcc")
	p := newProfile(map[*profile.Mapping][]uint64{textMapping(t, path, 0): {function(t, path, "main")}})
	r := symbolized(t, p, failingFiles{&files{}}, nil)
	if diff := cmp.Diff([]Unnamed{{FileUnreadable, "ELF header: disk on fire", 1}}, r.Mappings[0].Unnamed); diff != "" {
		t.Error(diff)
	}
}
