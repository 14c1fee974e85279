// SPDX-License-Identifier: Apache-2.0

// Package golang finds out where the threads of a Go program keep the goroutine that they run, and where that keeps its labels
// (runtime/pprof.Do) and, off its stack, its registers.
//
// The way there is that of the runtime's own CPU profiler (sigprof in runtime/proc.go): a thread-local variable leads to a g, that to its
// m, that to the goroutine that it runs (curg), and that to its labels. Where the fields lie is known for each version from go1.20 to
// go1.26; what later ones have, their debug information tells.
package golang
