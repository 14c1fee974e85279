// SPDX-License-Identifier: Apache-2.0

package scenarios

import "time"

// A Spin is work of a known length, added to each operation: what a measurement that finds anything has to find. The zero value is none.
type Spin struct{ steps int }

// spinProbe is how many steps are timed at once, some ten microseconds, and spinProbes how often: the fastest was not disturbed.
const (
	spinProbe  = 15000
	spinProbes = 50
)

// NewSpin is a spin that takes d on a CPU that runs as fast as this one does now. It is a count of steps of less than a nanosecond, since to
// read a clock takes longer than the spins that one wants. Below half a step it is none.
func NewSpin(d time.Duration) Spin {
	if d <= 0 {
		return Spin{}
	}
	fastest := time.Duration(1 << 62)
	for range spinProbes {
		start := time.Now()
		Spin{spinProbe}.Do()
		fastest = min(fastest, time.Since(start))
	}
	return Spin{int(float64(d)/float64(fastest)*spinProbe + 0.5)}
}

// Do works for the length, if nothing else wants the CPU.
func (s Spin) Do() {
	if s.steps > 0 && spinSteps(1, s.steps) == 0 {
		panic("a state of 0") // no step leads there
	}
}

// spinSteps goes n steps from a state. Each needs the last one's result, so that it is the CPU's clock that counts, not its width; each is as
// short as can be, since 3% of a system call may be 3 ns. No state but 0 leads to 0.
func spinSteps(state uint64, n int) uint64 {
	for range n {
		state ^= state << 7
	}
	return state
}
