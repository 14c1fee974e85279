// SPDX-License-Identifier: Apache-2.0

package symbolize

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/pprof/profile"
)

// kallsymsText has what real tables have: several names of one address, modules out of order, BPF programs, data.
const kallsymsText = `0000000000000000 A fixed_percpu_data
ffffffff81000000 T _stext
ffffffff81000000 T __do_thing
ffffffff81000000 t a_local
ffffffff81000000 T do_thing.cold
ffffffff81000000 T do_thing
ffffffff81000100 t helper.isra.0
ffffffff81000200 W weak_one
ffffffff82000000 D some_data
ffffffffc0201000 t bpf_prog_6deef7357e7b4530_count	[bpf]
ffffffffc0100000 t open_file	[ext4]
ffffffffc0100080 T _RNvCs1234_7rustmod4work	[ext4]
ffffffffc0050000 t tun_get_user	[tun]
`

func opener(text string) func() (io.ReadCloser, error) {
	return func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(text)), nil }
}

func kernelMapping(file string) *profile.Mapping {
	return &profile.Mapping{File: file, Start: kernelStart, Limit: ^uint64(0)}
}

// names gives the name of each location, "" for those without.
func names(p *profile.Profile) map[uint64]string {
	names := make(map[uint64]string)
	for _, l := range p.Location {
		names[l.Address] = ""
		for _, n := range l.Line {
			names[l.Address] += n.Function.Name
		}
	}
	return names
}

func TestKernel(t *testing.T) {
	for _, tc := range []struct {
		mapping string
		want    map[uint64]string
	}{
		{"[kernel.kallsyms]", map[uint64]string{
			0xffffffff80ffffff: "",
			0xffffffff81000000: "do_thing",
			0xffffffff810000ff: "do_thing",
			0xffffffff81000100: "helper.isra.0",
			0xffffffff81000234: "weak_one",
			0xffffffff82000001: "", // data
			0xffffffffc0201010: "bpf_prog_6deef7357e7b4530_count",
		}},
		{"[ext4]", map[uint64]string{
			0xffffffffc0100001: "open_file",
			0xffffffffc0100090: "rustmod::work",
			0xffffffffc0050001: "", // another module's
		}},
		{"[bpf]", map[uint64]string{0xffffffffc0201010: "bpf_prog_6deef7357e7b4530_count"}},
	} {
		t.Run(tc.mapping, func(t *testing.T) {
			var addresses []uint64
			for a := range tc.want {
				addresses = append(addresses, a)
			}
			p := newProfile(map[*profile.Mapping][]uint64{kernelMapping(tc.mapping): addresses})
			symbolized(t, p, nil, &Options{Kallsyms: opener(kallsymsText)})
			if diff := cmp.Diff(tc.want, names(p)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestKernelWithoutNames(t *testing.T) {
	hidden := strings.NewReplacer("ffffffff8", "000000000", "ffffffffc", "000000000", "1000100", "0000000", "1000200", "0000000", "1000000", "0000000",
		"2000000", "0000000", "0201000", "0000000", "0100000", "0000000", "0100080", "0000000", "0050000", "0000000").Replace(kallsymsText)
	for _, tc := range []struct {
		name string
		opts Options
		want Unnamed
	}{
		{"hidden", Options{Kallsyms: opener(hidden)}, Unnamed{Reason: KernelHidden, Locations: 2}},
		{
			"unreadable",
			Options{Kallsyms: func() (io.ReadCloser, error) { return nil, errors.New("no such luck") }},
			Unnamed{Reason: NoKallsyms, Detail: "no such luck", Locations: 2},
		},
		{
			"breaks off",
			Options{Kallsyms: func() (io.ReadCloser, error) { return io.NopCloser(breaking{}), nil }},
			Unnamed{Reason: NoKallsyms, Detail: "broke off", Locations: 2},
		},
		{"another kernel", Options{Kallsyms: opener(kallsymsText), KernelBuildID: "ffff"}, Unnamed{Reason: KernelReplaced, Locations: 2}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			m := kernelMapping("[kernel.kallsyms]")
			m.BuildID = "abcd"
			p := newProfile(map[*profile.Mapping][]uint64{m: {0xffffffff81000000, 0xffffffff81000100}})
			r := symbolized(t, p, nil, &tc.opts)
			if diff := cmp.Diff([]Unnamed{tc.want}, r.Mappings[0].Unnamed); diff != "" {
				t.Error(diff)
			}
			if m.HasFunctions {
				t.Error("a mapping without names says that it has functions")
			}
		})
	}
}

// TestKernelNames asks a kernel that tells names itself; one that can't leaves it to the table.
func TestKernelNames(t *testing.T) {
	told := map[uint64]string{0xffffffff81000010: "told", 0xffffffff81000100: "", 0xffffffffc0100001: "open_it [ext4]", 0xffffffffc0100090: "other [xfs]"}
	tell := func(addresses []uint64) ([]string, error) {
		var names []string
		for _, a := range addresses {
			names = append(names, told[a])
		}
		return names, nil
	}
	refuse := func([]uint64) ([]string, error) { return nil, errors.New("no") }
	for _, tc := range []struct {
		name string
		ask  func([]uint64) ([]string, error)
		want map[uint64]string
	}{
		{"told", tell, map[uint64]string{0xffffffff81000010: "told", 0xffffffff81000100: "", 0xffffffffc0100001: "open_it", 0xffffffffc0100090: ""}},
		{"refused", refuse, map[uint64]string{
			0xffffffff81000010: "do_thing", 0xffffffff81000100: "helper.isra.0", 0xffffffffc0100001: "open_file", 0xffffffffc0100090: "rustmod::work",
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			p := newProfile(map[*profile.Mapping][]uint64{
				kernelMapping("[kernel.kallsyms]"): {0xffffffff81000010, 0xffffffff81000100},
				kernelMapping("[ext4]"):            {0xffffffffc0100001, 0xffffffffc0100090},
			})
			symbolized(t, p, nil, &Options{KernelNames: tc.ask, Kallsyms: opener(kallsymsText)})
			if diff := cmp.Diff(tc.want, names(p)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

type breaking struct{}

func (breaking) Read([]byte) (int, error) { return 0, errors.New("broke off") }

// TestKernelAgainstScan compares with the simplest reading of the running kernel's table: for each function, the symbol of
// that address.
func TestKernelAgainstScan(t *testing.T) {
	text, err := os.ReadFile("/proc/kallsyms")
	if err != nil {
		t.Fatal(err)
	}
	aliases := make(map[uint64]map[string]bool)
	var starts []uint64
	for line := range strings.Lines(string(text)) {
		var addr uint64
		var typ, name string
		if n, err := fmt.Sscanf(line, "%x %1s %s", &addr, &typ, &name); n != 3 {
			t.Fatalf("%q: %v", line, err)
		}
		if !strings.Contains("tTwW", typ) {
			continue
		}
		if aliases[addr] == nil {
			aliases[addr] = make(map[string]bool)
			if len(aliases)%50 == 0 {
				starts = append(starts, addr)
			}
		}
		aliases[addr][name] = true
	}
	p := newProfile(map[*profile.Mapping][]uint64{kernelMapping("[kernel.kallsyms]"): starts})
	symbolized(t, p, nil, nil)
	for _, l := range p.Location {
		if len(l.Line) != 1 || !aliases[l.Address][l.Line[0].Function.SystemName] {
			t.Errorf("%#x: %+v, want one of %v", l.Address, l.Line, aliases[l.Address])
		}
	}
}

func TestParseKernelSymbol(t *testing.T) {
	type symbol struct {
		Addr         uint64
		Typ          string
		Name, Module string
	}
	for _, tc := range []struct {
		line string
		want symbol
		ok   bool
	}{
		{"ffffffff81000000 T _text\n", symbol{0xffffffff81000000, "T", "_text", ""}, true},
		{"ffffffffc0000000 t f\t[mod_x]\n", symbol{0xffffffffc0000000, "t", "f", "mod_x"}, true},
		{"1f t f", symbol{0x1f, "t", "f", ""}, true},
		{"FF t f", symbol{0xff, "t", "f", ""}, true},
		{"", symbol{}, false},
		{"ffffffff81000000", symbol{}, false},
		{"ffffffff81000000 T ", symbol{}, false},
		{"ffffffff81000000 T \n", symbol{}, false},
		{"ffffffff81000000 TT name\n", symbol{}, false},
		{"00ffffffff81000000 T name\n", symbol{}, false},
		{"xyz T name\n", symbol{}, false},
		{"1f t " + strings.Repeat("n", maxKallsymsLine), symbol{}, false},
	} {
		s, ok := parseKernelSymbol([]byte(tc.line))
		if ok != tc.ok {
			t.Errorf("%.40q: %v, want %v", tc.line, ok, tc.ok)
			continue
		}
		if got := (symbol{s.addr, string(rune(s.typ)), string(s.name), string(s.module)}); ok && got != tc.want {
			t.Errorf("%q: %+v, want %+v", tc.line, got, tc.want)
		}
	}
}

func FuzzKallsyms(f *testing.F) {
	f.Add([]byte(kallsymsText))
	f.Add([]byte("1 t a\n2 T b\t[m]\nffffffffffffffff w c"))
	f.Fuzz(func(t *testing.T, text []byte) {
		k := newKallsyms(addrs{0, 1, 2, 1 << 40, ^uint64(0)})
		if err := k.read(bytes.NewReader(text)); err != nil {
			t.Errorf("read: %v", err)
		}
		for i, s := range k.nearest {
			if s.addr > k.want[i] {
				t.Errorf("symbol at %#x found for %#x", s.addr, k.want[i])
			}
		}
	})
}

// BenchmarkKallsyms reads a table of 200,000 symbols for 5,000 addresses. It must not allocate for each line.
func BenchmarkKallsyms(b *testing.B) {
	var text bytes.Buffer
	w := bufio.NewWriter(&text)
	var want addrs
	for i := range uint64(200_000) {
		addr := 0xffffffff81000000 + i*112
		if _, err := fmt.Fprintf(w, "%016x t some_kernel_function_%d\n", addr, i); err != nil {
			b.Fatal(err)
		}
		if i%40 == 0 {
			want = append(want, addr+5)
		}
	}
	if err := w.Flush(); err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(text.Len()))
	b.ReportAllocs()
	for b.Loop() {
		if err := newKallsyms(want).read(bytes.NewReader(text.Bytes())); err != nil {
			b.Fatal(err)
		}
	}
}
