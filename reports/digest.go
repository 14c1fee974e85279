// SPDX-License-Identifier: Apache-2.0

package reports

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// A digest is a record in words, for a terminal or a page.
type digest struct {
	title    string // one line
	sections []section
}

// A section is a heading with lines under it.
type section struct {
	heading   string
	essential bool // what one must know to read the profile
	warns     bool
	lines     []line
}

// A line is what is said about one thing, in pieces that belong together.
type line struct {
	label  string
	pieces phrases
}

// add puts a line into the section, unless nothing is known of it.
func (s *section) add(label string, pieces phrases) {
	if len(pieces) > 0 {
		s.lines = append(s.lines, line{label, pieces})
	}
}

func newDigest(r *Record) digest {
	d := digest{title: r.title()}
	for _, s := range []section{
		r.recording(), r.completeness(), r.accounting(), r.unnamedFrames(), r.cost(), r.warnings(), r.more(),
	} {
		if len(s.lines) > 0 {
			d.sections = append(d.sections, s)
		}
	}
	return d
}

func (r *Record) title() string {
	var s phrases
	s.duration(r.DurationNS, "%s")
	s.text(r.Targets, "of %s")
	title := "Profile"
	if len(s) > 0 {
		title = "Recorded " + strings.Join(s, " ")
	}
	if len(r.times()) == 0 {
		title += ", no samples"
	}
	return title
}

func (r *Record) recording() section {
	s := section{heading: "Recording", essential: true}
	var how, seen, on phrases
	if len(r.Modes) > 0 {
		how.say("%s", printable(strings.Join(r.Modes, ", ")))
	}
	how.text(r.Event, "sampled by %s")
	how.count(r.FreqHz, "%s Hz a CPU")
	how.count(r.NCPU, "%s CPUs")
	s.add("how", how)
	seen.count(r.Samples.Taken, "%s samples")
	seen.count(r.Threads, "%s threads")
	seen.count(r.Processes, "%s processes")
	s.add("seen", seen)
	if r.StartUnixNS != nil {
		on.say("%s", time.Unix(0, *r.StartUnixNS).UTC().Format("2006-01-02 15:04:05 UTC"))
	}
	on.text(r.Kernel, "Linux %s")
	on.text(r.Arch, "%s")
	on.text(r.AssayVersion, "assay %s")
	s.add("on", on)
	return s
}

func (r *Record) completeness() section {
	s := section{heading: "Completeness", essential: true}
	var samples, lost, lostTime, stacks phrases
	samples.count(r.Samples.Expected, "%s expected")
	samples.count(r.Samples.Taken, "%s taken")
	samples.share(r.Samples.Taken, at(r.Samples.Expected), "%s of expected")
	samples.count(r.Samples.Idle, "%s idle left out")
	s.add("samples", samples)
	switch {
	case sum(r.Lost) > 0:
		lost.each(nonZero(r.Lost), "count")
	case r.Lost != nil:
		lost.say("none")
	}
	s.add("lost", lost)
	lostTime.each(nonZero(r.LostNS), "nanoseconds")
	s.add("lost time", lostTime)
	t := r.StackTime
	total := at(t.Whole) + at(t.Cut) + at(t.Broken) + at(t.None) + at(t.Guessed)
	stacks.share(t.Whole, total, "%s of time whole")
	stacks.share(t.Guessed, total, "%s guessed")
	stacks.share(t.Cut, total, "%s cut")
	stacks.share(t.Broken, total, "%s broken")
	stacks.share(t.None, total, "%s none")
	s.add("stacks", stacks)
	s.add("guessed", reasons(r.GuessedNS, total))
	s.add("broken", reasons(r.BrokenNS, total))
	for i, fault := range r.UnwindFaults[:min(TopFaults, len(r.UnwindFaults))] {
		label := "and in"
		if i == 0 {
			label = "most in"
		}
		s.add(label, phrases{printable(fault)})
	}
	s.add("off-CPU", r.OffCPU.phrases())
	return s
}

// reasons lists the shares of a time, the largest first.
func reasons(times map[string]int64, total int64) phrases {
	var s phrases
	keys := slices.Collect(maps.Keys(nonZero(times)))
	slices.SortFunc(keys, func(a, b string) int { return cmp.Or(cmp.Compare(times[b], times[a]), cmp.Compare(a, b)) })
	for _, key := range keys {
		s.say("%s %s", formatShare(times[key], total), printable(strings.ReplaceAll(key, "_", " ")))
	}
	return s
}

func (o OffCPU) phrases() phrases {
	var s phrases
	s.text(o.StackPolicy, "stacks: %s")
	s.duration(o.ShortTotalNS, "%s of short waits scaled")
	if at(o.BelowMinBlock) > 0 {
		s.count(o.BelowMinBlock, "%s too short for a stack")
	}
	return s
}

func nonZero(counts map[string]int64) map[string]int64 {
	counts = maps.Clone(counts)
	maps.DeleteFunc(counts, func(_ string, n int64) bool { return n == 0 })
	return counts
}

func (r *Record) accounting() section {
	a := r.Accounting
	s := section{heading: "Time of the threads"}
	wall := at(a.WallNS)
	// part says what a share of wall time is made of; with one ingredient, the sum says it all.
	part := func(label string, ingredients ...ingredient) {
		var total int64
		var line, of phrases
		for _, i := range ingredients {
			total = addSaturating(total, at(i.ns))
			of.duration(i.ns, "%s "+i.name)
		}
		if len(of) == 0 {
			return
		}
		line.say("%s", withShare(total, wall))
		if len(ingredients) > 1 {
			line = append(line, of...)
		}
		s.add(label, line)
	}
	var all, residual phrases
	all.duration(a.WallNS, "%s")
	s.add("wall", all)
	part("on-CPU", ingredient{a.OnCPUNS, ""})
	part("run queue", ingredient{a.RunqueueWokenNS, "woken"}, ingredient{a.RunqueuePreemptedNS, "preempted"})
	part("off-CPU", ingredient{a.OffCPUInterruptibleNS, "interruptible"},
		ingredient{a.OffCPUUninterruptibleNS, "uninterruptible"}, ingredient{a.OffCPUStoppedNS, "stopped"}, ingredient{a.OffCPUIdleNS, "idle"})
	if a.ResidualNS != nil {
		residual.say("%s", withShare(*a.ResidualNS, wall))
	}
	if a.MaxThreadResidualRatio != nil {
		residual.say("%.2f%% in the worst thread", 100**a.MaxThreadResidualRatio)
	}
	s.add("residual", residual)
	return s
}

// withShare writes a time and what share of the wall time it is, if that is known.
func withShare(ns, wall int64) string {
	if wall == 0 {
		return formatNanoseconds(float64(ns))
	}
	return formatNanoseconds(float64(ns)) + " (" + formatShare(ns, wall) + ")"
}

// An ingredient is one of the times that a part of the wall time is made of.
type ingredient struct {
	ns   *int64
	name string
}

func (r *Record) unnamedFrames() section {
	s := section{heading: "Frames without a name"}
	var places phrases
	places.each(nonZero(r.Unnamed), "count")
	s.add("places", places)
	for i, in := range r.UnnamedIn[:min(TopUnnamed, len(r.UnnamedIn))] {
		label := "and in"
		if i == 0 {
			label = "most in"
		}
		s.add(label, phrases{printable(in)})
	}
	var lineless phrases
	lineless.each(nonZero(r.Lineless), "count")
	s.add("without lines", lineless)
	return s
}

func (r *Record) cost() section {
	s := section{heading: "Cost of measuring"}
	var bpf, agent, maps phrases
	bpf.duration(r.Cost.BPFNS, "%s")
	if r.Cost.BPFNS != nil && at(r.Cost.BPFRuns) > 0 {
		bpf.say("%s a run", formatNanoseconds(float64(*r.Cost.BPFNS)/float64(*r.Cost.BPFRuns)))
	}
	bpf.count(r.Cost.BPFRuns, "%s runs")
	bpf.text(r.Cost.BPFMethod, "measured by %s")
	s.add("eBPF", bpf)
	agent.duration(r.Cost.AgentCPUNS, "%s CPU")
	agent.share(r.Cost.AgentCPUNS, at(r.DurationNS), "%s of a CPU")
	agent.bytes(r.Cost.PeakRSSBytes, "%s peak memory")
	s.add("recorder", agent)
	maps.bytes(r.Cost.MapBytes, "%s")
	s.add("eBPF maps", maps)
	for _, line := range r.Certified {
		s.add("certified", phrases{printable(line)})
	}
	return s
}

func (r *Record) warnings() section {
	s := section{heading: "Know before you believe it", essential: true, warns: true}
	for _, w := range r.Warnings {
		s.add("warning", phrases{printable(w)})
	}
	for _, d := range r.Degraded {
		s.add("degraded", phrases{printable(d)})
	}
	return s
}

func (r *Record) more() section {
	s := section{heading: "More"}
	for _, key := range slices.Sorted(maps.Keys(r.More)) {
		s.add("", phrases{fmt.Sprintf("%s = %s", key, printable(r.More[key]))})
	}
	return s
}
