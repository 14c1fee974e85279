// SPDX-License-Identifier: Apache-2.0

package ci

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// output runs a program in the repository's ci folder and returns what it printed.
func output(t *testing.T, name string, args ...string) string {
	t.Helper()
	cmd := exec.Command(name, args...)
	var complaints strings.Builder
	cmd.Stderr = &complaints
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, complaints.String())
	}
	return string(out)
}

// eachFile calls f with the path from the repository's root, and the text, of the files that match git's patterns.
func eachFile(t *testing.T, f func(path, text string), patterns ...string) {
	t.Helper()
	// Committed files, and those that will be; -z leaves odd names as they are.
	list := output(t, "git", append([]string{"-C", "..", "ls-files", "-coz", "--exclude-standard", "--"}, patterns...)...)
	found := false
	for path := range strings.FieldsFuncSeq(list, func(r rune) bool { return r == 0 }) {
		text, err := os.ReadFile(filepath.Join("..", path))
		if errors.Is(err, fs.ErrNotExist) { // deleted and not yet committed
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		found = true
		f(path, string(text))
	}
	if !found {
		t.Fatalf("no file matches %q", patterns)
	}
}

// generated are the files that bpf2go writes.
func generated(path string) bool { return strings.HasSuffix(path, "_bpfel.go") }

// headLines is room for a "#!" or a build constraint above the licence.
const headLines = 3

// TestLicenceLines wants each source file to name its licence where tools look for it.
func TestLicenceLines(t *testing.T) {
	check := func(licence string, patterns ...string) {
		t.Helper()
		want := "SPDX-License-Identifier: " + licence
		eachFile(t, func(path, text string) {
			head := strings.SplitN(text, "\n", headLines+1)
			if !generated(path) && !strings.Contains(strings.Join(head[:min(headLines, len(head))], "\n"), want) {
				t.Errorf("%s doesn't say %q in its first %d lines", path, want, headLines)
			}
		}, patterns...)
	}
	check("Apache-2.0", "*.go", "*.sh", "Makefile", ".ci/run")
	check("(GPL-2.0-only OR BSD-2-Clause)", "bpf/*.c", "bpf/*.h")
}

// TestGeneratedAreMarked wants tools and readers to know what nobody edits; see `go help generate`.
func TestGeneratedAreMarked(t *testing.T) {
	mark := regexp.MustCompile(`(?m)^// Code generated .* DO NOT EDIT\.$`)
	eachFile(t, func(path, text string) {
		if generated(path) && !mark.MatchString(text) {
			t.Errorf("%s is generated and doesn't say so", path)
		}
	}, "bpf/*.go")
}

// TestNothingLeftForLater keeps notes to oneself out of the tree: what is to be done is an issue.
func TestNothingLeftForLater(t *testing.T) {
	note := regexp.MustCompile(`\b(TO` + `DO|FIX` + `ME|XX` + `X|HA` + `CK)\b`)
	eachFile(t, func(path, text string) {
		if where := note.FindStringIndex(text); where != nil {
			t.Errorf("%s:%d: %s", path, 1+strings.Count(text[:where[0]], "\n"), text[where[0]:where[1]])
		}
	}, "*.go", "*.c", "*.h", "*.md", "*.sh", "*.ts", "Makefile", ".ci/run")
}

// TestLinks follows the relative links in documents.
func TestLinks(t *testing.T) {
	link := regexp.MustCompile(`\]\(([^)#\s]+)[^)]*\)`)
	eachFile(t, func(path, text string) {
		for _, m := range link.FindAllStringSubmatch(text, -1) {
			if strings.Contains(m[1], ":") { // another site
				continue
			}
			if _, err := os.Stat(filepath.Join("..", filepath.Dir(path), m[1])); err != nil {
				t.Errorf("%s links to %s: %v", path, m[1], err)
			}
		}
	}, "*.md")
}
