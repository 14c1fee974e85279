// SPDX-License-Identifier: Apache-2.0

package symbolize

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/pprof/profile"
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
