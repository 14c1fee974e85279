// SPDX-License-Identifier: Apache-2.0

package syscall

import (
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// allowed is where the calling thread may run.
func allowed(t *testing.T) unix.CPUSet {
	t.Helper()
	var set unix.CPUSet
	if err := unix.SchedGetaffinity(0, &set); err != nil {
		t.Fatal(err)
	}
	return set
}

// TestTogether wants a driver and its partner on the same one CPU, each driver on the next; without being asked, all where we may run.
func TestTogether(t *testing.T) {
	wantNoLeaks(t)
	all := allowed(t)
	for _, test := range []struct {
		together bool
		cpus     int
	}{{false, all.Count()}, {true, 1}} {
		const threads = 3
		var drivers, partners [threads]unix.CPUSet
		c := crew{threads: threads, together: test.together}
		_, err := c.run(t.Context(), time.Millisecond, func(i int, where site) (pattern, error) {
			drivers[i] = allowed(t)
			var partner sync.WaitGroup
			where.startPartner(&partner, func() { partners[i] = allowed(t) }, func() {})
			partner.Wait()
			return &fake{}, nil
		})
		if err != nil {
			t.Fatal(err)
		}
		for i := range threads {
			if drivers[i].Count() != test.cpus || drivers[i] != partners[i] {
				t.Errorf("together: %v: driver %d on %d CPUs, want %d and its partner on the same: %v", test.together, i, drivers[i].Count(), test.cpus,
					drivers[i] == partners[i])
			}
		}
		if all.Count() > 1 && (drivers[0] == drivers[1]) == test.together {
			t.Errorf("together: %v: drivers 0 and 1 on the same CPUs: %v", test.together, drivers[0] == drivers[1])
		}
	}
	if allowed(t) != all {
		t.Error("a thread that was kept to a CPU is back among the others")
	}
}
