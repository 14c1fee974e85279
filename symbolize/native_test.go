// SPDX-License-Identifier: Apache-2.0

package symbolize

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/pprof/profile"

	"github.com/assaylab/assay/symbolize/debugfile"
)

const inlineProgram = `volatile int sink;
namespace ns {
inline __attribute__((always_inline)) int inner(int n) {
	return n + sink;
}
template <class T> inline __attribute__((always_inline)) int middle(T n) {
	return inner(n) * 3;
}
__attribute__((noinline)) int around(int n) {
	return middle(n);
}
}
int main(int argc, char **) { return ns::around(argc); }
`

// TestInlined: a location has a line for each call that was inlined there, with the file and line of each.
func TestInlined(t *testing.T) {
	for _, flags := range [][]string{{"-gdwarf-4"}, {"-gdwarf-5"}} {
		path := compile(t, "a.cc", inlineProgram, append([]string{"g++", "-O2", "-no-pie"}, flags...)...)
		_, theirs := openELF(t, path)
		text := theirs.Section(".text")
		m := &profile.Mapping{Start: text.Addr, Limit: text.Addr + text.Size, Offset: text.Offset, File: path}
		p := newProfile(map[*profile.Mapping][]uint64{m: textAddrs(theirs, text.Size)})
		symbolized(t, p, &files{}, nil)
		var got []string
		for _, l := range p.Location {
			if len(l.Line) != 3 {
				continue
			}
			got = nil
			for _, line := range l.Line {
				got = append(got, line.Function.Name)
				if line.Function.Filename == "" || line.Line == 0 || line.Function.StartLine == 0 {
					t.Errorf("%s: %s:%d, starts at %d", line.Function.Name, line.Function.Filename, line.Line, line.Function.StartLine)
				}
			}
			if want := []int64{4, 7, 10}; l.Line[0].Line != want[0] || l.Line[1].Line != want[1] || l.Line[2].Line != want[2] {
				t.Errorf("%v: lines %v, want %v", flags, l.Line, want)
			}
		}
		if want := []string{"ns::inner", "ns::middle", "ns::around"}; !cmp.Equal(got, want) {
			t.Errorf("%v: %q, want %q", flags, got, want)
		}
		if !m.HasInlineFrames || !m.HasFunctions {
			t.Errorf("the mapping claims %+v", m)
		}
	}
}

func TestNameStyle(t *testing.T) {
	for _, tc := range []struct {
		style        NameStyle
		symbol, want string
	}{
		{NameStyle{}, "work.cold", "work.cold"},
		{NameStyle{Fold: true}, "work.cold", "work"},
		{NameStyle{Fold: true}, "work.isra.0.cold", "work"},
		{NameStyle{Fold: true}, "work.constprop.12", "work"},
		{NameStyle{Fold: true}, "work.llvm.1234567", "work"},
		{NameStyle{Fold: true}, "work.v2", "work.v2"},
		{NameStyle{Fold: true}, "work.", "work."},
		{NameStyle{Fold: true}, "12", "12"},
		{NameStyle{Fold: true}, ".cold", ".cold"},
		{NameStyle{Full: true, Fold: true}, "_ZN5field3sumESt6vectorIiSaIiEE.part.0", "field::sum(std::vector<int, std::allocator<int> >)"},
		{NameStyle{Full: true}, "_RNvCs1234_7rustmod4work", "rustmod::work"},
	} {
		if got := tc.style.name(tc.symbol); got != tc.want {
			t.Errorf("%+v %s: %q, want %q", tc.style, tc.symbol, got, tc.want)
		}
	}
}

// whole is a profile of all addresses of a program's code.
func whole(t testing.TB, path string) *profile.Profile {
	t.Helper()
	file, theirs := openELF(t, path)
	text := theirs.Section(".text")
	m := &profile.Mapping{Start: text.Addr, Limit: text.Addr + text.Size, Offset: text.Offset, File: path, BuildID: file.BuildID()}
	return newProfile(map[*profile.Mapping][]uint64{m: textAddrs(theirs, text.Size)})
}

// shape is what a profile says of its locations.
func shape(p *profile.Profile) []string {
	var all []string
	for _, l := range p.Location {
		s := fmt.Sprintf("%#x", l.Address)
		for _, line := range l.Line {
			s += fmt.Sprintf(" %s@%s:%d", line.Function.Name, line.Function.Filename, line.Line)
		}
		all = append(all, s)
	}
	return all
}

// TestDebugFiles: a stripped program has the same frames as before, from wherever its debug information went.
func TestDebugFiles(t *testing.T) {
	for _, tc := range []struct {
		name  string
		flags []string
		move  string // a shell script, in the folder of the program a.cc.out
	}{
		{"by build ID", nil, `id=$(readelf -n $P | sed -n 's/.*Build ID: //p'); mkdir -p debug/.build-id/${id:0:2}
			objcopy --only-keep-debug $P debug/.build-id/${id:0:2}/${id:2}.debug; strip $P`},
		{"by link", []string{"-Wl,--build-id=none"}, `objcopy --only-keep-debug $P $P.debug; strip $P
			objcopy --add-gnu-debuglink=$P.debug $P`},
		{"by link, in .debug", nil, `mkdir .debug; objcopy --only-keep-debug $P .debug/$P.debug; strip $P
			objcopy --add-gnu-debuglink=.debug/$P.debug $P`},
		{"alternate file", nil, `cp $P other; dwz -m debug/shared $P other; mkdir .debug; objcopy --only-keep-debug $P .debug/$P.debug
			strip $P; objcopy --add-gnu-debuglink=.debug/$P.debug $P; mkdir debug/.dwz; mv debug/shared debug/.dwz/shared`},
		{"split", []string{"-gsplit-dwarf"}, `true`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			plain := compile(t, "a.cc", inlineProgram, "g++", "-O2", "-g", "-no-pie")
			path := compile(t, "a.cc", inlineProgram, append([]string{"g++", "-O2", "-g", "-no-pie"}, tc.flags...)...)
			dir := filepath.Dir(path)
			run(t, "", "bash", "-ec", "cd "+dir+"; mkdir debug; P="+filepath.Base(path)+"\n"+tc.move)
			want, got := whole(t, plain), whole(t, path)
			symbolized(t, want, &files{}, nil)
			r := symbolized(t, got, &files{}, &Options{DebugFiles: &debugfile.Finder{Dirs: []string{filepath.Join(dir, "debug")}}})
			if why := r.Lineless(); why != nil {
				t.Errorf("lines are missing: %v", r.Mappings)
			}
			a, b := strings.Join(shape(want), "\n"), strings.Join(shape(got), "\n")
			a, b = strings.ReplaceAll(a, filepath.Dir(plain), ""), strings.ReplaceAll(b, dir, "")
			if diff := cmp.Diff(strings.Split(a, "\n"), strings.Split(b, "\n")); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// TestWrongDebugFile: a debug file of another build is not used.
func TestWrongDebugFile(t *testing.T) {
	path := compile(t, "a.cc", inlineProgram, "g++", "-O2", "-g", "-Wl,--build-id=none")
	run(t, "", "bash", "-ec", "cd "+filepath.Dir(path)+`; P=`+filepath.Base(path)+`
		objcopy --only-keep-debug $P $P.debug; strip $P; objcopy --add-gnu-debuglink=$P.debug $P; printf x >> $P.debug`)
	p := whole(t, path)
	r := symbolized(t, p, &files{}, &Options{DebugFiles: &debugfile.Finder{}})
	if r.Named() != 0 {
		t.Errorf("%d locations have names", r.Named())
	}
}

// TestMiniDebugInfo: the functions that a stripped program offers to nobody are named by the symbols that it carries compressed.
func TestMiniDebugInfo(t *testing.T) {
	path := compile(t, "a.c", cProgram, "gcc", "-O2", "-no-pie")
	want := whole(t, path)
	symbolized(t, want, &files{}, nil)
	run(t, "", "bash", "-ec", "cd "+filepath.Dir(path)+`; P=`+filepath.Base(path)+`
		nm $P --format=posix | awk '$2 ~ /[tT]/ { print $1 }' > functions; objcopy -S --keep-symbols functions $P mini
		xz mini; strip $P; objcopy --add-section .gnu_debugdata=mini.xz $P`)
	got := whole(t, path)
	symbolized(t, got, &files{}, nil)
	if diff := cmp.Diff(shape(want), shape(got)); diff != "" {
		t.Error(diff)
	}
}

// TestMissingPart: functions keep their names, and the report says what is missing.
func TestMissingPart(t *testing.T) {
	path := compile(t, "a.cc", inlineProgram, "g++", "-O2", "-g", "-gsplit-dwarf")
	p := whole(t, path)
	r := symbolized(t, p, &files{}, nil)
	if why := r.Lineless(); len(why) != 1 || why[0].Reason != NoDebugPart || r.Named() == 0 {
		t.Errorf("%d locations have names, lines are missing: %v", r.Named(), why)
	}
}
