// SPDX-License-Identifier: Apache-2.0

package python

import (
	"strings"
	"testing"
)

// TestMerge writes frames as words: LOOP is the interpreter's loop, and a frame of Python ends with ! when it is an entry.
func TestMerge(t *testing.T) {
	for _, c := range []struct {
		name, native, python string
		cut                  bool
		want                 string
	}{
		{"no Python", "read main _start", "", false, "read main _start"},
		{"one C frame a Python frame", "LOOP call LOOP call LOOP run _start", "f! g! h!", false, "f! call g! call h! run _start"},
		{"calls inside of one C frame", "read LOOP run _start", "f g h!", false, "read f g h! run _start"},
		{"a callback", "cmp LOOP sort LOOP run _start", "key! sorted main!", false, "cmp key! sort sorted main! run _start"},
		{"the loop has just begun", "LOOP call LOOP run _start", "f g!", false, "LOOP call f g! run _start"},
		{"a loop under another name", "cold call LOOP run _start", "f! g!", false, "cold call f! g! run _start"},
		{"native stack cut", "LOOP call LOOP call", "f! g! h i!", true, "f! call g! call h i!"},
		{"native stack cut, the innermost has just begun", "LOOP call LOOP", "f!", true, "f! call LOOP"},
		{"native stack without loops", "read 0x1234", "f g!", true, "read 0x1234 f g!"},
		{"only a leaf", "LOOP", "f g! h!", true, "f g! h!"},
		{"a thread", "wait LOOP boot clone", "run bootstrap!", false, "wait run bootstrap! boot clone"},
		{"Python cut", "LOOP call LOOP run", "f! g h", false, "f! call g h run"},
	} {
		isLoop := func(s string) bool { return s == "LOOP" }
		isEntry := func(s string) bool { return strings.HasSuffix(s, "!") }
		got := Merge(strings.Fields(c.native), isLoop, !c.cut, strings.Fields(c.python), isEntry)
		if g := strings.Join(got, " "); g != c.want {
			t.Errorf("%s: %s, want %s", c.name, g, c.want)
		}
	}
}
