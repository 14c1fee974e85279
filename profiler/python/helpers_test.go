// SPDX-License-Identifier: Apache-2.0

package python

import (
	"bufio"
	"debug/elf"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/assaylab/assay/internal/elfx/elfxtest"
)

// interpreters are Debian's, and those that pyenv has here.
func interpreters(t testing.TB) []string {
	t.Helper()
	home, err := os.UserHomeDir()
	if err != nil {
		t.Fatal(err)
	}
	found := []string{"/usr/bin/python3"}
	for minor := minMinor; minor <= maxMinor; minor++ {
		paths, err := filepath.Glob(fmt.Sprintf("%s/.pyenv/versions/3.%d.*/bin/python3", home, minor))
		if err != nil {
			t.Fatal(err)
		}
		found = append(found, paths...)
	}
	return found
}

// running is a Python program that has come to rest.
type running struct {
	process Process
	said    string // its first line
	library *Library
	bias    uint64
}

// start runs a program until it has printed a line, and finds its interpreter.
func start(t testing.TB, interpreter string, args ...string) *running {
	t.Helper()
	cmd := exec.Command(interpreter, args...)
	cmd.Stderr = os.Stderr
	if _, err := cmd.StdinPipe(); err != nil { // it waits for the end of it
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := cmd.Process.Kill(); err != nil {
			t.Error(err)
		}
		cmd.Wait() //nolint:errcheck // it was killed
	})
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	r := &running{process: Process(cmd.Process.Pid), said: line}
	r.find(t)
	return r
}

func (r *running) find(t testing.TB) {
	t.Helper()
	maps, err := os.ReadFile(fmt.Sprintf("/proc/%d/maps", r.process))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(maps)) {
		var start, end, off uint64
		var perms, dev, path string
		var inode uint64
		if n, err := fmt.Sscanf(line, "%x-%x %s %x %s %d %s", &start, &end, &perms, &off, &dev, &inode, &path); n < 7 || err != nil || !MayHold(path) || perms[2] != 'x' {
			continue
		}
		f := elfxtest.Open(t, path)
		l, err := Inspect(f, path)
		if err != nil {
			t.Fatal(err)
		}
		if l == nil {
			continue
		}
		vaddr, ok := f.Vaddr(off)
		if !ok {
			t.Fatalf("%s: no segment at %#x", path, off)
		}
		r.library, r.bias = l, start-vaddr
		return
	}
	t.Fatalf("no interpreter in\n%s", maps)
}

// libraryOf is the path of the ELF file that holds an interpreter.
func libraryOf(t testing.TB, interpreter string) string {
	t.Helper()
	real, err := filepath.EvalSymlinks(interpreter)
	if err != nil {
		t.Fatal(err)
	}
	f, err := elf.Open(real)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	needed, err := f.ImportedLibraries()
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range needed {
		if strings.HasPrefix(n, "libpython") {
			return filepath.Join(filepath.Dir(real), "../lib", n)
		}
	}
	return real
}
