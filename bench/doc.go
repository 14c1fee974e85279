// SPDX-License-Identifier: Apache-2.0

// Package bench runs scenarios in trials and judges them.
//
// An experiment compares arms: the same workload with something beside it, or with something changed. It goes in blocks: each block runs
// every arm once, in random order, so that a slow minute of the machine falls on all of them (randomised complete blocks). Two of the arms are always the
// same, the baseline and A/A, so that the noise of the machine is measured along. Effects are ratios of an arm to the baseline within a block.
//
// A trial is one arm in one block. Its workload runs in a process of its own ([Serve], started by [Launcher]), so that what it uses is told by the
// kernel, what it leaves behind ends with it, and one that hangs is killed.
//
//	arm.go          what differs
//	worker.go       the process that works
//	launch.go       its owner
//	family.go       what it started, and how that ends
//	counters.go     what the kernel counts meanwhile
//	meter.go        what eBPF programs cost
//	trial.go        all of it as one record
//	fingerprint.go  the machine
//	experiment.go   blocks, until the interval is narrow enough or the budget is spent
//	judge.go        records to comparisons
//	tune.go         arms that are settings of knobs, which of them gains what, and the best measured again
package bench
