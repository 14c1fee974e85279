// SPDX-License-Identifier: Apache-2.0

package main

/*
// turn_in_c uses all registers that C has, among them that in which Go keeps its g on arm64.
__attribute__((noinline)) static void turn_in_c(long turns)
{
	volatile unsigned long sink = 0;

#ifdef __aarch64__
	__asm__ volatile("mov x28, xzr" : : : "x28");
#endif
	for (long i = 0; i < turns; i++)
		sink = sink * 6364136223846793005UL + 1442695040888963407UL;
}
*/
import "C"

import (
	"time"

	"github.com/assaylab/assay/ci/kernels/report"
)

func init() { works["calls"] = calls }

//go:noinline
func sixty(turns int) {
	C.turn_in_c(C.long(turns))
}

//go:noinline
func forty(turns int) {
	for range turns {
		sink = sink*6364136223846793005 + 1442695040888963407
	}
}

// calls computes in C and in Go by turns.
func calls(until time.Time) (map[string]report.Span, error) {
	return compute(until, []part{{"main.sixty", sixty, 6 * time.Millisecond}, {"main.forty", forty, 4 * time.Millisecond}})
}
