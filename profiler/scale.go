// SPDX-License-Identifier: Apache-2.0

package profiler

import (
	"cmp"
	"slices"

	"github.com/google/pprof/profile"

	"github.com/assaylab/assay/bpf"
)

// threadKey names a thread. A number that is used twice in a window adds up.
type threadKey struct{ tgid, tid uint32 }

// scales brings what was sampled of a thread to what was accounted of it exactly.
//
// Short waits of a busy switcher carry a stack with a known probability and count by its inverse, which is unbiased (Horvitz and
// Thompson). Their sum still misses the exact total by the luck of the draw, so each thread's short waits are brought to its
// total by one common factor (post-stratification, Holt and Smith 1979). The shares between stacks stay as estimated; the
// bias that the factor brings is of the order of one over the number of sampled waits, and sums close.
type scales struct {
	threads map[threadKey]*threadScale
}

// threadScale is what one thread's counts are multiplied with, and what is left over.
type threadScale struct {
	time                   bpf.ThreadTime
	known                  bool // an account was received
	comm                   string
	off, queued, preempted float64 // for sampled waits
	perSample              float64 // on-CPU nanoseconds that a CPU sample stands for
	stacks                 sums
}

// sums are nanoseconds of a thread that have stacks, before scaling.
type sums struct {
	off, offSampled             float64
	queued, queuedSampled       float64
	preempted, preemptedSampled float64
	samples                     float64
}

func newScales(threads []bpf.Thread, counts map[countKey]*bpf.CountValue) *scales {
	s := &scales{threads: map[threadKey]*threadScale{}}
	for _, t := range threads {
		ts := s.get(t.Tgid, t.Tid)
		ts.known, ts.comm = true, t.Comm
		addTime(&ts.time, &t.Time)
	}
	for k, v := range counts {
		ts := s.get(k.Tgid, k.Tid)
		ns, queued := float64(v.Ns), float64(v.RunqNs)
		switch k.Kind {
		case bpf.KindCPU:
			ts.stacks.samples += float64(v.Count)
		case bpf.KindBlocked:
			ts.stacks.off += ns
			ts.stacks.queued += queued
		case bpf.KindSampled:
			ts.stacks.offSampled += ns
			ts.stacks.queuedSampled += queued
		case bpf.KindPreempted:
			ts.stacks.preempted += ns
		case bpf.KindPreemptedSampled:
			ts.stacks.preemptedSampled += ns
		}
	}
	for _, ts := range s.threads {
		ts.settle()
	}
	return s
}

func (s *scales) get(tgid, tid uint32) *threadScale {
	k := threadKey{tgid, tid}
	ts := s.threads[k]
	if ts == nil {
		ts = &threadScale{}
		s.threads[k] = ts
	}
	return ts
}

func (s *scales) of(k countKey) *threadScale { return s.threads[threadKey{k.Tgid, k.Tid}] }

// settle computes the factors. Without an account of the thread there is nothing to close on.
func (ts *threadScale) settle() {
	ts.off, ts.queued, ts.preempted = 1, 1, 1
	if !ts.known {
		return
	}
	factor := func(exact uint64, estimated float64) float64 {
		if estimated == 0 {
			return 1
		}
		return float64(exact) / estimated
	}
	ts.off = factor(ts.time.Sampled, ts.stacks.offSampled)
	ts.queued = factor(ts.time.QueuedSampled, ts.stacks.queuedSampled)
	ts.preempted = factor(ts.time.PreemptedSampled, ts.stacks.preemptedSampled)
	if ts.stacks.samples > 0 {
		ts.perSample = float64(ts.time.Oncpu) / ts.stacks.samples
	}
}

// unaccounted counts the threads that have waits but no account, and adds up these waits: the kernel told of their switches and
// not of themselves, or their account was lost.
func (s *scales) unaccounted() (threads int, ns int64) {
	for _, ts := range s.threads {
		k := &ts.stacks
		if sum := k.off + k.offSampled + k.queued + k.queuedSampled + k.preempted + k.preemptedSampled; !ts.known && sum > 0 {
			threads++
			ns += round(sum)
		}
	}
	return threads, ns
}

// offTotal is the time that a thread was blocked, in all states.
func offTotal(t *bpf.ThreadTime) (sum uint64) {
	for _, ns := range t.Off {
		sum += ns
	}
	return sum
}

func addTime(sum, t *bpf.ThreadTime) {
	sum.Oncpu += t.Oncpu
	sum.RunqWoken += t.RunqWoken
	sum.RunqPreempted += t.RunqPreempted
	for i := range sum.Off {
		sum.Off[i] += t.Off[i]
	}
	sum.Waits += t.Waits
	sum.BelowMin += t.BelowMin
	sum.Sampled += t.Sampled
	sum.QueuedSampled += t.QueuedSampled
	sum.PreemptedSampled += t.PreemptedSampled
	sum.Switches += t.Switches
}

// rest is the time of a thread that no stack stands for.
type rest struct{ off, queued, preempted, cpu int64 }

func (ts *threadScale) rest() rest {
	left := func(total uint64, parts ...float64) int64 {
		r := float64(total)
		for _, p := range parts {
			r -= p
		}
		return max(0, int64(r))
	}
	r := rest{
		off:       left(offTotal(&ts.time), ts.stacks.off, ts.stacks.offSampled*ts.off),
		queued:    left(ts.time.RunqWoken, ts.stacks.queued, ts.stacks.queuedSampled*ts.queued),
		preempted: left(ts.time.RunqPreempted, ts.stacks.preempted, ts.stacks.preemptedSampled*ts.preempted),
	}
	if ts.stacks.samples == 0 {
		r.cpu = int64(ts.time.Oncpu)
	}
	return r
}

// addRests puts the time that has no stack into the profile, thread by thread, so that its sums are the
// exact totals.
func (e *emitter) addRests(s *scales) {
	for _, k := range sortedThreads(s) {
		ts := s.threads[k]
		if !ts.known {
			continue
		}
		key := countKey{CountKey: bpf.CountKey{Tgid: k.tgid, Tid: k.tid, Kind: bpf.KindBlocked, Cpu: bpf.NoCPU, Syscall: bpf.NoSyscall}}
		copy(key.Comm[:15], ts.comm)
		r := ts.rest()
		// Roundings of a few nanoseconds a stack are no time.
		const noise = 10000
		put := func(ns int64, name string, v values, l labels) {
			if ns > noise {
				e.quality.add(verdict{quality: None}, ns)
				e.sample(key, []*profile.Location{e.made(name)}, v, l)
			}
		}
		put(r.off, "[waits without a stack]", values{off: r.off, wall: r.off}, labels{state: "off"})
		put(r.queued, "[run queue without a stack]", values{runq: r.queued, wall: r.queued}, labels{state: "runnable", runqueue: "woken"})
		put(r.preempted, "[run queue without a stack]", values{runq: r.preempted, wall: r.preempted}, labels{state: "runnable", runqueue: "preempted"})
		if e.rec.opts.has(Wall) {
			put(r.cpu, "[on CPU without a sample]", values{wall: r.cpu}, labels{state: "running"})
		}
	}
}

func sortedThreads(s *scales) []threadKey {
	keys := make([]threadKey, 0, len(s.threads))
	for k := range s.threads {
		keys = append(keys, k)
	}
	slices.SortFunc(keys, func(a, b threadKey) int { return cmp.Or(cmp.Compare(a.tgid, b.tgid), cmp.Compare(a.tid, b.tid)) })
	return keys
}
