// SPDX-License-Identifier: Apache-2.0

package unwind

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// TestGo compares with what the Go linker writes for debuggers, which says where the CFA is and nothing of frame pointers.
func TestGo(t *testing.T) {
	for _, arch := range []string{"amd64", "arm64"} {
		t.Run(arch, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "hello")
			cmd := exec.Command("go", "build", "-o", path, "testdata/hello.go")
			cmd.Env = append(os.Environ(), "GOARCH="+arch, "CGO_ENABLED=0")
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			compareGo(t, build(t, path), ask(t, path, ".debug_frame"))
		})
	}
}

func compareGo(t *testing.T, table *Table, o *oracle) {
	t.Helper()
	m := machineOf(table)
	same, other, wrong := 0, 0, 0
	for _, row := range o.rows {
		r, ok := table.Find(row.start)
		bySP := r.CFA == CFASP || r.CFA == CFASPFar
		switch {
		case !ok || bySP && !agreesCFA(m, r, row.cfa):
			if wrong++; wrong < 10 {
				t.Errorf("%#x: %+v, %v; readelf says %+v", row.start, r, ok, row)
			}
		case bySP:
			same++
		default:
			other++
		}
	}
	t.Logf("%d rows of readelf: %d the same, %d by frame pointer, end or signal; %d rows of the table", len(o.rows), same, other, table.Stats.Rows)
	if wrong > 0 || same < 20*other || same < 1000 {
		t.Errorf("%d wrong, %d the same, %d by frame pointer, end or signal", wrong, same, other)
	}
}
