// SPDX-License-Identifier: Apache-2.0

package symbolize

import (
	"encoding/binary"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/pprof/profile"
)

// jitDump writes a dump, record by record.
type jitDump struct{ b []byte }

func newJITDump() *jitDump {
	d := &jitDump{}
	d.u32(jitMagic, 1, jitHeader, 62, 0, 4711)
	d.u64(0, 0)
	return d
}

func (d *jitDump) u32(words ...uint32) {
	for _, w := range words {
		d.b = binary.LittleEndian.AppendUint32(d.b, w)
	}
}

func (d *jitDump) u64(words ...uint64) {
	for _, w := range words {
		d.b = binary.LittleEndian.AppendUint64(d.b, w)
	}
}

// record adds what body writes as a record.
func (d *jitDump) record(kind uint32, body func()) *jitDump {
	start := len(d.b)
	d.u32(kind, 0)
	d.u64(0)
	body()
	binary.LittleEndian.PutUint32(d.b[start+4:], uint32(len(d.b)-start))
	return d
}

func (d *jitDump) load(index, start, size uint64, name string) *jitDump {
	return d.record(jitLoad, func() {
		d.u64(0, start, start, size, index)
		d.b = append(append(d.b, name...), 0)
		d.b = append(d.b, make([]byte, size)...)
	})
}

func (d *jitDump) move(index, to, size uint64) *jitDump {
	return d.record(jitMove, func() { d.u64(0, to, 0, to, size, index) })
}

// lines adds entries of an address, a line and a file.
func (d *jitDump) lines(start uint64, entries ...jitLine) *jitDump {
	return d.record(jitLines, func() {
		d.u64(start, uint64(len(entries)))
		for _, e := range entries {
			d.u64(e.addr)
			d.u32(e.line, 0)
			d.b = append(append(d.b, e.file...), 0)
		}
	})
}

func TestJITDump(t *testing.T) {
	plain := func(name string) []frame { return []frame{{name: name, symbol: name}} }
	at := func(name, file string, line int64) []frame {
		return []frame{{name: name, symbol: name, file: file, line: line}}
	}
	v8 := func(line int64) []frame {
		return []frame{{name: "f", symbol: "/a.js:f", file: "/a.js", line: line, start: 7}}
	}
	for _, c := range []struct {
		name string
		dump *jitDump
		want map[uint64][]frame
	}{
		{"code", newJITDump().load(1, 0x1000, 32, "f"), map[uint64][]frame{0xfff: nil, 0x1000: plain("f"), 0x101f: plain("f"), 0x1020: nil}},
		{"later code wins", newJITDump().load(1, 0x1000, 32, "f").load(2, 0x1010, 32, "g"), map[uint64][]frame{
			0x1000: plain("f"), 0x1010: plain("g"), 0x102f: plain("g"),
		}},
		{"moved", newJITDump().load(1, 0x1000, 32, "f").load(2, 0x1000, 32, "g").move(1, 0x3000, 16).move(9, 0x4000, 16), map[uint64][]frame{
			0x1000: plain("g"), 0x3000: plain("f"), 0x3010: nil, 0x4000: nil,
		}},
		{"lines", newJITDump().lines(0x1000, jitLine{0x1008, 8, "a.x"}, jitLine{0x1004, 7, sameFile}, jitLine{0x1010, 5, "b.x"}).
			load(1, 0x1000, 32, "f").load(2, 0x2000, 32, "g"), map[uint64][]frame{
			0x1000: plain("f"), 0x1004: at("f", "a.x", 7), 0x100f: at("f", "a.x", 8), 0x1010: at("f", "b.x", 5), 0x2010: plain("g"),
		}},
		{"lines of V8", newJITDump().lines(0x1000, jitLine{0x1040, 8, "file:///a.js"}, jitLine{0x1050, 9, sameFile}).
			load(1, 0x1000, 32, "JS:*f file:///a.js:7:1"), map[uint64][]frame{0x1000: v8(8), 0x100f: v8(8), 0x1010: v8(9)}},
		{"other records", newJITDump().record(4, func() {}).load(1, 0x1000, 32, "f").record(3, func() {}), map[uint64][]frame{0x1000: plain("f")}},
	} {
		t.Run(c.name, func(t *testing.T) {
			var want addrs
			for a := uint64(0); a <= 0x5000; a++ {
				if _, ok := c.want[a]; ok {
					want = append(want, a)
				}
			}
			found, err := scanJITDump(strings.NewReader(string(c.dump.b)), want)
			if err != nil {
				t.Fatal(err)
			}
			for i, a := range want {
				if diff := cmp.Diff(c.want[a], found[i], cmp.AllowUnexported(frame{})); diff != "" {
					t.Errorf("%#x (-want +got):\n%s", a, diff)
				}
			}
		})
	}
}

// TestJITDumpGrows reads a dump at each of its lengths: what is whole is there, and the rest is no error.
func TestJITDumpGrows(t *testing.T) {
	d := newJITDump().lines(0x1000, jitLine{0x1008, 8, "a.x"}).load(1, 0x1000, 32, "f")
	whole := len(d.b)
	d.load(2, 0x2000, 32, "g")
	for n := jitHeader; n <= len(d.b); n++ {
		found, err := scanJITDump(strings.NewReader(string(d.b[:n])), addrs{0x1000, 0x2000})
		if err != nil {
			t.Fatalf("%d bytes: %v", n, err)
		}
		if n >= whole && found[0] == nil {
			t.Errorf("%d bytes: the first function has no name", n)
		}
	}
}

func TestBadJITDump(t *testing.T) {
	edit := func(at int, b ...byte) string {
		d := newJITDump().load(1, 0x1000, 32, "f").b
		copy(d[at:], b)
		return string(d)
	}
	for _, c := range []struct{ name, dump, want string }{
		{"empty", "", "no header"},
		{"other byte order", edit(0, 'J', 'i', 'T', 'D'), "of another byte order"},
		{"something else", edit(0, 1, 2, 3, 4), "no magic number"},
		{"of the future", edit(4, 9), "version 9 is not known"},
		{"short header", edit(8, 9), "header of 9 bytes"},
		{"short record", edit(jitHeader+4, 9, 0), "record of 9 bytes"},
		{"name without end", edit(jitHeader+4, 57, 0), "record cut short"},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := newProfile(map[*profile.Mapping][]uint64{{File: "[anon]", Limit: ^uint64(0)}: {0x1000}})
			r := symbolized(t, p, &files{jitDumps: map[string]string{"[anon]": c.dump}}, nil)
			if diff := cmp.Diff([]Unnamed{{Reason: BadJITDump, Detail: c.want, Locations: 1}}, r.Mappings[0].Unnamed); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// TestJITDumpBeforePerfMap: an address that the dump lacks is looked for in the perf map.
func TestJITDumpBeforePerfMap(t *testing.T) {
	p := newProfile(map[*profile.Mapping][]uint64{{File: "[anon]", Limit: ^uint64(0)}: {0x1000, 0x2000}})
	src := &files{
		jitDumps: map[string]string{"[anon]": string(newJITDump().load(1, 0x1000, 32, "dumped").b)},
		perfMaps: map[string]string{"[anon]": "1000 20 mapped\n2000 20 mapped\n"},
	}
	symbolized(t, p, src, nil)
	if diff := cmp.Diff(map[uint64]string{0x1000: "dumped", 0x2000: "mapped"}, names(p)); diff != "" {
		t.Error(diff)
	}
}

func FuzzJITDump(f *testing.F) {
	f.Add(newJITDump().lines(0x1000, jitLine{0x1008, 8, "a.x"}, jitLine{0x1010, 9, sameFile}).load(1, 0x1000, 32, "f").move(1, 0x3000, 9).b)
	f.Add(newJITDump().load(1, 0, 64, "JS:*f file:///a%2.js:1:1").b)
	f.Fuzz(func(t *testing.T, dump []byte) {
		found, err := scanJITDump(strings.NewReader(string(dump)), addrs{0, 0x1000, 0x1015, 1 << 40, ^uint64(0)})
		if err != nil {
			return
		}
		for _, frames := range found {
			for _, fr := range frames {
				if len(fr.name) > maxPerfMapName+16 || len(fr.file) > maxPerfMapName {
					t.Errorf("a name of %d bytes, a file of %d", len(fr.name), len(fr.file))
				}
			}
		}
	})
}
