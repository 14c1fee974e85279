// SPDX-License-Identifier: Apache-2.0

package dwarf

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"os"
	"testing"

	"github.com/assaylab/assay/internal/elfx"
)

// smallProgram has as little debug information as a compiler can be brought to write, so that the fuzzer is quick.
const smallProgram = `volatile int sink;
static inline __attribute__((always_inline)) void in(int n) { sink = n; }
void _start(void) { in(1); if (sink > 2) in(3); }
`

// sections are the debug sections of a small program.
func sections(t testing.TB, compiler string, flags ...string) map[string][]byte {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(dir+"/a.c", []byte(smallProgram), 0o600); err != nil {
		t.Fatal(err)
	}
	run(t, dir, "", compiler, append(flags, "-O2", "-static", "-nostdlib", "-no-pie", "-ffunction-sections", "-o", "a", "a.c")...)
	f, err := elf.Open(dir + "/a")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	all := make(map[string][]byte)
	for _, s := range f.Sections {
		if len(s.Name) > 6 && s.Name[:6] == ".debug" {
			if all[s.Name], err = s.Data(); err != nil {
				t.Fatal(err)
			}
		}
	}
	return all
}

// fakeELF is an ELF file of the given sections and no segments, so that all addresses count as code.
func fakeELF(names []string, contents [][]byte) []byte {
	le := binary.LittleEndian
	table := []byte{0}
	headers := make([]byte, 64)
	body := make([]byte, 64)
	add := func(name string, content []byte) {
		h := make([]byte, 64)
		le.PutUint32(h, uint32(len(table)))
		le.PutUint32(h[4:], uint32(elf.SHT_PROGBITS))
		le.PutUint64(h[24:], uint64(len(body)))
		le.PutUint64(h[32:], uint64(len(content)))
		table = append(append(table, name...), 0)
		headers = append(headers, h...)
		body = append(body, content...)
	}
	for i, name := range names {
		add(name, contents[i])
	}
	add(".shstrtab", nil)
	last := headers[len(headers)-64:]
	le.PutUint64(last[24:], uint64(len(body)))
	le.PutUint64(last[32:], uint64(len(table)))
	body = append(body, table...)
	copy(body, elf.ELFMAG)
	body[elf.EI_CLASS], body[elf.EI_DATA] = byte(elf.ELFCLASS64), byte(elf.ELFDATA2LSB)
	le.PutUint16(body[16:], uint16(elf.ET_EXEC))
	le.PutUint16(body[18:], uint16(elf.EM_X86_64))
	le.PutUint64(body[40:], uint64(len(body)))
	le.PutUint16(body[58:], 64)
	le.PutUint16(body[60:], uint16(len(names)+2))
	le.PutUint16(body[62:], uint16(len(names)+1))
	return append(body, headers...)
}

var fuzzedSections = []string{
	".debug_info", ".debug_abbrev", ".debug_line", ".debug_str", ".debug_line_str", ".debug_ranges", ".debug_rnglists",
	".debug_addr", ".debug_str_offsets", ".debug_aranges",
}

// fuzzSeeds adds what compilers write.
func fuzzSeeds(f *testing.F) {
	for _, c := range []struct{ compiler, flag string }{
		{"gcc", "-gdwarf-4"}, {"gcc", "-gdwarf-5"}, {"clang-19", "-gdwarf-4"}, {"clang-19", "-gdwarf-5"},
	} {
		s := sections(f, c.compiler, c.flag)
		args := make([]any, len(fuzzedSections))
		for i, name := range fuzzedSections {
			args[i] = append([]byte{}, s[name]...)
		}
		f.Add(args...)
	}
}

// ask opens debug information and asks for the addresses around those that it speaks of. It checks that frames are bounded.
func ask(t *testing.T, contents ...[]byte) {
	b := fakeELF(fuzzedSections, contents)
	f, err := elfx.Open(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		t.Fatal(err)
	}
	d, err := Open(f, &Options{Budget: 1 << 20})
	if err != nil {
		return
	}
	var addrs []uint64
	for _, h := range d.hints[:min(len(d.hints), 20)] {
		addrs = append(addrs, h.lo, h.hi-1, h.hi)
	}
	for _, a := range addrs {
		askFor(t, d, a)
	}
	if d.needIndex() != nil {
		addrs = nil
	}
	for _, r := range d.index[:min(len(d.index), 20)] {
		addrs = append(addrs, r.lo, r.lo+1, r.lo+8, r.hi-1, r.hi)
	}
	for _, a := range addrs {
		askFor(t, d, a)
	}
	if err := d.Close(); err != nil {
		t.Error(err)
	}
}

func askFor(t *testing.T, d *Data, a uint64) {
	frames, err := d.Frames(nil, a)
	if err != nil && err.Error() == "" {
		t.Error("an error that says nothing")
	}
	if len(frames) > maxFrames {
		t.Errorf("%d frames at %#x", len(frames), a)
	}
	for _, fr := range frames {
		if len(fr.Name) > maxString || len(fr.File) > maxString {
			t.Errorf("a name of %d and a file of %d bytes", len(fr.Name), len(fr.File))
		}
	}
}

// FuzzDWARF changes any section. It fails on panics, hangs and answers out of bounds.
func FuzzDWARF(f *testing.F) {
	fuzzSeeds(f)
	f.Fuzz(func(t *testing.T, info, abbrev, line, str, lineStr, ranges, rnglists, addr, strOffsets, aranges []byte) {
		ask(t, info, abbrev, line, str, lineStr, ranges, rnglists, addr, strOffsets, aranges)
	})
}

// FuzzLine changes the line table alone: the other sections stay those of a program.
func FuzzLine(f *testing.F) {
	s := sections(f, "gcc", "-gdwarf-5")
	f.Add(s[".debug_line"])
	f.Add(sections(f, "gcc", "-gdwarf-4")[".debug_line"])
	f.Fuzz(func(t *testing.T, line []byte) {
		contents := make([][]byte, len(fuzzedSections))
		for i, name := range fuzzedSections {
			contents[i] = s[name]
		}
		contents[2] = line
		ask(t, contents...)
	})
}
