// SPDX-License-Identifier: Apache-2.0

package profiler

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"testing"
)

// TestLibraries compares with what the dynamic linker itself finds.
func TestLibraries(t *testing.T) {
	l, err := newLibrarian("/", "")
	if err != nil {
		t.Fatal(err)
	}
	file := regexp.MustCompile(`(?m)(?:=>\s*|^\s*)(/\S+) \(0x`)
	for _, program := range []string{"/bin/bash", "/usr/bin/bpftrace", "/usr/bin/jq", "/bin/true"} {
		cmd := exec.Command(program)
		cmd.Env = []string{"LD_TRACE_LOADED_OBJECTS=1"}
		said, err := cmd.Output()
		if err != nil {
			t.Fatalf("%s: %v", program, err)
		}
		var want, got []string
		for _, m := range file.FindAllSubmatch(said, -1) {
			path, err := filepath.EvalSymlinks(string(m[1]))
			if err != nil {
				t.Fatal(err)
			}
			want = append(want, path)
		}
		for _, m := range l.libraries(program) {
			got = append(got, m.path)
		}
		// The linker names itself, whether a library needs it or not.
		linker := func(path string) bool { return regexp.MustCompile(`/ld-linux`).MatchString(path) }
		want, got = slices.DeleteFunc(want, linker), slices.DeleteFunc(got, linker)
		slices.Sort(want)
		slices.Sort(got)
		if len(want) == 0 || !slices.Equal(got, want) {
			t.Errorf("%s: %v, the dynamic linker says %v", program, got, want)
		}
	}
}

// TestOrigin: a library beside its program, and none where there is none.
func TestOrigin(t *testing.T) {
	dir := t.TempDir()
	compile := func(source string, args ...string) {
		t.Helper()
		path := filepath.Join(dir, "a.c")
		if err := os.WriteFile(path, []byte(source), 0o600); err != nil {
			t.Fatal(err)
		}
		if said, err := exec.Command("gcc", append([]string{"-Wl,--no-as-needed", path}, args...)...).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, said)
		}
	}
	library := filepath.Join(dir, "lib", "libbeside.so")
	if err := os.Mkdir(filepath.Dir(library), 0o700); err != nil {
		t.Fatal(err)
	}
	compile("int beside;", "-shared", "-nostdlib", "-Wl,-soname,libbeside.so", "-o", library)
	program := filepath.Join(dir, "program")
	compile("int main(void) { return 0; }", "-nostdlib", "-nostartfiles", "-Wl,-rpath,/nowhere:${ORIGIN}/lib", "-o", program, library)
	found := (&librarian{}).libraries(program)
	if len(found) != 1 || found[0].path != library {
		t.Errorf("found %+v, want %s", found, library)
	}
	if err := os.Remove(library); err != nil {
		t.Fatal(err)
	}
	if found := (&librarian{}).libraries(program); len(found) != 0 {
		t.Errorf("found %+v, which is gone", found)
	}
}

// FuzzLinkCache reads caches that lie.
func FuzzLinkCache(f *testing.F) {
	if b, err := os.ReadFile(linkCache); err == nil {
		f.Add(b[:min(len(b), 4096)])
	}
	f.Add([]byte("glibc-ld.so.cache1.1\xff\xff\xff\xff"))
	f.Fuzz(func(_ *testing.T, b []byte) { parseLinkCache(b) })
}
