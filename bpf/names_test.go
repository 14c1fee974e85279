// SPDX-License-Identifier: Apache-2.0

package bpf

import (
	"bufio"
	"fmt"
	"os"
	"strings"
	"testing"
)

// TestKernelNames compares with /proc/kallsyms: for the address of each hundredth function, one of the names that the table has for it.
func TestKernelNames(t *testing.T) {
	names, addresses := functionNames(t)
	got, err := KernelNames(append([]uint64{1, 1 << 63}, addresses...))
	if err != nil {
		t.Fatal(err)
	}
	if got[0] != "" || got[1] != "" {
		t.Errorf("addresses outside of the kernel have the names %q", got[:2])
	}
	for i, address := range addresses {
		if !names[address][got[i+2]] {
			t.Errorf("%#x is %q, want one of %v", address, got[i+2], names[address])
		}
	}
}

// functionNames reads the running kernel's table: the names at each address, in the form of KernelNames, and some of the addresses.
func functionNames(t *testing.T) (map[uint64]map[string]bool, []uint64) {
	t.Helper()
	table, err := os.Open("/proc/kallsyms")
	if err != nil {
		t.Fatal(err)
	}
	defer table.Close()
	names := map[uint64]map[string]bool{}
	var some []uint64
	for lines := bufio.NewScanner(table); lines.Scan(); {
		var address uint64
		var typ, name string
		if n, err := fmt.Sscanf(lines.Text(), "%x %s %s", &address, &typ, &name); n != 3 {
			t.Fatalf("%q: %v", lines.Text(), err)
		}
		// The kernel's own namer doesn't say [bpf] of eBPF's programs and images.
		if _, module, ok := strings.Cut(lines.Text(), "\t"); ok && module != "[bpf]" {
			name += " " + module
		}
		if names[address] == nil {
			names[address] = map[string]bool{}
			if strings.Contains("tT", typ) && len(names)%100 == 0 {
				some = append(some, address)
			}
		}
		names[address][name] = true
	}
	if len(some) < 100 {
		t.Fatalf("only %d functions: are addresses hidden?", len(some))
	}
	return names, some
}
