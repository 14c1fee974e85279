// SPDX-License-Identifier: Apache-2.0

package procmap

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// TestNext compares with the text that the kernel writes of our own mappings.
func TestNext(t *testing.T) {
	f, err := os.Open("/proc/self/maps")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	want := map[uint64]string{}
	for lines := bufio.NewScanner(f); lines.Scan(); {
		fields := strings.Fields(lines.Text())
		var start, end uint64
		if _, err := fmt.Sscanf(fields[0], "%x-%x", &start, &end); err != nil {
			t.Fatal(err)
		}
		if strings.Contains(fields[1], "x") && len(fields) > 5 {
			want[start] = fmt.Sprintf("%x %s", end, fields[5])
		}
	}
	r := NewReader(f)
	for addr := uint64(0); ; {
		m, err := r.Next(addr, Executable)
		if errors.Is(err, unix.ENOENT) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		addr = m.End
		if got := fmt.Sprintf("%x %s", m.End, m.Name); want[m.Start] != "" && got != want[m.Start] {
			t.Errorf("%x: %s, want %s", m.Start, got, want[m.Start])
		}
		delete(want, m.Start)
	}
	delete(want, 0xffffffffff600000) // [vsyscall] is in the text, and no mapping
	if len(want) > 0 {
		t.Errorf("missing: %v", want)
	}
}
