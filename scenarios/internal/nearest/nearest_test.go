// SPDX-License-Identifier: Apache-2.0

package nearest

import (
	"strings"
	"testing"
)

// TestWant finds the name that was meant, and takes no far one for it.
func TestWant(t *testing.T) {
	names := []string{"threads", "size", "folder"}
	for name, want := range map[string]string{
		"thread":                    "want threads",
		"treads":                    "want threads",
		"sise":                      "want size",
		"fodler":                    "want folder",
		"duration":                  "want one of threads, size, folder",
		"":                          "want one of threads, size, folder",
		"x":                         "want one of threads, size, folder",
		strings.Repeat("size", 1e6): "want one of threads, size, folder",
	} {
		if got := Want(name, names); got != want {
			t.Errorf("%.20q: %q, want %q", name, got, want)
		}
	}
	if got := Want("colour", []string{"cpus"}); got != "want cpus" {
		t.Errorf("one name: %q", got)
	}
}

// TestEdits compares distances with those counted by hand.
func TestEdits(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want int
	}{{"", "", 0}, {"abc", "abc", 0}, {"", "abc", 3}, {"kitten", "sitting", 3}, {"flaw", "lawn", 2}, {"raet", "rate", 1}} {
		if got, back := edits(c.a, c.b), edits(c.b, c.a); got != c.want || back != c.want {
			t.Errorf("%q, %q: %d and %d, want %d", c.a, c.b, got, back, c.want)
		}
	}
}
