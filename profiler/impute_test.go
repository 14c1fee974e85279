// SPDX-License-Identifier: Apache-2.0

package profiler

import (
	"testing"

	"github.com/assaylab/assay/bpf"
)

func TestImputeUserStacks(t *testing.T) {
	wait := func(user, kernel uint64, flags uint16) countKey {
		return countKey{CountKey: bpf.CountKey{Tgid: 1, Tid: 1, Kind: bpf.KindBlocked, State: bpf.StateInterruptible, UserStack: user, KernelStack: kernel, Flags: flags}}
	}
	a := newAggregate(nil, nil, nil)
	a.counts[wait(10, 5, 0)] = &bpf.CountValue{Count: 3, Weight: 3, Ns: 30}
	a.counts[wait(11, 5, 0)] = &bpf.CountValue{Count: 1, Weight: 1, Ns: 10}
	a.counts[wait(0, 5, bpf.KeyNoUserStack)] = &bpf.CountValue{Count: 8, Weight: 8, Ns: 1001, RunqNs: 4}
	a.counts[wait(0, 6, bpf.KeyNoUserStack)] = &bpf.CountValue{Count: 1, Weight: 1, Ns: 7}
	a.imputeUserStacks()
	var ns, runq, count uint64
	for k, v := range a.counts {
		ns, runq, count = ns+v.Ns, runq+v.RunqNs, count+v.Count
		if k.Flags&bpf.KeyGuessed != 0 && k.UserStack == 10 && (v.Ns < 750 || v.Ns > 751) {
			t.Errorf("stack 10 got %d ns of 1001, want three quarters", v.Ns)
		}
	}
	if ns != 1048 || runq != 4 || count != 13 {
		t.Errorf("sums %d ns, %d ns queued, %d waits: changed by the guess", ns, runq, count)
	}
	if a.counts[wait(0, 5, bpf.KeyNoUserStack)] != nil {
		t.Error("a wait with companions kept its gap")
	}
	if a.counts[wait(0, 6, bpf.KeyNoUserStack)] == nil {
		t.Error("a wait without a companion got a stack")
	}
}
