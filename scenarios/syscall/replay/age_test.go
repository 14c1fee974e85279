// SPDX-License-Identifier: Apache-2.0

package replay

import (
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// TestAged reads the files of a sandbox: where times of access follow relatime, the first read of a new file would set one.
func TestAged(t *testing.T) {
	w := newWorld()
	w.need("/a/file", regular).extent(10, true)
	w.missing("/a/absent")
	root := filepath.Join(t.TempDir(), "root")
	if err := w.build(t.Context(), root); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"a", "a/file"} {
		at := filepath.Join(root, name)
		var before, after unix.Stat_t
		if err := unix.Stat(at, &before); err != nil {
			t.Fatal(err)
		}
		fd, err := unix.Open(at, unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		content := make([]byte, 100)
		if name == "a" {
			_, err = unix.Getdents(fd, content)
		} else {
			_, err = unix.Read(fd, content)
		}
		if err != nil {
			t.Fatal(err)
		}
		if err := unix.Fstat(fd, &after); err != nil {
			t.Fatal(err)
		}
		if err := unix.Close(fd); err != nil {
			t.Fatal(err)
		}
		if before.Atim != after.Atim {
			t.Errorf("%s: reading it changed its time of access, %v to %v", name, before.Atim, after.Atim)
		}
		if before.Atim.Nano() <= before.Ctim.Nano() {
			t.Errorf("%s: last used at %v, changed at %v: want it used later", name, before.Atim, before.Ctim)
		}
	}
}
