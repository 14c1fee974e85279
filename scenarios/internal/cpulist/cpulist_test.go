// SPDX-License-Identifier: Apache-2.0

package cpulist_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/assaylab/assay/scenarios/internal/cpulist"
)

// TestSets has each set as a list and as a mask.
func TestSets(t *testing.T) {
	for _, c := range []struct {
		cpus       []int
		list, mask string
	}{
		{nil, "", "0"},
		{[]int{0}, "0", "1"},
		{[]int{0, 1}, "0-1", "3"},
		{[]int{0, 1, 2, 7, 31}, "0-2,7,31", "80000087"},
		{[]int{0, 1, 32}, "0-1,32", "1,00000003"},
		{[]int{96, 1023}, "96,1023", "80000000" + strings.Repeat(",00000000", 27) + ",00000001,00000000,00000000,00000000"},
	} {
		if cpus, err := cpulist.Parse(c.list); err != nil || !slices.Equal(cpus, c.cpus) {
			t.Errorf("list %q: %v, %v", c.list, cpus, err)
		}
		if cpus, err := cpulist.ParseMask(c.mask); err != nil || !slices.Equal(cpus, c.cpus) {
			t.Errorf("mask %q: %v, %v", c.mask, cpus, err)
		}
		if list, mask := cpulist.Format(c.cpus), cpulist.FormatMask(c.cpus); list != c.list || mask != c.mask {
			t.Errorf("%v: list %q, mask %q; want %q, %q", c.cpus, list, mask, c.list, c.mask)
		}
	}
	if cpus, err := cpulist.Parse("3,1-2,2"); err != nil || !slices.Equal(cpus, []int{1, 2, 3}) {
		t.Errorf("out of order: %v, %v", cpus, err)
	}
	if cpus, err := cpulist.ParseMask("00000000,00000003"); err != nil || !slices.Equal(cpus, []int{0, 1}) {
		t.Errorf("zeros before: %v, %v", cpus, err)
	}
}

// TestRefused has what is neither.
func TestRefused(t *testing.T) {
	for _, list := range []string{"x", "1-", "-1", "3-1", "0-1024", ",", "0,,1", strings.Repeat("0-1023,", 4) + "0"} {
		if cpus, err := cpulist.Parse(list); err == nil {
			t.Errorf("list %.20q: %v", list, cpus)
		}
	}
	for _, mask := range []string{"", "x", "1,", "100000000", "-1", strings.Repeat("0,", 32) + "1"} {
		if cpus, err := cpulist.ParseMask(mask); err == nil {
			t.Errorf("mask %.20q: %v", mask, cpus)
		}
	}
}
