// SPDX-License-Identifier: Apache-2.0

package dwarf

import "testing"

// TestCharge: a value that grows drives out those that were used less recently, and is itself kept.
func TestCharge(t *testing.T) {
	var dropped []string
	c := newCache[int](10, func(v string) { dropped = append(dropped, v) })
	c.put(1, "one", 4)
	c.put(2, "two", 4)
	c.charge(2, 3)
	if len(dropped) != 1 || dropped[0] != "one" {
		t.Errorf("dropped %v, want one", dropped)
	}
	c.charge(2, 100)
	c.charge(1, 100) // isn't there
	if v, ok := c.get(2); !ok || v != "two" || c.used != 107 {
		t.Errorf("%q, %t, %d bytes used", v, ok, c.used)
	}
}
