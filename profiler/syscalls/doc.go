// SPDX-License-Identifier: Apache-2.0

// Package syscalls records the system calls of processes, of a cgroup or of a command, one by one: [Record].
//
// A program at the entry of each call notes its arguments with the thread, and another sends them with the result when the call ends.
// Of the memory that a call is about only what signatures.go says is taken: paths, sizes, and a few values of at most 24 bytes. What is read or written is never
// looked at.
package syscalls
