// SPDX-License-Identifier: Apache-2.0

package elfx

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// build compiles a C program and returns its bytes.
func build(t testing.TB, flags ...string) []byte {
	t.Helper()
	dir := t.TempDir()
	src, out := filepath.Join(dir, "a.c"), filepath.Join(dir, "a")
	if err := os.WriteFile(src, []byte("int data[9] = {1};\nint main(void) { return data[1]; }\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	run(t, "gcc", append(flags, "-o", out, src)...)
	return read(t, out)
}

func run(t testing.TB, name string, args ...string) string {
	t.Helper()
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

func read(t testing.TB, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func open(t testing.TB, b []byte) *File {
	t.Helper()
	f, err := Open(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// TestAgainstDebugELF compares what we read with the standard library's reader, which is fit for files that we trust.
func TestAgainstDebugELF(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for name, b := range map[string][]byte{
		"pie":      build(t, "-pie", "-fPIE"),
		"no-pie":   build(t, "-no-pie"),
		"static":   build(t, "-static"),
		"stripped": build(t, "-s"),
		"go":       read(t, self),
	} {
		t.Run(name, func(t *testing.T) {
			f := open(t, b)
			want, err := elf.NewFile(bytes.NewReader(b))
			if err != nil {
				t.Fatal(err)
			}
			if f.Type() != want.Type || f.Machine() != want.Machine || f.Size() != int64(len(b)) {
				t.Errorf("header: %v %v %d, want %v %v %d", f.Type(), f.Machine(), f.Size(), want.Type, want.Machine, len(b))
			}
			if diff := cmp.Diff(wantLoads(want), f.Loads()); diff != "" {
				t.Errorf("loads:\n%s", diff)
			}
			got, err := f.Sections()
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(wantSections(want), got); diff != "" {
				t.Errorf("sections:\n%s", diff)
			}
		})
	}
}

func wantLoads(f *elf.File) []Load {
	var loads []Load
	for _, p := range f.Progs {
		if p.Type == elf.PT_LOAD {
			loads = append(loads, Load{Off: p.Off, Vaddr: p.Vaddr, Filesz: p.Filesz, Memsz: p.Memsz, Flags: p.Flags})
		}
	}
	return loads
}

func wantSections(f *elf.File) []Section {
	var sections []Section
	for _, s := range f.Sections {
		sections = append(sections, Section{
			Name: s.Name, Type: s.Type, Flags: s.Flags, Addr: s.Addr, Off: s.Offset, Size: s.FileSize, Link: s.Link, EntSize: s.Entsize,
		})
	}
	return sections
}

func TestBuildID(t *testing.T) {
	const id = "0123456789abcdef0123456789abcdef01234567"
	withID := build(t, "-Wl,--build-id=0x"+id)
	noSegments := bytes.Clone(withID)
	forEachProg(noSegments, func(p []byte) {
		if elf.ProgType(binary.LittleEndian.Uint32(p)) == elf.PT_NOTE {
			binary.LittleEndian.PutUint32(p, uint32(elf.PT_NULL))
		}
	})
	for _, tc := range []struct {
		name string
		file []byte
		want string
	}{
		{"from the segment", withID, id},
		{"from the section", noSegments, id},
		{"none", build(t, "-Wl,--build-id=none"), ""},
		{"too long", build(t, "-Wl,--build-id=0x"+strings.Repeat("ab", maxGNUBuildID+1)), ""},
		{"longest", build(t, "-Wl,--build-id=0x"+strings.Repeat("ab", maxGNUBuildID)), strings.Repeat("ab", maxGNUBuildID)},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if got := open(t, tc.file).BuildID(); got != tc.want {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
}

func forEachProg(b []byte, do func(p []byte)) {
	le := binary.LittleEndian
	off, num := le.Uint64(b[32:]), int(le.Uint16(b[56:]))
	for i := range num {
		do(b[off+uint64(i*progSize):])
	}
}

func TestGoBuildID(t *testing.T) {
	dir := t.TempDir()
	src, out := filepath.Join(dir, "a.go"), filepath.Join(dir, "a")
	if err := os.WriteFile(src, []byte("package main\nfunc main() {}\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	run(t, "go", "build", "-ldflags=-s -w -B 0x1234abcd", "-o", out, src)
	f := open(t, read(t, out))
	if want := strings.TrimSpace(run(t, "go", "tool", "buildid", out)); f.GoBuildID() != want {
		t.Errorf("Go build ID %q, want %q", f.GoBuildID(), want)
	}
	if want := "1234abcd"; f.BuildID() != want {
		t.Errorf("GNU build ID %q, want %q", f.BuildID(), want)
	}
}

func TestVaddrAndOffset(t *testing.T) {
	b := build(t, "-pie", "-fPIE")
	f := open(t, b)
	want, err := elf.NewFile(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{".text", ".data", ".rodata"} {
		s := want.Section(name)
		if got, ok := f.Vaddr(s.Offset + 1); !ok || got != s.Addr+1 {
			t.Errorf("%s: offset %#x is at %#x, %v; want %#x", name, s.Offset+1, got, ok, s.Addr+1)
		}
		if got, left, ok := f.Offset(s.Addr + 1); !ok || got != s.Offset+1 || left < s.Size-1 {
			t.Errorf("%s: vaddr %#x is at offset %#x with %#x left, %v; want %#x", name, s.Addr+1, got, left, ok, s.Offset+1)
		}
	}
	if v, ok := f.Vaddr(uint64(len(b)) + 1<<20); ok {
		t.Errorf("an offset beyond the file has the vaddr %#x", v)
	}
	bss := want.Section(".bss")
	if off, _, ok := f.Offset(bss.Addr + bss.Size - 1); ok {
		t.Errorf("the end of .bss is in the file, at %#x", off)
	}
}

// TestVaddrPrefersCode covers linkers that let segments share a page of the file.
func TestVaddrPrefersCode(t *testing.T) {
	f := &File{loads: []Load{
		{Off: 0, Vaddr: 0x1000, Filesz: 0x200, Flags: elf.PF_R},
		{Off: 0x100, Vaddr: 0x5100, Filesz: 0x200, Flags: elf.PF_R | elf.PF_X},
	}}
	for off, want := range map[uint64]uint64{0x50: 0x1050, 0x150: 0x5150, 0x250: 0x5250} {
		if got, ok := f.Vaddr(off); !ok || got != want {
			t.Errorf("offset %#x: %#x, %v; want %#x", off, got, ok, want)
		}
	}
}

func TestOpenRefuses(t *testing.T) {
	good := build(t)
	change := func(do func(b []byte)) []byte {
		b := bytes.Clone(good)
		do(b)
		return b
	}
	for _, tc := range []struct {
		name, want string
		file       []byte
	}{
		{"empty", "unexpected EOF", nil},
		{"short", "unexpected EOF", good[:headerSize-1]},
		{"text", "no magic number", bytes.Repeat([]byte("text "), 100)},
		{"32 bits", "32-bit files are not supported", change(func(b []byte) { b[elf.EI_CLASS] = byte(elf.ELFCLASS32) })},
		{"no class", "unknown class 9", change(func(b []byte) { b[elf.EI_CLASS] = 9 })},
		{"big-endian", "only little-endian", change(func(b []byte) { b[elf.EI_DATA] = byte(elf.ELFDATA2MSB) })},
		{"too many segments", "65535 program headers", change(func(b []byte) { binary.LittleEndian.PutUint16(b[56:], 0xffff) })},
		{"wrong entry size", "program headers of 32 bytes", change(func(b []byte) { binary.LittleEndian.PutUint16(b[54:], 32) })},
		{"segments beyond the end", "unexpected EOF", change(func(b []byte) { binary.LittleEndian.PutUint64(b[32:], 1<<63+5) })},
		{"segment overflows", "overflows", change(func(b []byte) {
			forEachProg(b, func(p []byte) { binary.LittleEndian.PutUint64(p[32:], ^uint64(0)) })
		})},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, err := Open(bytes.NewReader(tc.file), int64(len(tc.file)))
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("error %v, want %q in it", err, tc.want)
			}
		})
	}
}

func TestBadSections(t *testing.T) {
	good := build(t)
	for _, tc := range []struct {
		name, want string
		change     func(b []byte)
	}{
		{"wrong entry size", "section headers of 7 bytes", func(b []byte) { binary.LittleEndian.PutUint16(b[58:], 7) }},
		{"beyond the end", "unexpected EOF", func(b []byte) { binary.LittleEndian.PutUint64(b[40:], 1<<62) }},
		{"too many", "sections", func(b []byte) {
			binary.LittleEndian.PutUint16(b[60:], 0)
			shoff := binary.LittleEndian.Uint64(b[40:])
			binary.LittleEndian.PutUint64(b[shoff+32:], maxSections+1)
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			b := bytes.Clone(good)
			tc.change(b)
			f := open(t, b)
			if _, err := f.Sections(); err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("error %v, want %q in it", err, tc.want)
			}
			if s, ok := f.Section(".text"); ok {
				t.Errorf("a bad table has .text: %+v", s)
			}
		})
	}
}

// TestReadErrors: an error of the reader isn't turned into a shorter file.
func TestReadErrors(t *testing.T) {
	want := errors.New("disk on fire")
	if _, err := Open(failing{want}, 1<<20); !errors.Is(err, want) {
		t.Errorf("error %v, want %v", err, want)
	}
}

type failing struct{ err error }

func (f failing) ReadAt([]byte, int64) (int, error) { return 0, f.err }

// FuzzOpen drives everything that reads the file. It fails on panics, and on sections and names beyond their bounds.
func FuzzOpen(f *testing.F) {
	f.Add(build(f, "-s", "-static", "-nostdlib", "-Wl,-emain,-n,--build-id")) // small, so that the fuzzer is quick
	f.Add([]byte(elf.ELFMAG))
	f.Fuzz(func(t *testing.T, b []byte) {
		file, err := Open(bytes.NewReader(b), int64(len(b)))
		if err != nil {
			return
		}
		if id := file.BuildID(); len(id) > 2*maxGNUBuildID {
			t.Errorf("build ID of %d bytes", len(id)/2)
		}
		if id := file.GoBuildID(); len(id) > maxGoBuildID {
			t.Errorf("Go build ID of %d bytes", len(id))
		}
		if d, err := file.Dynamic(); err == nil && len(d.Needed) > len(b) {
			t.Errorf("%d libraries named in %d bytes", len(d.Needed), len(b))
		}
		if s, ok := file.Section(".text"); ok {
			if _, err := io.ReadAll(io.NewSectionReader(bytes.NewReader(b), int64(s.Off), int64(s.Size))); err != nil {
				t.Errorf("section %+v: %v", s, err)
			}
		}
		for _, l := range file.Loads() {
			if l.Filesz == 0 {
				continue
			}
			if _, ok := file.Vaddr(l.Off); !ok {
				t.Errorf("the first byte of %+v has no vaddr", l)
			}
			if _, left, ok := file.Offset(l.Vaddr); !ok || left == 0 {
				t.Errorf("the first byte of %+v has no offset", l)
			}
		}
	})
}
