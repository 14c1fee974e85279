// SPDX-License-Identifier: Apache-2.0

package main

import (
	"debug/elf"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"testing"

	"github.com/google/pprof/profile"

	"github.com/assaylab/assay/profiler"
)

// code is a file of calls and of what is none; the offsets are those of their last bytes.
var code = []struct {
	bytes  string
	called bool
}{
	{"\x90\x90\x90\x90\x90\x90\x90\x90", false},
	{"\xe8\x01\x02\x03\x04", true},              // call rel32
	{"\xff\xd0", true},                          // call *%rax
	{"\x41\xff\x54\x24\x08", true},              // call *8(%r12)
	{"\xff\x15\x63\x1c\x04\x00", true},          // call *0x41c63(%rip)
	{"\xff\xe2\x66\x66\x66\x66\x66\x66", false}, // jmp *%rdx
	{"\xcc\xcc\xcc\xcc\xcc\xcc\xcc\xcc", false},
}

// writeCode gives the frames behind each piece of code.
func writeCode(t *testing.T) []frame {
	t.Helper()
	path := filepath.Join(t.TempDir(), "code")
	var all []byte
	var frames []frame
	for _, c := range code {
		all = append(all, c.bytes...)
		frames = append(frames, frame{path, uint64(len(all)) - 1})
	}
	if err := os.WriteFile(path, all, 0o600); err != nil {
		t.Fatal(err)
	}
	return frames
}

func TestBehindCall(t *testing.T) {
	for i, f := range writeCode(t) {
		if f.behindCall() != code[i].called {
			t.Errorf("% x: behind a call: %v", code[i].bytes, f.behindCall())
		}
	}
	if (frame{"", 1}).behindCall() {
		t.Error("no file: behind a call")
	}
}

// TestCompare: stacks of the same moment, which are equal or differ for a reason.
func TestCompare(t *testing.T) {
	f := writeCode(t)
	none, a, b, c, end := f[0], f[1], f[2], f[3], f[4]
	for _, test := range []struct {
		name          string
		theirs, ours  []frame
		quality       profiler.Quality
		want          kind // "": equal
		frames, equal int
	}{
		{"equal", []frame{a, b, end}, []frame{a, b, end}, profiler.Whole, "", 3, 3},
		{"in a system call", []frame{{a.File, a.Offset + 1}, b}, []frame{a, b}, profiler.Whole, "", 2, 2},
		{"cut", []frame{a, b, c, end}, []frame{a, b}, profiler.Cut, "", 2, 2},
		{"another caller", []frame{a, b, end}, []frame{a, c, end}, profiler.Whole, ours, 3, 1},
		{"told to be guessed", []frame{a, b, end}, []frame{a}, profiler.Broken, unsure, 3, 1},
		{"ended too soon", []frame{a, b, end}, []frame{a, b}, profiler.Whole, ours, 3, 2},
		{"theirs ended too soon", []frame{a}, []frame{a, b, end}, profiler.Whole, short, 0, 0},
		{"more than theirs, of what is no call", []frame{a}, []frame{a, none, end}, profiler.Whole, ours, 1, 1},
		{"a frame that they make up", []frame{a, none, end}, []frame{a, end}, profiler.Whole, madeUp, 2, 2},
		{"none of ours", []frame{a, end}, nil, profiler.None, unsure, 2, 0},
		{"elsewhere", []frame{b, end}, []frame{a, end}, profiler.Whole, moved, 0, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			sample := profiler.Stop{At: 5, Sample: sampleOf(test.ours), Quality: test.quality}
			var r stopRow
			r.compare([]stop{{At: 6, Frames: test.theirs}}, []profiler.Stop{sample})
			if r.Frames != test.frames || r.Equal != test.equal || (r.Whole == 1) != (test.want == "") {
				t.Errorf("%d of %d frames, %d whole", r.Equal, r.Frames, r.Whole)
			}
			if test.want != "" && r.of(test.want) != 1 {
				t.Errorf("%+v, want %q", r.Differ, test.want)
			}
		})
	}
}

// TestMixed: a frame behind libgcc that is made of two.
func TestMixed(t *testing.T) {
	path, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	throws, f := frame{"/lib/libgcc_s.so.1", 7}, writeCode(t)
	own := ownCall(t, path)
	b, end := f[2], f[4]
	for name, test := range map[string]struct {
		theirs, ours []frame
		want         kind
	}{
		"mixed":           {[]frame{throws, own, b, end}, []frame{throws, b, end}, mixed},
		"in the end":      {[]frame{throws, own}, []frame{throws}, mixed},
		"it begins there": {[]frame{throws, own, b, end}, []frame{throws, {b.File, b.Offset + 1}, end}, mixed},
		"place of throw":  {[]frame{throws, b, end}, []frame{throws, own, end}, mixed},
		"place of call":   {[]frame{throws, own, end}, []frame{throws, f[0], end}, mixed},
		"place of both":   {[]frame{throws, own, end}, []frame{throws, b, end}, ours},
		"another call":    {[]frame{throws, f[1], b, end}, []frame{throws, b, end}, ours},
		"no libgcc":       {[]frame{f[3], own, b, end}, []frame{f[3], b, end}, ours},
		"another caller":  {[]frame{throws, own, b, end}, []frame{throws, b, b}, ours},
		"two frames less": {[]frame{throws, own, b, end}, []frame{throws, end}, ours},
	} {
		if got := why(test.theirs, test.ours, common(test.theirs, test.ours), profiler.Whole); got != test.want {
			t.Errorf("%s: %s", name, got)
		}
	}
}

// ownCall finds a call in the code of a program that leads to its own code.
func ownCall(t *testing.T, path string) frame {
	t.Helper()
	file, err := elf.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	text := file.Section(".text")
	for at := text.Offset + 5; at < text.Offset+text.Size; at++ {
		if f := (frame{path, at}); f.behindCall() && f.callsOwn() {
			return f
		}
	}
	t.Fatal("no call")
	return frame{}
}

// TestPairs: a stop belongs to the last sample before it, and to no other.
func TestPairs(t *testing.T) {
	f := writeCode(t)
	var r stopRow
	at := func(t uint64, f frame) profiler.Stop {
		return profiler.Stop{At: t, Sample: sampleOf([]frame{f}), Quality: profiler.Whole}
	}
	r.compare([]stop{{At: 10, Frames: f[:1]}, {At: 20, Frames: f[1:2]}, {At: 30, Frames: f[2:3]}},
		[]profiler.Stop{at(8, f[3]), at(9, f[0]), at(21, f[2])})
	if r.Whole != 2 || r.of(unasked) != 1 {
		t.Errorf("%d equal, %+v", r.Whole, r.Differ)
	}
}

// TestParseScript: what perf script says, with frames of the kernel and of a file that is gone.
func TestParseScript(t *testing.T) {
	all, err := parseScript([]byte(`
 2345.000000017: 
	ffffffffa1234567 ([kernel.kallsyms])
	            12b0 (/tmp/a program)
	           3fbf3 (/lib/libc.so.6 (deleted))

 2345.100000000: 
	    7ffd12345678 ([unknown])

`))
	if err != nil {
		t.Fatal(err)
	}
	want := []stop{
		{2345_000000017, []frame{{"/tmp/a program", 0x12b0}, {"/lib/libc.so.6", 0x3fbf3}}},
		{2345_100000000, []frame{{"[unknown]", 0x7ffd12345678}}},
	}
	if !reflect.DeepEqual(all, want) {
		t.Errorf("%+v, want %+v", all, want)
	}
	for _, bad := range []string{"12b0 (/tmp/program)", "2345.17:", "2345.000000001:\n12b0", "2345.000000001:\nzz (a)"} {
		if _, err := parseScript([]byte(bad)); err == nil {
			t.Errorf("%q: no error", bad)
		}
	}
}

func sampleOf(stack []frame) *profile.Sample {
	s := &profile.Sample{}
	for _, f := range slices.Clone(stack) {
		s.Location = append(s.Location, &profile.Location{Address: f.Offset, Mapping: &profile.Mapping{File: f.File}})
	}
	return s
}
