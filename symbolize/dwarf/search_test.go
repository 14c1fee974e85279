// SPDX-License-Identifier: Apache-2.0

package dwarf

import "testing"

// TestAfter asks for each address from each hint: also from one that is of no use.
func TestAfter(t *testing.T) {
	for n := range 20 {
		for pc := range 2*n + 2 {
			want := min(n, (pc+2)/2) // value i is 2i
			for hint := range n + 3 {
				asked := 0
				got := after(n, hint, func(i int) bool {
					if i < 0 || i >= n {
						t.Fatalf("of %d, hint %d: asked for %d", n, hint, i)
					}
					asked++
					return 2*i > pc
				})
				if got != want {
					t.Errorf("of %d, address %d, hint %d: %d, want %d", n, pc, hint, got, want)
				}
				if hint == want && asked > 2 {
					t.Errorf("of %d, address %d: looked at %d values though the hint was right", n, pc, asked)
				}
			}
		}
	}
}
