// SPDX-License-Identifier: Apache-2.0

// Package truth holds programs that know the truth about themselves, for tests of what a profiler says of them.
//
// Each program in testdata computes or waits in named functions, for a bounded time, and prints at its end how much it did of each, by
// the kernel's own clocks: lines KEY=INTEGER, where a key is a unit with a name behind it.
//
//	cpu_ns.NAME            CPU time in the function NAME, by CLOCK_THREAD_CPUTIME_ID
//	least_ns.NAME          at least, and at most, this long was waited in NAME: what passed by CLOCK_MONOTONIC,
//	most_ns.NAME           with and without what the thread ran or stood in a run queue meanwhile
//	longest_ns.NAME        the longest of these waits
//	tid.NAME               the thread NAME; of its whole life until then:
//	oncpu_ns.NAME          its CPU time
//	queued_ns.NAME         its time in run queues, by its schedstat
//
// The first comment in a program says what it does, what arguments it takes, and what else it says.
//
// Pieces of work have random lengths, so that no sampling frequency can fall into step with them. The programs keep frame pointers and
// make system calls without the C library, so that each function is on its stacks.
//
// Programs that need no compiler where they run, for other kernels and architectures, are in ci/kernels/truth.
package truth
