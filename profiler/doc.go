// SPDX-License-Identifier: Apache-2.0

// Package profiler records where the time of a machine, or of a part of it, goes: on the CPU, in
// run queues and in waits.
//
// A recording goes through these stages, a file or two each:
//
//	options.go    what is asked for, checked
//	target.go     what is recorded: processes, a cgroup, a name, a command that it starts
//	sampler.go    one perf event a CPU, with the eBPF program on it
//	sideband.go   one dummy event a CPU that tells of fork, exec, mmap and exit
//	process.go    the history of each address space, from that and from /proc (maps.go)
//	object.go     the files behind mappings, opened while they can be
//	unwinder.go   what the kernel side is told of them; tables.go: their unwind tables; needed.go: those of libraries to come
//	aggregate.go  stacks, counts and accounts as they come from the kernel
//	emit.go       all of it as one pprof profile; wall.go, scale.go: how time closes
//	facts.go      what the profile says of how it was measured
//
// The profile that comes out holds addresses and mappings with build IDs; it has no names. Package
// symbolize gives names to it, and package profiler/annotate then says what only names can tell: why a
// thread waited, and whether its stack is whole.
//
// Words: a sample is one overflow of a perf event; a stack its frames, leaf first; a wait is the time from a thread's leaving
// its CPU to its wake-up (off-CPU), or, if it could have run on, a preemption; run-queue wait is the time from the wake-up or
// preemption to the CPU; a window is the time that is accounted.
package profiler
