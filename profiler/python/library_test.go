// SPDX-License-Identifier: Apache-2.0

package python

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/assaylab/assay/internal/elfx"
)

// fake is an ELF file that looks like an interpreter, as far as we look.
func fake(t testing.TB, declarations string) []byte {
	t.Helper()
	dir := t.TempDir()
	source, library := filepath.Join(dir, "a.c"), filepath.Join(dir, "a.so")
	text := declarations + "\nvoid _PyEval_EvalFrameDefault(void) { }\n"
	if err := os.WriteFile(source, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("gcc", "-shared", "-fPIC", "-o", library, source).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	b, err := os.ReadFile(library)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// offsets is a _PyRuntime of 3.13 that says version and build of itself, and all its other offsets are 8.
func offsets(cookie, version, free string) string {
	return `unsigned Py_Version = 0x030d00f0; struct { char cookie[8]; unsigned long words[80]; } _PyRuntime = {"` + cookie + `", {` +
		version + `, ` + free + strings.Repeat(", 8", 78) + `}};`
}

func TestInspect(t *testing.T) {
	for _, c := range []struct {
		name, declarations, path string
		minor                    int    // 0: no interpreter
		want                     string // the error
	}{
		{name: "something else", declarations: "int x;", path: "libpython3.11.so"},
		{name: "by its name", declarations: "long _PyRuntime[200] = {1};", path: "/usr/lib/libpython3.9.so.1.0", minor: 9},
		{name: "by its version", declarations: "long _PyRuntime[200] = {1}; unsigned Py_Version = 0x030b07f0;", path: "python3", minor: 11},
		{name: "under another name", declarations: "long _PyRuntime[200] = {1};", path: "python3", want: "an interpreter older than Python 3.11"},
		{name: "of the past", declarations: "long _PyRuntime[200] = {1};", path: "python3.7", want: "Python 3.7 is not known: 3.8 to 3.13 are"},
		{name: "of the future", declarations: "long _PyRuntime[200] = {1}; unsigned Py_Version = 0x030e00f0;", path: "python3", want: "Python 3.14 is not known"},
		{name: "of another age", declarations: "long _PyRuntime[200] = {1}; unsigned Py_Version = 0x040000f0;", path: "python3", want: "Python 4 is not known"},
		{name: "with offsets", declarations: offsets("xdebugpy", "0x030d00f0", "0"), path: "python3", minor: 13},
		{name: "free-threaded", declarations: offsets("xdebugpy", "0x030d00f0", "1"), path: "python3", want: "the free-threaded build of Python is not known"},
		{name: "without offsets", declarations: offsets("nonsense", "0x030d00f0", "0"), path: "python3", want: "_Py_DebugOffsets: no magic number"},
		{name: "offsets of another version", declarations: offsets("xdebugpy", "0x030e00f0", "0"), path: "python3", want: "_Py_DebugOffsets: of version 0x30e00f0"},
		{name: "a version without bytes", declarations: "long _PyRuntime[200] = {1}; unsigned Py_Version;", path: "python3", want: "Py_Version: no bytes at"},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := fake(t, c.declarations)
			f, err := elfx.Open(bytes.NewReader(b), int64(len(b)))
			if err != nil {
				t.Fatal(err)
			}
			l, err := Inspect(f, c.path)
			switch {
			case c.want != "":
				if err == nil || !strings.HasPrefix(err.Error(), c.want) {
					t.Errorf("error %v, want %s", err, c.want)
				}
			case err != nil:
				t.Error(err)
			case c.minor == 0 && l != nil || c.minor != 0 && (l == nil || l.Layout.Minor != c.minor):
				t.Errorf("%+v, want 3.%d", l, c.minor)
			case l != nil && (!l.InLoop(l.loop[0].Start) || l.InLoop(l.loop[0].End)):
				t.Errorf("the loop is not known: %v", l.loop)
			}
		})
	}
}

func TestMayHold(t *testing.T) {
	for path, want := range map[string]bool{
		"/usr/bin/python3": true, "/usr/bin/python3.11": true, "/x/libpython3.11.so.1.0": true, "/x/libpython3.so": true, "/x/python3.8d": true,
		"/usr/bin/python2.7": false, "/usr/bin/ipython3": false, "/usr/lib/libc.so.6": false,
	} {
		if MayHold(path) != want {
			t.Errorf("%s: want %t", path, want)
		}
	}
	for path, want := range map[string]bool{
		"/lib/libc.so.6": true, "/lib/libpthread.so.0": true, "/lib/libc-2.31.so": true, "/lib/libpthread-2.31.so": true,
		"/lib/ld-musl-x86_64.so.1": false, "/lib/libcrypt.so.1": false, "/lib/libc.so": false,
	} {
		if MayBeLibc(path) != want {
			t.Errorf("%s: want %t", path, want)
		}
	}
}

// FuzzInspect looks for interpreters in files that lie.
func FuzzInspect(f *testing.F) {
	f.Add(fake(f, offsets("xdebugpy", "0x030d00f0", "0")))
	f.Add(fake(f, "long _PyRuntime[200] = {1}; unsigned Py_Version = 0x030b07f0;"))
	f.Fuzz(func(t *testing.T, b []byte) {
		e, err := elfx.Open(bytes.NewReader(b), int64(len(b)))
		if err != nil {
			return
		}
		for _, path := range []string{"python3", "python3.9"} {
			if l, err := Inspect(e, path); err == nil && l != nil && (l.Layout.Minor < minMinor || l.Layout.Minor > maxMinor) {
				t.Errorf("Python 3.%d", l.Layout.Minor)
			}
		}
		InspectLibc(e) //nolint:errcheck // any answer will do, as long as there is one
	})
}
