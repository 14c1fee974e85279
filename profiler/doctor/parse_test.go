// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
)

func TestParseCPUs(t *testing.T) {
	for list, want := range map[string][]int{
		"0":         {0},
		"0-3":       {0, 1, 2, 3},
		"0-1,4,6-7": {0, 1, 4, 6, 7},
	} {
		got, err := parseCPUs(list)
		if err != nil {
			t.Errorf("%q: %v", list, err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%q:\n%s", list, diff)
		}
	}
	for _, list := range []string{"", "a", "1-", "3-1", "-1", "0,", "0-99999", "+1"} {
		if got, err := parseCPUs(list); err == nil {
			t.Errorf("%q: got %v, want an error", list, got)
		}
	}
}

func FuzzParseCPUs(f *testing.F) {
	for _, list := range []string{"0", "0-3,8", "0-16383", "1-", ",,", "3-1"} {
		f.Add(list)
	}
	f.Fuzz(func(t *testing.T, list string) {
		cpus, err := parseCPUs(list)
		if err == nil && len(cpus) == 0 {
			t.Error("no CPU and no error")
		}
		if len(cpus) > 2*maxCPUs {
			t.Errorf("%d CPUs", len(cpus))
		}
		for _, cpu := range cpus {
			if cpu < 0 || cpu >= maxCPUs {
				t.Errorf("CPU %d", cpu)
			}
		}
	})
}

func FuzzParseMounts(f *testing.F) {
	f.Add("22 27 0:21 / /proc rw,relatime - proc proc rw\n36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw,errors=continue\n")
	f.Add("1 2 3 / /a - b")
	f.Add(" - ")
	f.Fuzz(func(t *testing.T, text string) {
		mounts, err := parseMounts(text)
		if err != nil {
			return
		}
		if len(mounts) > strings.Count(text, "\n")+1 {
			t.Errorf("%d mounts out of %q", len(mounts), text)
		}
		for _, m := range mounts {
			if m.point == "" || m.kind == "" {
				t.Errorf("%+v out of %q", m, text)
			}
		}
	})
}

func FuzzLockdownLevel(f *testing.F) {
	for _, text := range []string{"none [integrity] confidentiality", "[none]", "][", "[", ""} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		level, ok := lockdownLevel(text)
		if ok && !strings.Contains(text, "["+level+"]") {
			t.Errorf("level %q out of %q", level, text)
		}
	})
}

func FuzzOneLine(f *testing.F) {
	for _, text := range []string{"plain", "two\nlines", "\x1b[2J", "\xff\xfe", strings.Repeat("x ", 300)} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		got := oneLine(text)
		if !utf8.ValidString(got) || utf8.RuneCountInString(got) > maxFound || strings.ContainsAny(got, "\n\r\t\x1b") {
			t.Errorf("%q became %q", text, got)
		}
	})
}
