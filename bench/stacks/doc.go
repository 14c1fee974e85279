// SPDX-License-Identifier: Apache-2.0

// Command stacks measures how many of the stacks that assay records are whole, over a corpus of programs that are built in every way and
// in every language that it claims to unwind, and of servers as the distribution ships them.
//
//	sudo go run ./bench/stacks [flags] [CASE...]
//
// Each case is a command that works for a given time. Assay records the CPU time of it and of all that it starts; what it says of the
// quality of the stacks in its facts is a row of the table. A case whose compiler or server is missing is a row too, and says so.
//
// With -stops N each program runs in gdb instead, and each CPU sample of it stops it: gdb then looks at the very moment that was sampled, and
// the table shows how many of its frames are ours too. That is for programs of one thread. Each stack that differs is told beside gdb's, with
// the reason as far as the bytes of the program prove it: a frame lies behind a call, or it is none. Not compared are stacks without the same
// leaf, since the program went on between sample and stop, and those in which gdb is proved wrong; they are counted.
//
// With -perf, too, it is perf record that looks, which unwinds from a copy of the stack that it takes at the same moment:
//
//	sudo go run ./bench/stacks -stops 300 -perf dwarf,65528 [CASE...]
package main
