// SPDX-License-Identifier: Apache-2.0

// Package bpf is the kernel side of Assay and a thin typed face to it.
//
// The programs come in three families, an object each: sample.bpf.c counts what
// runs at each overflow of a perf event, offcpu.bpf.c accounts the time of each
// thread at context switches, sweep.bpf.c looks at all threads at the begin and the end of a
// window. They share the maps of maps.bpf.h and the structs of types.h.
//
// How data leaves the kernel:
//
//   - Counts (samples and waits, by thread and stack) are added up in a table that
//     user space swaps for an empty one and then reads at rest ([Kernel.Swap]).
//   - A stack is known by the hash of its frames. It crosses over once, as a
//     [Stack] record in the ring buffer, when user space has not seen it yet.
//   - Accounts of threads cross when a thread ends (ring buffer) and at the end
//     of the window ([Kernel.Sweep]).
//
// What can't cross is counted, with its time ([Counters]).
package bpf
