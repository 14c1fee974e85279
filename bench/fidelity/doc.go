// SPDX-License-Identifier: Apache-2.0

// Command fidelity measures how near replays of system calls come to a command, beside how near the command comes to itself.
//
//	sudo go run ./bench/fidelity [flags] -- COMMAND [ARGS...]
//
// A round records the command with `assay capture syscalls` and replays the recording once, so that both meet the same machine; the recording of
// the round before is compared with this one by the same measures. Those are the ratio of the kernel time of all calls, and the timing error:
// the differences of the kernel time of each call's name, added up, in parts of the recorded time.
//
// A round may be disturbed. So there is also a row of medians: for each name the median over the rounds of what a call took, times the median
// of their number.
package main
