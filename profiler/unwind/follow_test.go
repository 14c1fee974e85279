// SPDX-License-Identifier: Apache-2.0

package unwind

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"fmt"
	"os"
	"slices"
	"strings"
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
	section, ok := image.Section(".text")
	if !ok {
		t.Fatal("no .text")
	}
	text := make([]byte, section.Size)
	must(t, image.ReadAt(text, section.Off))
	follower := newFollower()
	follower.load(text, section.Addr, nil)
	follower.aligned = true
	for at := range follower.size() {
		follower.starts.set(at) // what is not described may be anything
	}
	for _, row := range o.rows {
		if from, to := row.start-section.Addr, row.end-section.Addr; from < to && to <= section.Size {
			follower.starts.clear(uint32(from), uint32(to))
		}
	}
	for _, e := range o.functions {
		if from := e.start - section.Addr; from < section.Size {
			follower.starts.set(uint32(from))
		}
	}
	for _, e := range o.functions {
		from, to := e.start-section.Addr, e.end-section.Addr
		if from >= to || to > section.Size {
			continue
		}
		functions++
		spans, ok := follower.follow(uint32(from), uint32(to), follower.certain.has(uint32(from)))
		if !ok {
			continue
		}
		proven++
		for _, s := range spans {
			if s.place.doubt != 0 {
				doubted += uint64(s.end - s.start)
				continue
			}
			for at := s.start; at < s.end; at++ {
				bytes++
				addr := section.Addr + uint64(at)
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

// TestBehindCalls: what lies behind a call that never returns belongs to another function, and behind one that returns to the same.
func TestBehindCalls(t *testing.T) {
	const (
		main = "\xe8\x1b\x00\x00\x00\xe8\x66\x00\x00\x00\xc3"                   // call deep; call begin; ret
		deep = "\x53\x48\x83\xec\x20\x85\xff\x75\x06\x48\x83\xc4\x20\x5b\xc3" + // push rbx; sub rsp, 32; test edi, edi; jne; add rsp, 32; pop rbx; ret
			"\xe8\x6c\x00\x00\x00\x0f\x1f\x80\x00\x00\x00\x00\x0f\x1f\x44\x00\x00" // call stop; nops
		jump  = "\xff\xe2"                                                           // jmp rdx
		stop  = "\xf4"                                                               // hlt
		begin = "\x53\x53\x53\x31\xed\x90\x90\x90\x90\x90\x90\xe8\x10\x00\x00\x00" + // push rbx, thrice; xor ebp, ebp; nops; call back
			"\xff\xd3\xe8\x19\x00\x00\x00" // call rbx; call stop
		back = "\xc3" // ret
	)
	file := image(".none", 0, nil)
	for at, code := range map[int]string{0: main, 0x20: deep, 0x40: jump, 0x70: begin, 0x90: back, 0xa0: stop} {
		copy(file[0x1000+at:], code)
	}
	table, err := buildImage(file)
	must(t, err)
	for at, want := range map[uint64]Rule{
		0x20: {CFA: CFASP, CFAOffset: 1, RA: RAAtCFA, Aux: BXLost}, 0x30: {CFA: CFASP, CFAOffset: 6, RA: RAAtCFA, Aux: BXLost}, 0x41: {CFA: CFAFramePointer},
		0x75: {CFA: CFASP, CFAOffset: 4, RA: RAAtCFA, FP: FPUndefined, Aux: BXLost}, 0x81: {CFA: CFASP, CFAOffset: 4, RA: RAAtCFA, FP: FPUndefined, Aux: BXLost},
	} {
		if got, _ := table.Find(textVaddr + at); got != want {
			t.Errorf("%#x: %+v, want %+v", at, got, want)
		}
	}
}

// TestUndescribedFiles takes their call frame information from programs, and compares what is believed then with what it says; once more where
// the code is cut into smaller pieces, since each begins in the midst of a function.
func TestUndescribedFiles(t *testing.T) {
	usual := followPiece
	defer func() { followPiece = usual }()
	for _, followPiece = range []uint64{usual, 64 << 10} {
		t.Run(fmt.Sprintf("pieces of %d KiB", followPiece>>10), compareUndescribed)
	}
}

// TestSnapshots: where a function is followed once more from a snapshot on, the result is that of following all of it.
func TestSnapshots(t *testing.T) {
	usual := maxSnapshots
	defer func() { maxSnapshots = usual }()
	for _, path := range []string{musl, "/usr/bin/perl"} {
		file, err := os.ReadFile(path)
		must(t, err)
		var want []byte
		for _, maxSnapshots = range []int{1, 2, usual} {
			table, err := buildImage(withoutFrames(file))
			must(t, err)
			if got := encode(t, table); want != nil && !bytes.Equal(got, want) {
				t.Errorf("%s: with %d snapshots another table", path, maxSnapshots)
			} else {
				want = got
			}
		}
	}
}

func compareUndescribed(t *testing.T) {
	for _, path := range []string{"/bin/bash", "/bin/tar", "/usr/bin/perl", "/usr/lib/x86_64-linux-gnu/libcrypto.so.3"} {
		t.Run(path, func(t *testing.T) {
			file, err := os.ReadFile(path)
			must(t, err)
			entry := binary.LittleEndian.Uint64(file[24:])
			got, err := buildImage(withoutFrames(file))
			must(t, err)
			same, wrong := 0, 0
			for _, row := range ask(t, path, ".eh_frame").rows {
				for vaddr := row.start; vaddr < row.end; vaddr++ {
					r, _ := got.Find(vaddr)
					switch {
					case r.CFA != CFASP && r.CFA != CFAFP && r.CFA != CFAEnd, vaddr-entry < EntryCode:
					case agreesCFA(amd64, r, row.cfa), !strings.HasPrefix(row.cfa, map[CFA]string{CFASP: "rsp", CFAFP: "rbp"}[r.CFA]): // by another register
						same++
					default:
						if wrong++; wrong < 10 {
							t.Logf("%#x: %+v, readelf says %+v", vaddr, r, row)
						}
					}
				}
			}
			if wrong > 1 || same < 200_000 { // assembly of libcrypto is described wrong once
				t.Errorf("%d bytes of code as described, %d others", same, wrong)
			}
		})
	}
}

// withoutFrames takes its call frame information from an ELF file.
func withoutFrames(file []byte) []byte {
	return withoutHeader(bytes.ReplaceAll(file, []byte("\x00.eh_frame"), []byte("\x00.no_frame")))
}

// withoutHeader takes the segment from an ELF file that tells where its call frame information is.
func withoutHeader(file []byte) []byte {
	le := binary.LittleEndian
	for p := file[le.Uint64(file[32:]):][:56*int(le.Uint16(file[56:]))]; len(p) > 0; p = p[56:] {
		if elf.ProgType(le.Uint32(p)) == elf.PT_GNU_EH_FRAME {
			le.PutUint32(p, uint32(elf.PT_NULL))
		}
	}
	return file
}

// sameAs says whether a rule means the place.
func sameAs(p *place, r Rule) bool {
	if r.CFA == CFAEnd {
		return p.is&ended != 0
	}
	off := int64(r.CFAOffset) * word
	cfa := r.CFA == CFASP && p.is&spLost == 0 && p.sp == off || r.CFA == CFAFP && p.is&framed != 0 && p.fp == off
	if r.FP == FPAtCFA && p.saved == 0 && p.is&clobber == 0 {
		return cfa // read back already, and compilers don't always say so
	}
	fp := r.FP == FPSame && (p.saved == 0 || p.is&clobber != 0) || r.FP == FPAtCFA && p.saved == -int64(r.FPOffset)*word
	return cfa && fp
}

// TestDecode compares the decoders over the code of libraries.
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
		makeTables()
		quick, fast, all, wrong := 0, 0, 0, 0
		for at := 0; at < len(code); {
			want := decodeSlow(code[at:])
			got, ok := decodeFast(code[at:])
			if len(code[at:]) > maxInstruction {
				if i := decodeQuick(binary.LittleEndian.Uint64(code[at:])); i.size > 0 {
					quick++
					got, ok = i, true
				}
			}
			if ok {
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
		t.Logf("%s: %d of %d instructions decoded fast, %d by tables alone, %d wrong", path, fast, all, quick, wrong)
		if quick*2 < all {
			t.Errorf("%s: only %d of %d instructions decoded by tables", path, quick, all)
		}
	}
}

// TestZeros: zeros are padding, but one alone is the first byte of an instruction.
func TestZeros(t *testing.T) {
	for code, want := range map[string][]instruction{
		"\x00\xd0\xc3":                 {{kind: other, size: 2}, {at: 2, kind: ret, size: 1}}, // add al, dl; ret
		"\xc3\x00\x00\x00\x90":         {{kind: ret, size: 1}, {at: 1, kind: nop, size: 3}, {at: 4, kind: nop, size: 1}},
		"\xc3\x00":                     {{kind: ret, size: 1}, {at: 1, kind: nop, size: 1}},
		"\xf3\x0f\x1e\xfa\x00\x4b\x08": {{kind: other, size: 4}, {at: 4, kind: other, size: 3}}, // endbr64; add [rbx+8], cl
	} {
		if got := instructionsOf(code); !slices.Equal(got, want) {
			t.Errorf("% x: %+v, want %+v", code, got, want)
		}
	}
}

// instructionsOf decodes code as a piece.
func instructionsOf(code string) (all []instruction) {
	var p piece
	p.load([]byte(code), 0, nil)
	for at := uint32(0); at < p.size(); {
		next := p.begins.next(at+1, p.size())
		i := instruction{at: at, kind: other, size: uint8(next - at)}
		if n := p.indexOf(at); n < len(p.list) && p.list[n].at == at {
			i = p.list[n]
		}
		all = append(all, i)
		at = next
	}
	return all
}

// FuzzInstructions compares the decoders over any bytes that the slow one knows.
func FuzzInstructions(f *testing.F) {
	makeTables()
	for _, code := range []string{
		"\x66\x2e\x0f\x1f\x84\x00\x00\x00\x00\x00", "\x48\x81\xec\x00\x01\x00\x00", "\x48\x8b\x6c\x24\x08", "\x64\x48\x2b\x04\x25\x28",
		"\x66\x81\x3c\x25\x00\x00\x00\x00\x01\x02", "\xf2\x48\x0f\x2c\xe8", "\xdb\x6c\x24\x10", "\xff\x14\xc5\x00\x00\x00\x00", "\xf7\x05", "\x49\xbd",
	} {
		f.Add(append([]byte(code), make([]byte, maxInstruction)...))
	}
	f.Fuzz(func(t *testing.T, code []byte) {
		got, ok := decodeFast(code)
		if len(code) > maxInstruction {
			if i := decodeQuick(binary.LittleEndian.Uint64(code)); i.size > 0 && (!ok || i != got) {
				t.Errorf("% x: by tables alone %+v, else %+v, %v", code, i, got, ok)
			}
		}
		if !ok {
			return
		}
		if want := decodeSlow(code); got != want && want.size > 1 {
			t.Errorf("% x: %+v, want %+v", code, got, want)
		}
	})
}
