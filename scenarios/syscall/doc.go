// SPDX-License-Identifier: Apache-2.0

// Package syscall has the kinds of work that are system calls: syscall/storm makes one call over and over, syscall/mix several, drawn by
// weight.
//
// Words: a call is a pattern of system calls that has a name, such as "open" for openat, fstat and close; an operation is one round of
// it; a pattern is a call made ready for one thread; a partner is the second thread of a call that needs one to answer (futex, pipe,
// socketpair). The threads that were asked for all drive: partners come on top, and end with the run.
//
// In order: Prepare makes a folder with a file for each thread, if the calls need files (folder.go). Run starts the threads, which open
// their patterns, start together, and repeat until the time is over (crew.go, worker.go). What a thread works on is its own, so
// that threads meet only where the kernel makes them.
//
// Calls whose operation takes some microseconds (spawn and those with a partner) have the latency of each operation in the outcome.
// The others are as short as reading the clock: they have no latency, and their threads read the clock once a batch of operations.
package syscall
