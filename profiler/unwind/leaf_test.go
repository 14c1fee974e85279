// SPDX-License-Identifier: Apache-2.0

package unwind

import (
	"bytes"
	"encoding/binary"
	"os"
	"testing"
)

// TestLeaves takes the call frame information away from the GNU C library for arm64, and compares what is then said of its functions with what
// readelf says that they are.
func TestLeaves(t *testing.T) {
	const path = "/usr/aarch64-linux-gnu/lib/libc.so.6"
	file, err := os.ReadFile(path)
	must(t, err)
	o := ask(t, path, ".eh_frame")
	table, err := buildImage(withoutFrames(file))
	must(t, err)
	entry, seen, wrong := arm64.atEntry(), 0, 0
	for _, p := range table.Pages {
		for i, row := range p.Rows {
			start := table.Base + uint64(p.Number)<<pageBits + uint64(row.Low)
			if table.Rules[row.Rule] != entry || i+1 == len(p.Rows) {
				continue
			}
			for at := start; at < start+uint64(p.Rows[i+1].Low-row.Low); at += armInstr {
				told, ok := o.find(at)
				if !ok {
					continue // of PLTs, and of assembly that has none
				}
				if seen++; !agrees(arm64, entry, told) {
					if wrong++; wrong < 10 {
						t.Errorf("%#x: readelf says %+v", at, told)
					}
				}
			}
		}
	}
	if seen < 5_000 || wrong > 0 {
		t.Errorf("%d instructions, %d wrong", seen, wrong)
	}
}

// TestIsLeaf: functions of one instruction that is no leaf's, and ret.
func TestIsLeaf(t *testing.T) {
	for name, test := range map[string]struct {
		instruction uint32
		leaf        bool
	}{
		"nop":                       {0xd503201f, true},
		"add x4, sp, x4":            {0x8b2463e4, true},
		"cmp x1, #1":                {0xf100043f, true},
		"tst x1, #1":                {0xf240003f, true},
		"cbz x30":                   {0xb400001e, false}, // in vain
		"b .+0x74":                  {0x1400001d, true},  // the bits of x29
		"b.eq":                      {0x54000020, true},
		"br x16":                    {0xd61f0200, true},
		"ldr x0, [x1]":              {0xf9400020, true},
		"svc #0":                    {0xd4000001, true},
		"bti c":                     {0xd503245f, true},
		"bl":                        {0x94000001, false},
		"blr x16":                   {0xd63f0200, false},
		"blraaz x16":                {0xd63f0a1f, false},
		"retaa":                     {0xd65f0bff, false},
		"paciasp":                   {0xd503233f, false},
		"xpaclri":                   {0xd50320ff, false},
		"stp x29, x30, [sp, #-16]!": {0xa9bf7bfd, false},
		"ldp x19, x30, [x0]":        {0xa9407813, false},
		"ldr x30, [x0]":             {0xf940001e, false},
		"str x0, [sp, #-16]!":       {0xf81f0fe0, false},
		"mov x29, sp":               {0x910003fd, false},
		"sub sp, sp, #16":           {0xd10043ff, false},
		"add sp, x1, #0":            {0x9100003f, false},
		"and sp, x1, #~15":          {0x927cec3f, false},
		"add sp, sp, x1":            {0x8b2163ff, false},
		"mov x30, x1":               {0xaa0103fe, false},
	} {
		code := binary.LittleEndian.AppendUint32(nil, test.instruction)
		if isLeaf(code) {
			t.Errorf("%s alone is no function", name)
		}
		if got := isLeaf(binary.LittleEndian.AppendUint32(code, armRet)); got != test.leaf {
			t.Errorf("%s: %v, want %v", name, got, test.leaf)
		}
	}
	if isLeaf(bytes.Repeat([]byte{0}, 3)) {
		t.Error("three bytes are no function")
	}
}
