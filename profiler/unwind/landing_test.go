// SPDX-License-Identifier: Apache-2.0

package unwind

import (
	"slices"
	"testing"
)

// TestLanding: in each function that says where registers are saved for who catches an exception, it is known where it goes there.
func TestLanding(t *testing.T) {
	for _, path := range []string{"/lib/x86_64-linux-gnu/libgcc_s.so.1", compile(t, "g++", "throw.cc", "-O2", "-static")} {
		table, o := build(t, path), ask(t, path, ".eh_frame")
		var kinds []Rule
		landings := map[extent]int{}
		for _, row := range o.rows {
			if f := o.function(row.start); row.throws() && row.start > f.start { // else it is a part of one that lies elsewhere
				landings[f] += 0
			}
		}
		for _, p := range table.Pages {
			for _, row := range p.Rows {
				r, at := table.Rules[row.Rule], table.Base+uint64(p.Number)<<pageBits+uint64(row.Low)
				if r.CFA == CFALanding {
					landings[o.function(at)]++
				}
				if r.CFA == CFALanding || r.RA == RALanding || r.RA == RAInRCX {
					kinds = append(kinds, Rule{CFA: r.CFA, RA: r.RA})
				}
			}
		}
		if len(landings) != 4 { // _Unwind_RaiseException, ForcedUnwind, Resume, Resume_or_Rethrow
			t.Errorf("%s: %d functions", path, len(landings))
		}
		for f, n := range landings {
			if n != 1 {
				t.Errorf("%s: %#x to %#x: %d places where it copies registers", path, f.start, f.end, n)
			}
		}
		one := []Rule{{CFALanding, 0, RAAtCFA, 0, 0, 0}, {CFADerefFP, 0, RALanding, 0, 0, 0}, {CFAReg, 0, RALanding, 0, 0, 0}, {CFASP, 0, RALanding, 0, 0, 0}, {CFASP, 0, RAInRCX, 0, 0, 0}}
		if want := slices.Repeat(one, 4); !slices.Equal(kinds, want) {
			t.Errorf("%s: %+v, want %+v", path, kinds, want)
		}
	}
}

// function gives the function around an address.
func (o *oracle) function(at uint64) extent {
	i := slices.IndexFunc(o.functions, func(f extent) bool { return at >= f.start && at < f.end })
	if i < 0 {
		return extent{}
	}
	return o.functions[i]
}

// Code of _Unwind_Resume as gcc makes it, from the copying on.
const landingCode = "\x4c\x89\xee\x4c\x89\xe7" + // mov rsi, r13; mov rdi, r12
	"\xe8\x00\x10\x00\x00" + // call uw_install_context_1
	"\x4c\x8b\x8d\x68\xff\xff\xff\x48\x8b\xbd\x60\xff\xff\xff" + // mov r9, [rbp-0x98]; mov rdi, [rbp-0xa0]
	"\x48\x89\xc1\x4c\x89\xce" + // mov rcx, rax; mov rsi, r9
	"\xe8\x00\x20\x00\x00" + // call _Unwind_DebugHook
	"\xf3\x48\x0f\x1e\xc8\xf3\x48\x0f\xae\xe9" + // rdsspq rax; incsspq rcx
	"\x4c\x89\x4c\x0d\x08" + // mov [rbp+rcx+8], r9
	"\x48\x8d\x4c\x0d\x08\x48\x8b\x6d\x00\x48\x89\xcc\x59\xff\xe1" // lea rcx, [rbp+rcx+8]; mov rbp, [rbp]; mov rsp, rcx; pop rcx; jmp rcx

// TestFindLanding: where the code says all, and where something of it is missing.
func TestFindLanding(t *testing.T) {
	code := []byte(landingCode)
	want := landing{copying: 0x1006, jumping: 0x1033, end: 0x1042, cfa: -20}
	if l, ok := findLanding(code, 0x1000); !ok || l != want {
		t.Errorf("%+#v, %v, want %+#v", l, ok, want)
	}
	for name, change := range map[string]struct {
		at   int
		with string
	}{
		"no return address":    {11, "\x90\x90\x90\x90\x90\x90\x90"},
		"another one":          {14, "\x70"},
		"CFA for no argument":  {19, "\xb5"},
		"one call":             {31, "\x0f\x1f\x44\x00\x00"},
		"no place to go on at": {46, "\x90\x90\x90\x90\x90"},
		"no jump":              {64, "\x90\x90"},
	} {
		changed := slices.Clone(code)
		copy(changed[change.at:], change.with)
		if l, ok := findLanding(changed, 0x1000); ok {
			t.Errorf("%s: %+#v", name, l)
		}
	}
}

// FuzzLanding: whatever code is, its parts come in order.
func FuzzLanding(f *testing.F) {
	f.Add([]byte(landingCode))
	f.Fuzz(func(t *testing.T, code []byte) {
		const at = 0x1000
		l, ok := findLanding(code, at)
		if ok && (l.copying < at || l.copying >= l.jumping || l.jumping > l.end || l.end > at+uint64(len(code))) {
			t.Errorf("%+#v", l)
		}
	})
}
