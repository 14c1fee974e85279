// SPDX-License-Identifier: Apache-2.0

package load

import (
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// used is the CPU time of this process.
func used(t *testing.T) time.Duration {
	t.Helper()
	var r unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &r); err != nil {
		t.Fatal(err)
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}

// TestDuty wants threads that work for a fifth of the time to take no more CPU than that, by the kernel's accounts; what a noisy
// neighbour takes makes it less. A tenth of the time is allowed for waking, the clock and the rest of the process.
func TestDuty(t *testing.T) {
	w := prepare(t, "load/cpu", "threads=3", "duty=0.2", "period=20ms")
	before := used(t)
	o, err := w.Run(t.Context(), 400*ms)
	if err != nil || o.Operations == 0 || o.Elapsed < 400*ms {
		t.Fatalf("%+v, %v", o, err)
	}
	if took, most := used(t)-before, 3*o.Elapsed*3/10; took > most {
		t.Errorf("took %v of CPU time, want at most %v", took, most)
	}
}

// TestBlock keeps the block of work what it is: results of runs years apart are compared. What it ends in was computed in Python.
func TestBlock(t *testing.T) {
	if got, want := block(1), uint64(0xd92a373eb079d8dd); got != want {
		t.Errorf("a block ends in %#x, want %#x", got, want)
	}
}

// TestCycle follows the pointers by hand: each line is met once before the first comes again.
func TestCycle(t *testing.T) {
	for _, lines := range []int{2, 3, 1000} {
		c := &chaseLoad{threads: 1, lines: lines, seed: 7}
		if err := c.Prepare(t.Context()); err != nil {
			t.Fatal(err)
		}
		at, n := follow(c.memory, 0), 1
		for at != 0 && n <= lines {
			at, n = follow(c.memory, at), n+1
		}
		if n != lines {
			t.Errorf("the cycle of %d lines has %d", lines, n)
		}
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestMemoryKinds(t *testing.T) {
	o := run(t, 50*ms, "load/memory", "threads=2", "size=64K")
	if o.Operations == 0 || o.Values["copied_bytes"] != float64(o.Operations)*(64<<10) {
		t.Errorf("%d operations copied %v bytes", o.Operations, o.Values["copied_bytes"])
	}
	o = run(t, 50*ms, "load/chase", "size=64K")
	if most := float64(o.Elapsed.Nanoseconds()) / float64(o.Operations*hops); o.Values["hop_ns"] <= 0 || o.Values["hop_ns"] > most*1.01 {
		t.Errorf("a hop took %v ns, but there was only time for %v", o.Values["hop_ns"], most)
	}
}
