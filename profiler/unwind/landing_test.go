// SPDX-License-Identifier: Apache-2.0

package unwind

import (
	"cmp"
	"reflect"
	"slices"
	"testing"
)

// TestLanding: in each function that says where registers are saved for who catches an exception, it is known where it goes there.
func TestLanding(t *testing.T) {
	kinds := map[*machine][]Rule{
		amd64: {{CFA: CFASP, RA: RAInRCX}, {CFA: CFASP, RA: RALanding}, {CFA: CFAReg, RA: RALanding}, {CFA: CFADerefFP, RA: RALanding}, {CFA: CFALanding, RA: RAAtCFA}},
		arm64: {{CFA: CFASP, RA: RALanding}, {CFA: CFALanding, RA: RAAtCFA}, {CFA: CFALanding, RA: RALanding}},
	}
	for _, path := range []string{
		"/lib/x86_64-linux-gnu/libgcc_s.so.1", compile(t, "g++", "throw.cc", "-O2", "-static"),
		"/usr/aarch64-linux-gnu/lib/libgcc_s.so.1", compile(t, "aarch64-linux-gnu-gcc", "frames.c", "-static"),
	} {
		table, o := build(t, path), ask(t, path, ".eh_frame")
		landings := map[extent][]Rule{}
		for _, row := range o.rows {
			if f := o.function(row.start); row.throws() && row.start > f.start { // else it is a part of one that lies elsewhere
				landings[f] = nil
			}
		}
		for _, p := range table.Pages {
			for _, row := range p.Rows {
				r, f := table.Rules[row.Rule], o.function(table.Base+uint64(p.Number)<<pageBits+uint64(row.Low))
				if r.CFA == CFALanding || r.RA == RALanding || r.RA == RAInRCX {
					landings[f] = append(landings[f], Rule{CFA: r.CFA, RA: r.RA})
				}
			}
		}
		if len(landings) != 4 { // _Unwind_RaiseException, ForcedUnwind, Resume, Resume_or_Rethrow
			t.Errorf("%s: %d functions", path, len(landings))
		}
		for f, rules := range landings {
			slices.SortFunc(rules, func(a, b Rule) int { return cmp.Or(cmp.Compare(a.CFA, b.CFA), cmp.Compare(a.RA, b.RA)) })
			if got, want := slices.Compact(rules), kinds[machineOf(table)]; !slices.Equal(got, want) {
				t.Errorf("%s: %#x to %#x: %+v, want %+v", path, f.start, f.end, got, want)
			}
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
const (
	landingAMD64 = "\x4c\x89\xee\x4c\x89\xe7" + // mov rsi, r13; mov rdi, r12
		"\xe8\x00\x10\x00\x00" + // call uw_install_context_1
		"\x4c\x8b\x8d\x68\xff\xff\xff\x48\x8b\xbd\x60\xff\xff\xff" + // mov r9, [rbp-0x98]; mov rdi, [rbp-0xa0]
		"\x48\x89\xc1\x4c\x89\xce" + // mov rcx, rax; mov rsi, r9
		"\xe8\x00\x20\x00\x00" + // call _Unwind_DebugHook
		"\xf3\x48\x0f\x1e\xc8\xf3\x48\x0f\xae\xe9" + // rdsspq rax; incsspq rcx
		"\x4c\x89\x4c\x0d\x08" + // mov [rbp+rcx+8], r9
		"\x48\x8d\x4c\x0d\x08\x48\x8b\x6d\x00\x48\x89\xcc\x59\xff\xe1" // lea rcx, [rbp+rcx+8]; mov rbp, [rbp]; mov rsp, rcx; pop rcx; jmp rcx

	landingARM64 = "\xf5\x43\x12\x91" + // add x21, sp, #1168
		"\xe1\x03\x15\xaa\xe0\x03\x14\xaa" + // mov x1, x21; mov x0, x20
		"\x00\x04\x00\x94" + // bl uw_install_context_1
		"\xe4\x03\x00\xaa" + // mov x4, x0
		"\xe0\xd3\x43\xf9\xe1\xd7\x43\xf9" + // ldr x0, [sp, #1952]; ldr x1, [sp, #1960]
		"\x00\x08\x00\x94" + // bl _Unwind_DebugHook
		"\xa1\x07\x00\xf9" // str x1, [x29, #8]
	// How gcc 12 goes on, and how gcc 14 does, for an end that is shared.
	endARM64 = "\xfd\x7b\x40\xa9\xff\x43\x21\x91" + // ldp x29, x30, [sp]; add sp, sp, #2128
		"\xff\x63\x24\x8b\xc0\x03\x5f\xd6" // add sp, sp, x4; ret
	branchARM64 = "\xff\xff\xff\x97" + // bl __arm_za_disable
		"\x02\x00\x00\x14\x1f\x20\x03\xd5" + // b to behind the nop
		"\xfd\x7b\x40\xa9\xff\x43\x21\x91" + // ldp x29, x30, [sp]; add sp, sp, #2128
		"\x64\x00\x00\xb4\xff\x63\x25\x8b\xc0\x00\x1f\xd6" // cbz x4 …; add sp, sp, x5; br x6
)

// TestFindLanding: where the code says all, and where something of it is missing.
func TestFindLanding(t *testing.T) {
	type change struct {
		at   int
		with string
	}
	for name, c := range map[string]struct {
		m       *machine
		code    string
		want    landing
		missing map[string]change
	}{
		"amd64": {amd64, landingAMD64, landing{[]passage{{extent{0x1006, 0x1033}, copying}, {extent{0x1033, 0x1042}, jumping}}, -20, Rule{}}, map[string]change{
			"no return address":    {11, "\x90\x90\x90\x90\x90\x90\x90"},
			"another one":          {14, "\x70"},
			"CFA for no argument":  {19, "\xb5"},
			"no copying":           {6, "\x90\x90\x90\x90\x90"},
			"one call":             {31, "\x0f\x1f\x44\x00\x00"},
			"no place to go on at": {46, "\x90\x90\x90\x90\x90"},
			"no jump":              {64, "\x90\x90"},
		}},
		"arm64": {arm64, landingARM64 + endARM64, landing{[]passage{{extent{0x100c, 0x1020}, copying}, {extent{0x1020, 0x1030}, jumping}, {extent{0x1030, 0x1034}, jumped}}, 244, Rule{}}, map[string]change{
			"no context":           {0, "\xf5\x47"},
			"another one":          {20, "\xe0\xcb"},
			"CFA for no argument":  {20, "\xe2"},
			"no return address":    {24, "\xe1\xdb"},
			"no copying":           {12, "\x1f\x20\x03\xd5"},
			"one call":             {28, "\x1f\x20\x03\xd5"},
			"no jump":              {48, "\x1f\x20\x03\xd5"},
			"a jump to itself":     {48, "\x00\x00\x00\x14"},
			"a jump before itself": {48, "\x00\xff\xff\x17"},
		}},
		"arm64, branch": {arm64, landingARM64 + branchARM64, landing{[]passage{{extent{0x100c, 0x1020}, copying}, {extent{0x1020, 0x102c}, jumping}, {extent{0x1030, 0x1040}, jumping}}, 244, Rule{}}, nil},
	} {
		if l, ok := c.m.findLanding([]byte(c.code), 0x1000); !ok || !reflect.DeepEqual(l, c.want) {
			t.Errorf("%s: %+#v, %v, want %+#v", name, l, ok, c.want)
		}
		for what, change := range c.missing {
			changed := []byte(c.code)
			copy(changed[change.at:], change.with)
			if l, ok := c.m.findLanding(changed, 0x1000); ok {
				t.Errorf("%s, %s: %+#v", name, what, l)
			}
		}
	}
}

// FuzzLanding: whatever code is, it is passed through in some way, and forwards.
func FuzzLanding(f *testing.F) {
	f.Add([]byte(landingAMD64), true)
	f.Add([]byte(landingARM64+endARM64), false)
	f.Add([]byte(landingARM64+branchARM64), false)
	f.Fuzz(func(t *testing.T, code []byte, x86 bool) {
		const at = 0x1000
		m := arm64
		if x86 {
			m = amd64
		}
		l, ok := m.findLanding(code, at)
		if ok != slices.ContainsFunc(l.passages, func(p passage) bool { return p.how == copying }) {
			t.Errorf("%v, %+#v", ok, l)
		}
		for _, p := range l.passages {
			if p.start < at || p.start > p.end || p.end > at+uint64(len(code)) {
				t.Errorf("%+#v", l)
			}
		}
		for vaddr := uint64(at); vaddr < at+uint64(len(code)); {
			_, until := l.rule(m, m.atEntry(), vaddr)
			if until <= vaddr {
				t.Fatalf("%#x: %+#v", vaddr, l)
			}
			vaddr = until
		}
	})
}
