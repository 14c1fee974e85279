// SPDX-License-Identifier: Apache-2.0

package unwind

import (
	"bytes"
	"debug/elf"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const musl = "/usr/lib/x86_64-linux-musl/libc.so"

// TestNotDescribed compares a program without call frame information with the same code that has it.
func TestNotDescribed(t *testing.T) {
	for _, flags := range []string{"-O0", "-O2", "-Os"} {
		t.Run(flags, func(t *testing.T) {
			table := build(t, compile(t, "gcc", "frames.c", flags, "-fno-asynchronous-unwind-tables", "-s"))
			exact, guessed := 0, 0
			o := ask(t, compile(t, "gcc", "frames.c", flags), ".eh_frame")
			for _, row := range o.rows {
				switch r, ok := table.Find(row.start); {
				case !ok:
					t.Errorf("%#x: nothing, readelf says %+v", row.start, row)
				case r.CFA == CFAFramePointer:
					guessed++
				case agreesCFA(amd64, r, row.cfa):
					exact++
				case r.CFA != CFAEnd && r.CFA != CFAPLT:
					t.Errorf("%#x: %+v, readelf says %+v", row.start, r, row)
				}
			}
			if exact < 3*guessed {
				t.Errorf("%d rows as described, %d guessed", exact, guessed)
			}
		})
	}
}

// TestMusl: a C library without call frame information.
func TestMusl(t *testing.T) {
	table := build(t, musl)
	file, err := os.ReadFile(musl)
	must(t, err)
	at := bytes.Index(file, amd64.sigreturn.code) // this library has its code where it is in the file
	if r, _ := table.Find(uint64(at) - 1); at < 0 || r.CFA != CFASignal {
		t.Errorf("the trampoline of signals at %#x: %+v", at, r)
	}
	code, guessed := coverage(table)
	if code < 300_000 || guessed*7 > code {
		t.Errorf("%d bytes of code, of which %d are guessed", code, guessed)
	}
}

// TestClone: what the C library does not describe of clone3, for who calls it.
func TestClone(t *testing.T) {
	table := build(t, libc)
	file, err := os.ReadFile(libc)
	must(t, err)
	const call = "\xb8\xb3\x01\x00\x00" // mov $435,%eax
	at := bytes.Index(file, append([]byte(call), amd64.syscall...))
	if at < 0 {
		t.Fatal("no clone3")
	}
	asked := uint64(at + len(call)) // this library has its code where it is in the file
	for _, vaddr := range []uint64{asked - 1, asked, asked + 2} {
		want := amd64.atEntry()
		if vaddr >= asked {
			want.CFA = CFACloned
		}
		if r, _ := table.Find(vaddr); r != want {
			t.Errorf("%#x: %+v", vaddr, r)
		}
	}
}

// coverage counts the bytes of code with a rule, and of these those by frame pointer.
func coverage(table *Table) (code, guessed int) {
	for _, p := range table.Pages {
		for i, row := range p.Rows {
			end := pageSize
			if i+1 < len(p.Rows) {
				end = int(p.Rows[i+1].Low)
			}
			switch table.Rules[row.Rule].CFA {
			case CFANone:
				continue
			case CFAFramePointer:
				guessed += end - int(row.Low)
			}
			code += end - int(row.Low)
		}
	}
	return code, guessed
}

// TestKnown: what is known without call frame information and without looking at code.
func TestKnown(t *testing.T) {
	entry := func(f *elf.File) uint64 { return f.Entry }
	plt := func(off uint64) func(f *elf.File) uint64 {
		return func(f *elf.File) uint64 { return f.Section(".plt").Addr + off }
	}
	static := compile(t, "gcc", "frames.c", "-static")
	dynamic := compile(t, "gcc", "frames.c", "-no-pie", "-Wl,--no-ld-generated-unwind-info")
	cross := compile(t, "aarch64-linux-gnu-gcc", "frames.c", "-O2")
	// after gives the vaddr that lies some bytes behind the begin of some code.
	after := func(code string, off uint64) func(f *elf.File) uint64 {
		return func(f *elf.File) uint64 {
			text := f.Section(".text")
			data, err := text.Data()
			must(t, err)
			i := bytes.Index(data, []byte(code))
			if i < 0 {
				t.Fatalf("no code % x", code)
			}
			return text.Addr + uint64(i) + off
		}
	}
	const context = "\x48\x89\xdc\x48\x8b\x3c\x24\x48\x85\xff"           // __start_context
	const clone = "\x4d\x89\xc8\x4c\x8b\x54\x24\x08\xb8\x38\x00\x00\x00" // mov r8, r9; mov r10, [rsp+8]; mov eax, 56; then it calls
	const main = "\xff\xd3\x89\xc7\xe8"                                  // musl: call rbx; mov edi, eax; call exit
	cloned := Rule{CFA: CFACloned, CFAOffset: 1, RA: RAAtCFA}
	enter := Rule{CFA: CFASP, CFAOffset: 1, RA: RAAtCFA}
	enterArm := Rule{CFA: CFASP, RA: RAInLR}
	lazy := Rule{CFA: CFAPLT, CFAOffset: 1, RA: RAAtCFA, Aux: 11}
	for _, test := range []struct {
		name, path string
		at         func(f *elf.File) uint64
		want       Rule
	}{
		{"entry of the dynamic linker", "/lib64/ld-linux-x86-64.so.2", entry, Rule{CFA: CFAEnd}},
		{"entry of a program", static, entry, Rule{CFA: CFAEnd}},
		{"start of a program for arm64", cross, func(f *elf.File) uint64 { return f.Entry + 4 }, Rule{CFA: CFAEnd}},
		{"return from the function of makecontext", libc, after(context, ^uint64(0)), Rule{CFA: CFAEnd}},
		{"start of the context itself", libc, after(context, 0), enter},
		{"before the system call of clone", libc, after(clone, 12), enter},
		{"system call of clone", libc, after(clone, 14), cloned},
		{"behind the system call of clone", libc, after(clone, 22), cloned},
		{"new thread of clone", libc, after(clone, 23), Rule{CFA: CFAEnd}},
		{"call of main in musl", musl, after(main, 1), Rule{CFA: CFASP, CFAOffset: 6, RA: RAAtCFA, FP: FPAtCFA, FPOffset: -4, Aux: BXLost}},
		{"PLT of a static program", static, plt(0x10), enter},
		{"head of a PLT", dynamic, plt(0), Rule{CFA: CFASP, CFAOffset: 2, RA: RAAtCFA}},
		{"head of a PLT, after its push", dynamic, plt(6), Rule{CFA: CFASP, CFAOffset: 3, RA: RAAtCFA}},
		{"entry of a PLT", dynamic, plt(0x10), lazy},
		{"end of an entry of a PLT", dynamic, plt(0x1f), lazy},
		{"head of a PLT for arm64", cross, plt(0), enterArm},
		{"head of a PLT for arm64, after its push", cross, plt(4), Rule{CFA: CFASP, CFAOffset: 2, RA: RAAtCFA, Aux: -1}},
		{"entry of a PLT for arm64", cross, plt(0x20), enterArm},
	} {
		t.Run(test.name, func(t *testing.T) {
			f, err := elf.Open(test.path)
			must(t, err)
			defer f.Close()
			if got, _ := build(t, test.path).Find(test.at(f)); got != test.want {
				t.Errorf("%#x: %+v, want %+v", test.at(f), got, test.want)
			}
		})
	}
}

// TestVDSO: the code that the kernel lends to each process.
func TestVDSO(t *testing.T) {
	image := vdso(t)
	table, err := buildImage(image)
	must(t, err)
	f, err := elf.NewFile(bytes.NewReader(image))
	must(t, err)
	symbols, err := f.DynamicSymbols()
	must(t, err)
	for _, s := range symbols {
		if r, ok := table.Find(s.Value); s.Size > 0 && s.Section != elf.SHN_ABS && (!ok || r.CFA == CFAUnsupported) {
			t.Errorf("%s at %#x: %+v, %v", s.Name, s.Value, r, ok)
		}
	}
	if table.Stats.Functions == 0 {
		t.Error("no functions")
	}
}

// vdso reads it from our own memory.
func vdso(t *testing.T) []byte {
	t.Helper()
	maps, err := os.ReadFile("/proc/self/maps")
	must(t, err)
	for line := range strings.Lines(string(maps)) {
		if !strings.HasSuffix(line, "[vdso]\n") {
			continue
		}
		var start, end int64
		if _, err := fmt.Sscanf(line, "%x-%x", &start, &end); err != nil {
			t.Fatal(err)
		}
		image := make([]byte, end-start)
		if _, err := open(t, "/proc/self/mem").ReadAt(image, start); err != nil {
			t.Fatal(err)
		}
		return image
	}
	t.Fatal("no vdso")
	return nil
}

// TestStartFunctions: the functions of the start code of a C library in .text, with .eh_frame and without it, when _start, which lies right
// before them, isn't described either.
func TestStartFunctions(t *testing.T) {
	file, err := os.ReadFile(compile(t, "gcc", "frames.c"))
	must(t, err)
	f, err := elf.NewFile(bytes.NewReader(file))
	must(t, err)
	symbols, err := f.Symbols()
	must(t, err)
	for _, described := range []bool{true, false} {
		if frames := f.Section(".eh_frame"); !described {
			clear(file[frames.Offset : frames.Offset+frames.Size])
		}
		table, err := Build(bytes.NewReader(file), int64(len(file)), Options{})
		must(t, err)
		if r, _ := table.Find(f.Entry); r != (Rule{CFA: CFAEnd}) {
			t.Errorf("described: %v, _start: %+v", described, r)
		}
		for _, name := range []string{"deregister_tm_clones", "register_tm_clones", "__do_global_dtors_aux", "frame_dummy"} {
			i := slices.IndexFunc(symbols, func(s elf.Symbol) bool { return s.Name == name })
			if r, _ := table.Find(symbols[i].Value); r != (Rule{CFA: CFASP, CFAOffset: 1, RA: RAAtCFA, Aux: BXLost}) {
				t.Errorf("described: %v, %s: %+v", described, name, r)
			}
		}
	}
}

// TestStartCode: .init and .fini, which are put together of such code, instruction for instruction beside objdump.
func TestStartCode(t *testing.T) {
	program := compile(t, "gcc", "frames.c")
	table := build(t, program)
	for _, section := range []string{".init", ".fini"} {
		out, err := exec.Command("objdump", "-d", "-j", section, "--no-show-raw-insn", program).Output()
		must(t, err)
		depth, seen := int16(1), 0
		for _, line := range strings.Split(string(out), "\n") {
			place, _, ok := strings.Cut(line, ":\t")
			if !ok {
				continue
			}
			vaddr := parseHex(t, strings.TrimSpace(place))
			seen++
			if r, _ := table.Find(vaddr); r != (Rule{CFA: CFASP, CFAOffset: depth, RA: RAAtCFA}) {
				t.Errorf("%s: %s: %+v, want a depth of %d", section, strings.TrimSpace(line), r, depth)
			}
			switch {
			case strings.Contains(line, "sub "):
				depth++
			case strings.Contains(line, "add "):
				depth--
			}
		}
		if seen < 3 {
			t.Errorf("%s: %d instructions", section, seen)
		}
	}
}
