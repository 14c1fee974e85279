// SPDX-License-Identifier: Apache-2.0

package atomicfile_test

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/assaylab/assay/internal/atomicfile"
)

// text returns a write function that writes s.
func text(s string) func(io.Writer) error {
	return func(w io.Writer) error {
		_, err := io.WriteString(w, s)
		return err
	}
}

// content reads all files of a folder; a link is shown by where it leads.
func content(t *testing.T, folder string) map[string]string {
	t.Helper()
	entries, err := os.ReadDir(folder)
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, e := range entries {
		path := filepath.Join(folder, e.Name())
		if link, err := os.Readlink(path); err == nil {
			got[e.Name()] = "-> " + link
			continue
		}
		if e.IsDir() {
			got[e.Name()] = "folder"
			continue
		}
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		got[e.Name()] = string(b)
	}
	return got
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestWrite(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "out")
	must(t, os.WriteFile(filepath.Join(dir, "victim"), []byte("mine"), 0o600))
	must(t, os.Symlink("victim", filepath.Join(dir, "link")))
	must(t, os.Symlink("nowhere", filepath.Join(dir, "dangling")))

	must(t, atomicfile.Write(path, 0o640, text("first")))
	must(t, atomicfile.Write(path, 0o640, text("second")))
	must(t, atomicfile.Write(filepath.Join(dir, "link"), 0o640, text("new")))
	must(t, atomicfile.Write(filepath.Join(dir, "dangling"), 0o640, text("new")))
	must(t, atomicfile.Write(filepath.Join(dir, strings.Repeat("n", 255)), 0o640, text("")))

	want := map[string]string{"out": "second", "victim": "mine", "link": "new", "dangling": "new", strings.Repeat("n", 255): ""}
	if diff := cmp.Diff(want, content(t, dir)); diff != "" {
		t.Error(diff)
	}
	info, err := os.Stat(path)
	must(t, err)
	if umask := currentUmask(t); info.Mode().Perm() != 0o640&^umask {
		t.Errorf("permissions %v under umask %v", info.Mode(), umask)
	}
}

// currentUmask reads the umask without setting it, which would race with other tests.
func currentUmask(t *testing.T) fs.FileMode {
	t.Helper()
	status, err := os.ReadFile("/proc/self/status")
	must(t, err)
	var umask fs.FileMode
	_, line, _ := strings.Cut(string(status), "Umask:")
	if _, err := fmt.Sscanf(line, "%o", &umask); err != nil {
		t.Fatal(err)
	}
	return umask
}

// TestWriteFails: the old file stays, the temporary one goes.
func TestWriteFails(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "out")
	must(t, os.WriteFile(path, []byte("old"), 0o600))
	full := func(w io.Writer) error {
		if err := text(strings.Repeat("x", 1<<20))(w); err != nil {
			return err
		}
		return unix.ENOSPC
	}
	err := atomicfile.Write(path, 0o600, full)
	if want := "write " + path + ": no space left on device"; err == nil || err.Error() != want || !errors.Is(err, unix.ENOSPC) {
		t.Errorf("error %v, want %s", err, want)
	}
	func() {
		defer func() {
			if recover() == nil {
				t.Error("the panic of write was swallowed")
			}
		}()
		err := atomicfile.Write(path, 0o600, func(io.Writer) error { panic("in write") })
		t.Errorf("returned %v", err)
	}()
	if diff := cmp.Diff(map[string]string{"out": "old"}, content(t, dir)); diff != "" {
		t.Error(diff)
	}
}

// TestRefused: what can't be written is refused by Check and by Write alike, in one line, and nothing is left behind.
func TestRefused(t *testing.T) {
	dir := t.TempDir()
	must(t, os.Mkdir(filepath.Join(dir, "folder"), 0o700))
	must(t, os.Symlink("folder", filepath.Join(dir, "link")))
	must(t, os.WriteFile(filepath.Join(dir, "file"), []byte("old"), 0o600))
	before := content(t, dir)
	for _, test := range []struct{ path, want string }{
		{"", "write : the name is empty"},
		{dir + "/folder", "write DIR/folder: is a directory"},
		{dir + "/link", "write DIR/link: is a directory"},
		{dir + "/new/", "write DIR/new/: names a folder, not a file"},
		{dir + "/none/out", "write DIR/none/out: folder DIR/none: no such file or directory"},
		{dir + "/file/out", "write DIR/file/out: not a directory"},
		{dir + "/" + strings.Repeat("n", 256), "write DIR/" + strings.Repeat("n", 256) + ": file name too long"},
		{"/sys/kernel/out", "write /sys/kernel/out: folder /sys/kernel: permission denied"},
		{"/dev/fd/999999", "write /dev/fd/999999: bad file descriptor"},
	} {
		for name, err := range map[string]error{"Check": atomicfile.Check(test.path), "Write": atomicfile.Write(test.path, 0o600, text("x"))} {
			if got := strings.ReplaceAll(fmt.Sprint(err), dir, "DIR"); got != test.want {
				t.Errorf("%s(%q)\n got %s\nwant %s", name, test.path, got, test.want)
			}
		}
	}
	if diff := cmp.Diff(before, content(t, dir)); diff != "" {
		t.Error(diff)
	}
}

func TestCheckLeavesNothing(t *testing.T) {
	dir := t.TempDir()
	must(t, os.WriteFile(filepath.Join(dir, "old"), []byte("old"), 0o600))
	must(t, unix.Mkfifo(filepath.Join(dir, "pipe"), 0o600))
	for _, name := range []string{"old", "new", "pipe"} {
		must(t, atomicfile.Check(filepath.Join(dir, name)))
	}
	must(t, atomicfile.Check("/dev/null"))
	must(t, os.Remove(filepath.Join(dir, "pipe")))
	if diff := cmp.Diff(map[string]string{"old": "old"}, content(t, dir)); diff != "" {
		t.Error(diff)
	}
}

func TestWriteToOpenDescriptor(t *testing.T) {
	f, err := os.Create(filepath.Join(t.TempDir(), "redirected"))
	must(t, err)
	must(t, text("before ")(f))
	path := fmt.Sprintf("/dev/fd/%d", f.Fd())
	must(t, atomicfile.Check(path))
	must(t, atomicfile.Write(path, 0o600, text("written")))
	must(t, text(" after")(f))
	must(t, f.Close())
	if got := content(t, filepath.Dir(f.Name()))["redirected"]; got != "before written after" {
		t.Errorf("file has %q", got)
	}
}

func TestReadOnlyDescriptor(t *testing.T) {
	f, err := os.Open("/dev/null")
	must(t, err)
	defer f.Close()
	if err := atomicfile.Check(fmt.Sprintf("/proc/self/fd/%d", f.Fd())); err == nil {
		t.Error("a descriptor open for reading passed")
	}
}

func TestWriteToDevice(t *testing.T) {
	must(t, atomicfile.Write("/dev/null", 0o600, text("gone")))
	err := atomicfile.Write("/dev/full", 0o600, text("x"))
	if err == nil || err.Error() != "write /dev/full: no space left on device" {
		t.Errorf("error %v", err)
	}
	if info, err := os.Lstat("/dev/full"); err != nil || info.Mode()&fs.ModeCharDevice == 0 {
		t.Errorf("/dev/full was replaced: %v, %v", info, err)
	}
}
