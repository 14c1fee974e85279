// SPDX-License-Identifier: Apache-2.0

package profiler

import (
	"maps"

	"github.com/assaylab/assay/bpf"
)

// site is where in the kernel a thread waits.
type site struct {
	tgid, tid    uint32
	kernelStack  uint64
	state, group uint8
}

func siteOf(k *countKey) site {
	s := site{tgid: k.Tgid, tid: k.Tid, kernelStack: k.KernelStack, state: k.State, group: bpf.KindBlocked}
	if k.Kind == bpf.KindPreempted || k.Kind == bpf.KindPreemptedSampled {
		s.group = bpf.KindPreempted
	}
	return s
}

// imputeUserStacks gives long waits whose user stack was not taken (those of a thread in a storm of short ones, by chance) the user stacks,
// with their labels, of the same thread's other waits at the same place in the kernel, in proportion to how often these are. That is a
// guess, so their time counts as guessed. A wait with no such companion stays as it is.
func (a *aggregate) imputeUserStacks() {
	companions := map[site][]countKey{}
	for k, v := range a.counts {
		if k.Kind != bpf.KindCPU && k.UserStack != 0 && v.Weight > 0 {
			companions[siteOf(&k)] = append(companions[siteOf(&k)], k)
		}
	}
	guessed := map[countKey]*bpf.CountValue{}
	for k, v := range a.counts {
		if k.Flags&bpf.KeyNoUserStack == 0 || k.Kind == bpf.KindCPU || k.KernelStack == 0 {
			continue
		}
		if with := companions[siteOf(&k)]; len(with) > 0 {
			delete(a.counts, k)
			a.spread(k, *v, with, guessed)
		}
	}
	maps.Copy(a.counts, guessed)
}

// spread divides a line over the user stacks of its companions, into guessed. The last one takes what division leaves.
func (a *aggregate) spread(k countKey, v bpf.CountValue, with []countKey, guessed map[countKey]*bpf.CountValue) {
	var total uint64
	for _, c := range with {
		total += a.counts[c].Weight
	}
	left := v
	for i, c := range with {
		share := left
		if i < len(with)-1 {
			w := float64(a.counts[c].Weight) / float64(total)
			part := func(n uint64) uint64 { return uint64(float64(n) * w) }
			share = bpf.CountValue{Count: part(v.Count), Weight: part(v.Weight), Ns: part(v.Ns), RunqNs: part(v.RunqNs)}
		}
		left.Count -= share.Count
		left.Weight -= share.Weight
		left.Ns -= share.Ns
		left.RunqNs -= share.RunqNs
		share.FirstNs = a.counts[c].FirstNs
		to := k
		to.UserStack, to.Labels, to.Syscall, to.image = c.UserStack, c.Labels, c.Syscall, c.image
		to.Flags = k.Flags&^bpf.KeyNoUserStack | bpf.KeyGuessed
		if old := guessed[to]; old != nil {
			old.Count += share.Count
			old.Weight += share.Weight
			old.Ns += share.Ns
			old.RunqNs += share.RunqNs
			continue
		}
		guessed[to] = &share
	}
}
