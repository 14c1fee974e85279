// SPDX-License-Identifier: Apache-2.0

package bpf

import "testing"

// TestSighted wants the verifier to take the sweeps that read user memory. What it refuses is replaced by their blind twins, so that a stack
// that grew too big would show only as waits without user stacks.
func TestSighted(t *testing.T) {
	k, err := Load(Config{OffCPU: true, Tables: true, GoLabels: true, Wakers: true})
	if err != nil {
		t.Fatal(err)
	}
	if k.Blind() {
		t.Error("sweeps can't read user memory")
	}
	if err := k.Close(); err != nil {
		t.Error(err)
	}
}
