// SPDX-License-Identifier: Apache-2.0

package caps

import (
	"os"
	"strconv"
	"strings"
	"testing"
)

// The kernel's own text is the witness for what the system calls say.
func TestSetsAgreeWithStatus(t *testing.T) {
	status, err := os.ReadFile("/proc/thread-self/status")
	if err != nil {
		t.Fatal(err)
	}
	for name, read := range map[string]func() (Set, error){"CapEff:": Effective, "CapPrm:": Permitted, "CapBnd:": Bounding} {
		got, err := read()
		if err != nil {
			t.Fatal(err)
		}
		_, rest, _ := strings.Cut(string(status), name)
		want, err := strconv.ParseUint(strings.Fields(rest)[0], 16, 64)
		if err != nil {
			t.Fatal(err)
		}
		if got != Set(want) || got == 0 {
			t.Errorf("%s got %016x, want %016x", name, uint64(got), want)
		}
	}
}
