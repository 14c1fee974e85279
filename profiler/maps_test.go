// SPDX-License-Identifier: Apache-2.0

package profiler

import (
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParseMaps(t *testing.T) {
	const text = `55d0c0a00000-55d0c0a01000 r--p 00000000 fe:00 1234                       /bin/a
55d0c0a01000-55d0c0a02000 r-xp 00001000 fe:00 1234                       /bin/a
7f0000000000-7f0000001000 rwxp 00000000 00:00 0 
7f0000002000-7f0000003000 r-xp 00000000 fe:00 99                         /tmp/odd\012name (deleted)
`
	got, err := parseMaps(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	want := []mapping{
		{start: 0x55d0c0a01000, end: 0x55d0c0a02000, off: 0x1000, path: "/bin/a", inode: 1234},
		{start: 0x7f0000000000, end: 0x7f0000001000},
		{start: 0x7f0000002000, end: 0x7f0000003000, path: "/tmp/odd\nname (deleted)", inode: 99},
	}
	if d := cmp.Diff(want, got, cmp.AllowUnexported(mapping{})); d != "" {
		t.Error(d)
	}
	for _, bad := range []string{"", "x", "1-2 r-xp", "5-4 r-xp 0 0:0 0", "g-h r-xp 0 0:0 0"} {
		if _, _, err := parseMapsLine(bad); err == nil {
			t.Errorf("%q: no error", bad)
		}
	}
}

// The ioctl and the text of the same process must tell the same mappings.
func TestQueryMapsAgreesWithText(t *testing.T) {
	f, err := os.Open("/proc/self/maps")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	text, err := parseMaps(f)
	if err != nil {
		t.Fatal(err)
	}
	text = slices.DeleteFunc(text, func(m mapping) bool { return m.path == "[vsyscall]" }) // a gate, no mapping
	asked, err := readMaps(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	for i := range asked {
		asked[i].buildID = ""
	}
	if d := cmp.Diff(text, asked, cmp.AllowUnexported(mapping{})); d != "" {
		t.Error(d)
	}
}

func FuzzParseMaps(f *testing.F) {
	f.Add("55d0c0a01000-55d0c0a02000 r-xp 00001000 fe:00 1234   /bin/a\n")
	f.Add("1-2 r-xp 0 0:0 0 \\012")
	f.Fuzz(func(t *testing.T, text string) {
		maps, err := parseMaps(strings.NewReader(text))
		for _, m := range maps {
			if err == nil && m.end <= m.start {
				t.Errorf("mapping %x-%x is empty", m.start, m.end)
			}
		}
	})
}
