// SPDX-License-Identifier: Apache-2.0

// Command coverage tests the intervals of package bench on the machine: experiments whose truth is known, many times over.
//
//	sudo go run ./bench/coverage -o aa.jsonl [flags]
//	sudo go run ./bench/coverage -slowdown 0.03 -duration 25ms -warmup 10ms -o planted.jsonl [flags]
//
// Without a slowdown each experiment compares the baseline with itself, for a number of blocks that was fixed before, and it is counted how
// often the intervals hold 1: both that of the fixed number of blocks and the one that may be looked at after each block, at its end and
// at all of its looks. The fixed one is to hold it in 95 of 100, the other in 95 at least, at all looks.
//
// With a slowdown each operation of an arm does work of known length more, and it is counted how often that is found before an experiment with the
// default precision and budget ends. To save time an experiment ends as soon as it has found it. Many short trials find it sooner than few long
// ones: what disturbs a machine lasts, and is the same for the trials of a block only if that is short.
//
// Experiments go through the scenarios in turn. Each is a line in the file of -o when it has ended; called again with that file, the program goes
// on with the next, so that the whole can be measured in pieces. The report is of all that is in the file.
package main
