// SPDX-License-Identifier: Apache-2.0

package ci

import (
	"encoding/json"
	"errors"
	"io"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const (
	module       = "github.com/assaylab/assay"
	architecture = "../docs/architecture.md"
)

// goPackage is what `go list` says of a package.
type goPackage struct {
	ImportPath, Doc string
	Imports, Deps   []string
}

// goPackages lists the packages of the module.
func goPackages(t *testing.T) []goPackage {
	t.Helper()
	list := json.NewDecoder(strings.NewReader(output(t, "go", "list", "-json=ImportPath,Doc,Imports,Deps", "../...")))
	var packages []goPackage
	for {
		var p goPackage
		err := list.Decode(&p)
		if errors.Is(err, io.EOF) {
			return packages
		}
		if err != nil {
			t.Fatal(err)
		}
		packages = append(packages, p)
	}
}

// A row of the table in docs/architecture.md: | `room/` | one sentence | rooms that it may import, "all" or "–" |.
var row = regexp.MustCompile("(?m)^\\| `([a-z/]+)/` \\| .* \\| (.*) \\|$")

// arrows reads which room may import which.
func arrows(t *testing.T) map[string][]string {
	t.Helper()
	text, err := os.ReadFile(architecture)
	if err != nil {
		t.Fatal(err)
	}
	allowed := map[string][]string{}
	for _, cells := range row.FindAllStringSubmatch(string(text), -1) {
		allowed[cells[1]] = strings.Split(cells[2], ", ")
	}
	if len(allowed) < 5 {
		t.Fatalf("%s: only %d rooms found in the table", architecture, len(allowed))
	}
	return allowed
}

// roomOf returns the innermost room that a package lies in, "" if there is none.
func roomOf(importPath string, rooms map[string][]string) string {
	path := strings.TrimPrefix(importPath, module+"/")
	best := ""
	for room := range rooms {
		if (path == room || strings.HasPrefix(path, room+"/")) && len(room) > len(best) {
			best = room
		}
	}
	return best
}

// TestArrows compares the imports of each package with the table. Everyone may use internal, and a room its own packages.
func TestArrows(t *testing.T) {
	allowed := arrows(t)
	for _, p := range goPackages(t) {
		from := roomOf(p.ImportPath, allowed)
		if from == "" {
			t.Errorf("%s lies in no room of %s", p.ImportPath, architecture)
		}
		for _, imported := range p.Imports {
			if !strings.HasPrefix(imported, module+"/") {
				continue
			}
			to := roomOf(imported, allowed)
			if to != from && to != "internal" && !slices.Contains(allowed[from], to) && !slices.Contains(allowed[from], "all") {
				t.Errorf("%s imports %s: no arrow from %s to %s in %s", p.ImportPath, imported, from, to, architecture)
			}
		}
	}
}

// TestProfileIsALeaf keeps eBPF away from those who only have a profile.
func TestProfileIsALeaf(t *testing.T) {
	for _, p := range goPackages(t) {
		room, _, _ := strings.Cut(strings.TrimPrefix(p.ImportPath, module+"/"), "/")
		if room != "reports" && room != "symbolize" {
			continue
		}
		if slices.Contains(p.Deps, "github.com/cilium/ebpf") {
			t.Errorf("%s depends on github.com/cilium/ebpf", p.ImportPath)
		}
	}
}

// TestPackageDocs wants each package to say what it is.
func TestPackageDocs(t *testing.T) {
	for _, p := range goPackages(t) {
		if p.Doc == "" {
			t.Errorf("%s has no package comment", p.ImportPath)
		}
	}
}
