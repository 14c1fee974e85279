// SPDX-License-Identifier: Apache-2.0

// Command peers measures assay beside perf and bpftrace: what each costs, and what each makes of a machine that is hard to record.
//
//	sudo go run ./bench/peers [flags] [BENCHMARK...]
//
// A benchmark has arms: assay in some mode, a peer that does the same job, nothing at all. Each round runs all arms once, in an order drawn
// from a seed that is printed, so that a slow minute of the machine falls on all of them. The tables show the median of the rounds with
// the lowest and highest; two arms are compared by the median of the ratios within a round, with a 95% interval by the paired bootstrap.
// A claim is a comparison with a limit: reached or not, and how far from it.
//
// Three meters see all arms alike and belong to none of them: the kernel's statistics of eBPF programs (BPF_ENABLE_STATS), the resource
// usage that the kernel gives to whoever waits for a process, and what the load says of itself. What only assay can tell (its losses,
// the size of its maps) is read from its JSON summary and its profile, as any user would.
package main
