// SPDX-License-Identifier: Apache-2.0

package dwarf

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/assaylab/assay/internal/elfx/elfxtest"
)

// TestHints compares what the hints lead to with the index of all units, and looks that no more is read for one address than the units up
// to its own. The debug information is compressed.
func TestHints(t *testing.T) {
	const units = 40
	dir := t.TempDir()
	args := []string{"-g", "-O1", "-gz", "-static", "-nostdlib", "-o", "p"}
	for i := range units {
		var source strings.Builder
		fmt.Fprintf(&source, "extern volatile int sink;\nstatic inline __attribute__((always_inline)) void in%d(int n) { sink = n; }\n", i)
		for k := range 300 {
			fmt.Fprintf(&source, "void f%d_%d(int n) { in%d(n); if (sink > %d) in%d(%d); }\n", i, k, i, k, i, k)
		}
		if i == 0 {
			source.WriteString("volatile int sink;\nvoid _start(void) { f0_0(1); }\n__asm__(\".text; bare: nop; nop; ret; .size bare, 3; .previous\");\n")
		}
		name := fmt.Sprintf("u%02d.c", i)
		if err := os.WriteFile(filepath.Join(dir, name), []byte(source.String()), 0o600); err != nil {
			t.Fatal(err)
		}
		args = append(args, name)
	}
	run(t, dir, "", "gcc", args...)
	name := filepath.Join(dir, "p")
	addrs := textAddresses(t, name)
	open := func() *Data {
		t.Helper()
		d, err := Open(elfxtest.Open(t, name), nil)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := d.Close(); err != nil {
				t.Error(err)
			}
		})
		return d
	}
	one := open()
	if _, err := one.Frames(nil, addrs[0]); err != nil {
		t.Fatal(err)
	}
	if n := len(one.main.units); n != 1 || one.indexed {
		t.Errorf("%d units read for an address of the first", n)
	}
	if z := one.main.info.file.(*inflated); z.have == 0 || z.have > z.size/2 {
		t.Errorf("%d of %d bytes decompressed for an address of the first unit", z.have, z.size)
	}
	all := open()
	if err := all.needIndex(); err != nil {
		t.Fatal(err)
	}
	for _, a := range addrs {
		got, err := one.Frames(nil, a)
		if err != nil {
			t.Fatal(err)
		}
		want, err := all.indexedFrames(nil, a)
		if err != nil {
			t.Fatal(err)
		}
		if diff := gocmp.Diff(want, got); diff != "" {
			t.Fatalf("%#x, by the index of all units -, by hints +:\n%s", a, diff)
		}
	}
	if len(one.main.units) != units || one.indexed {
		t.Errorf("%d units read for all addresses, want %d; all were looked through: %v", len(one.main.units), units, one.indexed)
	}
}
