// SPDX-License-Identifier: Apache-2.0

package scenarios

import (
	"strings"
	"testing"
	"time"
)

var testKind = Kind{
	Name: "test/kind",
	Params: []Param{
		{Name: "threads", Type: Int, Default: "1", Min: 1, Max: 64},
		{Name: "rate", Type: Float, Default: "0.5"},
		{Name: "pause", Type: Duration, Default: "10ms", Min: 0, Max: 60},
		{Name: "size", Type: Size, Default: "16K", Min: 1, Max: 1 << 30},
		{Name: "mode", Type: Choice, Default: "a", Choices: []string{"a", "b"}},
		{Name: "name", Type: Text},
		{Name: "sync", Type: Flag, Default: "false"},
	},
}

// TestCheck completes parameters with defaults, and refuses what is unknown or out of bounds, with what was expected.
func TestCheck(t *testing.T) {
	for _, c := range []struct {
		given map[string]string
		want  string // part of the error; "" for none
	}{
		{nil, ""},
		{map[string]string{"threads": "64", "rate": "-1e9", "pause": "1m", "size": "1G", "mode": "b", "name": "x = y", "sync": "true"}, ""},
		{map[string]string{"threads": "0"}, `parameter threads: "0": want 1 to 64`},
		{map[string]string{"threads": "65"}, `want 1 to 64`},
		{map[string]string{"threads": "two"}, `want a whole number`},
		{map[string]string{"threads": ""}, `want a whole number`},
		{map[string]string{"rate": "NaN"}, `want a number`},
		{map[string]string{"pause": "10"}, `want a duration such as`},
		{map[string]string{"pause": "61s"}, `want 0s to 1m0s`},
		{map[string]string{"size": "16X"}, `want a size such as`},
		{map[string]string{"size": "-1"}, `want a size such as`},
		{map[string]string{"size": "KK"}, `want a size such as`},
		{map[string]string{"size": "9999999999999G"}, `want a size such as`},
		{map[string]string{"mode": "c"}, `want one of a, b`},
		{map[string]string{"sync": "maybe"}, `want true or false`},
		{map[string]string{"colour": "red"}, `test/kind has none of that name; want one of threads, rate`},
	} {
		_, err := testKind.Check(c.given)
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%v: %v, want %q", c.given, err, c.want)
		}
	}
}

// TestValues reads what was checked, in its type.
func TestValues(t *testing.T) {
	v, err := testKind.Check(map[string]string{"threads": "2", "sync": "1"})
	if err != nil {
		t.Fatal(err)
	}
	if v.Int("threads") != 2 || v.Float("rate") != 0.5 || v.Duration("pause") != 10*time.Millisecond || v.Size("size") != 16<<10 ||
		v.Text("mode") != "a" || v.Text("name") != "" || !v.Flag("sync") {
		t.Errorf("%v", v)
	}
}

// TestPath wants the same file for whoever works in another folder.
func TestPath(t *testing.T) {
	folder := t.TempDir()
	t.Chdir(folder)
	kind := Kind{Name: "test/paths", Params: []Param{{Name: "file", Type: Path}}}
	for given, want := range map[string]string{"": "", "/a/../b": "/b", "x.trace": folder + "/x.trace"} {
		v, err := kind.Check(map[string]string{"file": given})
		if err != nil || v.Text("file") != want {
			t.Errorf("%q: %q, %v, want %q", given, v.Text("file"), err, want)
		}
	}
}

// FuzzCheck never panics, and what it accepts can be read.
func FuzzCheck(f *testing.F) {
	f.Add("1", "0.5", "10ms", "16K", "true")
	f.Add("-1", "1e308", "9999h", "1G", "T")
	f.Fuzz(func(t *testing.T, threads, rate, pause, size, flag string) {
		v, err := testKind.Check(map[string]string{"threads": threads, "rate": rate, "pause": pause, "size": size, "sync": flag})
		if err != nil {
			return
		}
		if n := v.Int("threads"); n < 1 || n > 64 {
			t.Errorf("%q threads are %d", threads, n)
		}
		if n := v.Size("size"); n < 1 || n > 1<<30 {
			t.Errorf("size %q is %d", size, n)
		}
		if d := v.Duration("pause"); d < 0 || d > time.Minute {
			t.Errorf("pause %q is %s", pause, d)
		}
		v.Float("rate")
		v.Flag("sync")
	})
}
