// SPDX-License-Identifier: Apache-2.0

package unwind

import (
	"slices"
	"testing"

	"github.com/assaylab/assay/internal/elfx"
)

// TestFollow follows functions that are described too, and compares: what proves itself has to be what the compiler says. A
// few bytes may differ: __mpn_addmul_1 and __mpn_submul_1 of the GNU C library push registers and don't describe it. C++ is left out, for
// landing pads of exceptions aren't reached by the code itself; functions without description have none.
func TestFollow(t *testing.T) {
	for _, path := range []string{libc, "/bin/bash", compile(t, "gcc", "frames.c", "-Og", "-fno-omit-frame-pointer")} {
		t.Run(path, func(t *testing.T) { followFile(t, path) })
	}
}

func followFile(t *testing.T, path string) {
	f := open(t, path)
	info, err := f.Stat()
	must(t, err)
	image, err := elfx.Open(f, info.Size())
	must(t, err)
	table := build(t, path)
	functions, proven, bytes, doubted, wrong := 0, 0, uint64(0), uint64(0), uint64(0)
	o := ask(t, path, ".eh_frame")
	follower := newFollower()
	starts := map[uint64]bool{}
	for _, e := range o.functions {
		starts[e.start] = true
	}
	section, ok := image.Section(".text")
	if !ok {
		t.Fatal("no .text")
	}
	text := make([]byte, section.Size)
	must(t, image.ReadAt(text, section.Off))
	_, sure := functionsOf(text, appendInstructions(nil, text), section.Addr, nil)
	function := func(vaddr uint64) bool {
		_, described := o.find(vaddr)
		return starts[vaddr] || !described
	}
	for _, e := range o.functions {
		off, _, ok := image.Offset(e.start)
		if !ok {
			continue
		}
		functions++
		code := make([]byte, e.end-e.start)
		must(t, image.ReadAt(code, off))
		spans, ok := follower.follow(appendInstructions(nil, code), e.start, e.start, e.end, slices.Contains(sure, e.start), function)
		if !ok {
			continue
		}
		proven++
		for _, s := range spans {
			if s.place.doubt {
				doubted += s.end - s.start
				continue
			}
			for addr := s.start; addr < s.end; addr++ {
				bytes++
				if r, _ := table.Find(addr); !sameAs(&s.place, r) {
					if wrong++; wrong <= 10 {
						t.Logf("%#x in %#x: %+v, described as %+v", addr, e.start, s.place, r)
					}
				}
			}
		}
	}
	t.Logf("%d of %d functions proven, %d bytes, and %d in doubt", proven, functions, bytes, doubted)
	if wrong*1000 > bytes || proven*2 < functions {
		t.Errorf("%d of %d functions proven; %d of %d bytes differ", proven, functions, wrong, bytes)
	}
}

// sameAs says whether a rule means the place.
func sameAs(p *place, r Rule) bool {
	if r.CFA == CFAEnd {
		return p.end
	}
	off := int64(r.CFAOffset) * word
	cfa := r.CFA == CFASP && !p.spLost && p.sp == off || r.CFA == CFAFP && p.framed && p.fp == off
	if r.FP == FPAtCFA && p.saved == 0 && !p.clobber {
		return cfa // read back already, and compilers don't always say so
	}
	fp := r.FP == FPSame && (p.saved == 0 || p.clobber) || r.FP == FPAtCFA && p.saved == -int64(r.FPOffset)*word
	return cfa && fp
}

// TestDecode compares the two decoders over the code of libraries.
func TestDecode(t *testing.T) {
	for _, path := range []string{libc, musl} {
		f := open(t, path)
		info, err := f.Stat()
		must(t, err)
		image, err := elfx.Open(f, info.Size())
		must(t, err)
		text, ok := image.Section(".text")
		if !ok {
			t.Fatal("no .text")
		}
		code := make([]byte, text.Size)
		must(t, image.ReadAt(code, text.Off))
		fast, all, wrong := 0, 0, 0
		for at := 0; at < len(code); {
			want := decodeSlow(code[at:])
			if got, ok := decodeFast(code[at:]); ok {
				fast++
				if got != want {
					if wrong++; wrong < 10 {
						t.Errorf("%s: % x at %#x: %+v, want %+v", path, code[at:min(at+10, len(code))], text.Addr+uint64(at), got, want)
					}
				}
			}
			all++
			at += int(want.size)
		}
		t.Logf("%s: %d of %d instructions decoded fast, %d wrong", path, fast, all, wrong)
		if fast*2 < all {
			t.Errorf("%s: only %d of %d instructions decoded fast", path, fast, all)
		}
	}
}

// FuzzInstructions compares the two decoders over any bytes that the slow one knows.
func FuzzInstructions(f *testing.F) {
	for _, code := range []string{
		"\x66\x2e\x0f\x1f\x84\x00\x00\x00\x00\x00", "\x48\x81\xec\x00\x01\x00\x00", "\x48\x8b\x6c\x24\x08", "\x64\x48\x2b\x04\x25\x28",
		"\x66\x81\x3c\x25\x00\x00\x00\x00\x01\x02", "\xf2\x48\x0f\x2c\xe8", "\xdb\x6c\x24\x10", "\xff\x14\xc5\x00\x00\x00\x00", "\xf7\x05", "\x49\xbd",
	} {
		f.Add(append([]byte(code), make([]byte, maxInstruction)...))
	}
	f.Fuzz(func(t *testing.T, code []byte) {
		got, ok := decodeFast(code)
		if !ok {
			return
		}
		if want := decodeSlow(code); got != want && want.size > 1 {
			t.Errorf("% x: %+v, want %+v", code, got, want)
		}
	})
}
