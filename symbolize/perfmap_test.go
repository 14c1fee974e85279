// SPDX-License-Identifier: Apache-2.0

package symbolize

import (
	"errors"
	"io"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/pprof/profile"
)

func TestPerfMap(t *testing.T) {
	for _, tc := range []struct {
		name, text string
		want       map[uint64]string
	}{
		{"spaces in names", "1000 20 LazyCompile:~main /app/a b.js:1\n", map[uint64]string{
			0xfff: "", 0x1000: "main", 0x101f: "main", 0x1020: "",
		}},
		{"prefixes, capitals, CRLF, no last newline", "0x1000 0X20 a\r\nABC0 10 b", map[uint64]string{0x1001: "a", 0xabcf: "b"}},
		{"later entries win", "1000 100 old\n1040 40 new\n", map[uint64]string{0x1000: "old", 0x1040: "new", 0x107f: "new", 0x1080: "old"}},
		{"end of the address space", "fffffffffffffff0 ffffffffffffffff top\n", map[uint64]string{^uint64(0): "top", 1: ""}},
		{"nonsense between", "hello\n1000\n1000 20\n1000 20 \n1000 0 zero\n-1 20 n\n1000 20 good\n\n", map[uint64]string{0x1000: "good"}},
		{"too long a line", "1000 20 " + strings.Repeat("x", 3*maxPerfMapLine) + "\n2000 20 good\n", map[uint64]string{0x1000: "", 0x2000: "good"}},
		{
			"the rest of a long line isn't an entry", strings.Repeat(" ", maxPerfMapLine) + "1000 20 bad\n2000 20 good\n",
			map[uint64]string{0x1000: "", 0x2000: "good"},
		},
		{"long name", "1000 20 " + strings.Repeat("x", maxPerfMapName+9), map[uint64]string{0x1000: strings.Repeat("x", maxPerfMapName)}},
		{"empty", "", map[uint64]string{0x1000: ""}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var addresses []uint64
			for a := range tc.want {
				addresses = append(addresses, a)
			}
			p := newProfile(map[*profile.Mapping][]uint64{{File: "[anon]", Limit: ^uint64(0)}: addresses})
			symbolized(t, p, &files{perfMaps: map[string]string{"[anon]": tc.text}}, nil)
			if diff := cmp.Diff(tc.want, names(p)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestNoPerfMap(t *testing.T) {
	p := newProfile(map[*profile.Mapping][]uint64{{File: "[anon:jit]", Limit: 9}: {1, 2}})
	r := symbolized(t, p, &files{}, nil)
	if diff := cmp.Diff([]Unnamed{{Reason: NoPerfMap, Locations: 2}}, r.Mappings[0].Unnamed); diff != "" {
		t.Error(diff)
	}
}

func TestPerfMapOverlaps(t *testing.T) {
	want := make(addrs, 1<<16)
	for i := range want {
		want[i] = uint64(i)
	}
	_, err := scanPerfMap(strings.NewReader(strings.Repeat("0 ffffff x\n", maxPerfMapHits/len(want)+1)), want)
	if err == nil || !strings.Contains(err.Error(), "overlap") {
		t.Errorf("error %v, want one about entries that overlap", err)
	}
}

// processes is a Source of perf maps on disk: the BuildID of a mapping is the path.
type processes struct{ opened map[string]int }

func (s *processes) Object(*profile.Mapping) (Object, error) { return nil, errors.New("no files here") }

func (s *processes) PerfMap(m *profile.Mapping) (io.ReadCloser, error) {
	s.opened[m.BuildID]++
	return os.Open(m.BuildID)
}

func (s *processes) JITDump(*profile.Mapping) (io.ReadCloser, error) { return nil, os.ErrNotExist }

// TestPerfMapOfProcess: mappings that look alike get the names of their own process.
func TestPerfMapOfProcess(t *testing.T) {
	one, two := write(t, "perf-1.map", "1000 2000 one\n"), write(t, "perf-2.map", "1000 2000 two\n")
	mapping := func(path string, start uint64) *profile.Mapping {
		return &profile.Mapping{File: "[anon]", BuildID: path, Start: start, Limit: start + 0x1000}
	}
	p := newProfile(map[*profile.Mapping][]uint64{
		mapping(one, 0x1000): {0x1010}, mapping(two, 0x1000): {0x1020}, mapping(one, 0x2000): {0x2010}, mapping("/nowhere", 0x1000): {0x1030},
	})
	src := &processes{opened: make(map[string]int)}
	symbolized(t, p, src, nil)
	if n := src.opened[one]; n != 3 { // once for each mapping to know it, once to read it
		t.Errorf("the map of the first process was opened %d times, want 3", n)
	}
	want := map[uint64]string{0x1010: "one", 0x1020: "two", 0x2010: "one", 0x1030: ""}
	if diff := cmp.Diff(want, names(p)); diff != "" {
		t.Error(diff)
	}
}

func FuzzPerfMap(f *testing.F) {
	f.Add("1000 20 name with spaces\n0x1010 0x8 later\r\n")
	f.Add(strings.Repeat("y", maxPerfMapLine+1) + "\n1 ffffffffffffffff all")
	f.Fuzz(func(t *testing.T, text string) {
		got, err := scanPerfMap(strings.NewReader(text), addrs{0, 0x1000, 0x1015, 1 << 40, ^uint64(0)})
		if err != nil {
			t.Errorf("scan: %v", err)
		}
		for _, name := range got {
			if len(name) > maxPerfMapName || !strings.Contains(text, name) {
				t.Errorf("name %q isn't from the map", name)
			}
		}
	})
}
