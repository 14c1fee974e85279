// SPDX-License-Identifier: Apache-2.0

package golang

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/assaylab/assay/internal/elfx"
	"github.com/assaylab/assay/internal/truth"
)

// toolchains are the go commands of this machine: the one that runs the test, and those that it has fetched for others.
func toolchains(t testing.TB) []string {
	t.Helper()
	out, err := exec.Command("go", "env", "GOROOT", "GOMODCACHE").Output()
	if err != nil {
		t.Fatal(err)
	}
	root, cache, _ := strings.Cut(strings.TrimSpace(string(out)), "\n")
	fetched, err := filepath.Glob(filepath.Join(cache, "golang.org/toolchain@*", "bin/go"))
	if err != nil {
		t.Fatal(err)
	}
	return append([]string{filepath.Join(root, "bin/go")}, fetched...)
}

// compile compiles a program with labels and returns its bytes.
func compile(t testing.TB, command, arch string, flags ...string) []byte {
	t.Helper()
	dir := t.TempDir()
	source := "package main\nimport (\"context\"; \"runtime/pprof\")\nfunc main() { pprof.Do(context.Background(), pprof.Labels(\"a\", \"b\"), func(context.Context) {}) }\n"
	if err := os.WriteFile(filepath.Join(dir, "main.go"), []byte(source), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(command, append(append([]string{"build", "-o", "main"}, flags...), "main.go")...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GOTOOLCHAIN=local", "GOFLAGS=-buildvcs=false", "CGO_ENABLED=0", "GOARCH="+arch)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", command, err, out)
	}
	return read(t, filepath.Join(dir, "main"))
}

func read(t testing.TB, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func open(t testing.TB, b []byte) *elfx.File {
	t.Helper()
	f, err := elfx.Open(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// TestLayouts compares what is known of each version with what a program says that its tool chain has made.
func TestLayouts(t *testing.T) {
	for _, command := range toolchains(t) {
		for _, arch := range []string{"amd64", "arm64"} {
			f := open(t, compile(t, command, arch))
			p, err := Inspect(f)
			if err != nil || p == nil {
				t.Fatalf("%s: %+v, %v", command, p, err)
			}
			minor, said := minorOf(p.Version)
			if _, ok := layouts[minor]; !ok || !said {
				t.Errorf("%s is not known", p.Version)
			}
			told := Layout{Map: p.Layout.Map}
			if err := told.readDWARF(f); err != nil {
				t.Fatalf("%s: %v", p.Version, err)
			}
			if told != p.Layout {
				t.Errorf("%s, %s: %+v, its debug information says %+v", p.Version, arch, p.Layout, told)
			}
			if want := map[string]int64{"amd64": -8, "arm64": 0}[arch]; p.TLS != want {
				t.Errorf("%s, %s: the g is at %d, want %d", p.Version, arch, p.TLS, want)
			}
		}
	}
}

// TestOtherVersions gives a program another version than that of its tool chain.
func TestOtherVersions(t *testing.T) {
	whole, stripped := compile(t, "go", "amd64"), compile(t, "go", "amd64", "-ldflags=-s -w")
	real, err := Inspect(open(t, whole))
	if err != nil {
		t.Fatal(err)
	}
	const unknown = "a version that is not known, without debug information that tells where its goroutines are"
	for _, c := range []struct {
		version string
		program []byte
		want    string // the error
	}{
		{"go1.99.9", whole, ""},
		{"develop ", whole, ""},
		{"go1.99.9", stripped, unknown},
		{"go1.19.9", whole, "goroutines of Go before 1.20 are not read"},
	} {
		version := (c.version + strings.Repeat(" ", len(real.Version)))[:len(real.Version)]
		b := bytes.ReplaceAll(c.program, []byte(real.Version), []byte(version))
		p, err := Inspect(open(t, b))
		switch {
		case c.want != "":
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%q: error %v, want %s", c.version, err, c.want)
			}
		case err != nil:
			t.Errorf("%q: %v", c.version, err)
		case p.Layout != real.Layout:
			t.Errorf("%q: %+v, want %+v", c.version, p.Layout, real.Layout)
		}
	}
}

// TestPrograms wants programs that are linked in other ways to be known for what they are.
func TestPrograms(t *testing.T) {
	cgo := []string{"labels.go", "labels_cgo.go"}
	for _, c := range []struct {
		name  string
		made  truth.Recipe
		goes  bool
		wants string // the error
	}{
		{"C", truth.Recipe{Sources: []string{"split.c"}}, false, ""},
		{"C that lies", truth.Recipe{Sources: []string{"golang.c"}}, true, ""},
		{"with C", truth.Recipe{Sources: cgo, Flags: []string{"-ldflags=-s -w"}}, true, ""},
		{"with C, static", truth.Recipe{Sources: cgo, Flags: []string{"-ldflags=-extldflags=-static"}}, true, ""},
		{"with C, static, stripped", truth.Recipe{Sources: cgo, Flags: []string{"-ldflags=-s -w -extldflags=-static"}}, false, errNoTLS.Error()},
		{"library", truth.Recipe{Sources: cgo, Flags: []string{"-buildmode=c-shared"}}, false, "goroutines of a Go library (-buildmode=c-shared) are not read"},
	} {
		p, err := Inspect(open(t, read(t, c.made.Build(t))))
		switch {
		case (p != nil) != c.goes:
			t.Errorf("%s: %+v", c.name, p)
		case c.wants == "" && err != nil, c.wants != "" && (err == nil || !strings.HasSuffix(err.Error(), c.wants)):
			t.Errorf("%s: error %v, want %s", c.name, err, c.wants)
		}
	}
}

// TestProgramsForARM64 wants it to be known where programs with C for arm64 have their g, with symbols and without.
func TestProgramsForARM64(t *testing.T) {
	t.Setenv("GOARCH", "arm64")
	t.Setenv("CGO_ENABLED", "1")
	t.Setenv("CC", "aarch64-linux-gnu-gcc")
	cgo := []string{"labels.go", "labels_cgo.go"}
	for _, flags := range [][]string{nil, {"-ldflags=-s -w"}} {
		p, err := Inspect(open(t, read(t, truth.Recipe{Sources: cgo, Flags: flags}.Build(t))))
		if err != nil || p == nil || p.TLS != 2*pointer {
			t.Errorf("%q: %+v, %v: want the g at %d", flags, p, err, 2*pointer)
		}
	}
	// Among variables of C, only symbols tell.
	static, err := Inspect(open(t, read(t, truth.Recipe{Sources: cgo, Flags: []string{"-ldflags=-extldflags=-static"}}.Build(t))))
	if err != nil || static == nil || static.TLS <= 2*pointer {
		t.Errorf("static: %+v, %v: want the g behind %d", static, err, 2*pointer)
	}
	stripped := truth.Recipe{Sources: cgo, Flags: []string{"-ldflags=-s -w -extldflags=-static"}}
	if _, err := Inspect(open(t, read(t, stripped.Build(t)))); !errors.Is(err, errNoTLS) {
		t.Errorf("static, stripped: error %v, want %v", err, errNoTLS)
	}
}

// TestTakeString takes what is whole, and nothing of what isn't.
func TestTakeString(t *testing.T) {
	for _, test := range []struct {
		in, want, rest string
		whole          bool
	}{
		{"\x03go1rest", "go1", "rest", true},
		{"\x00", "", "", true},
		{"", "", "", false},
		{"\x03go", "", "\x03go", false},
		{"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01go", "", "\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01go", false},
	} {
		b := []byte(test.in)
		got, err := takeString(&b)
		if (err == nil) != test.whole || got != test.want || string(b) != test.rest {
			t.Errorf("%q: %q, %v, and left %q", test.in, got, err, b)
		}
	}
}

// FuzzInspect wants files that lie to be read to an end.
func FuzzInspect(f *testing.F) {
	f.Add(read(f, truth.Build(f, "golang.c")))
	f.Add(compile(f, "go", "amd64", "-ldflags=-s -w")[:1<<16])
	f.Fuzz(func(t *testing.T, b []byte) {
		file, err := elfx.Open(bytes.NewReader(b), int64(len(b)))
		if err != nil {
			return
		}
		if _, err := Inspect(file); err != nil {
			t.Log(err)
		}
		var l Layout
		if err := l.readDWARF(file); err != nil {
			t.Log(err)
		}
	})
}
