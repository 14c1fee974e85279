// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"time"
)

const (
	threadCount  = 10_000
	crowdSize    = 500
	stormRate    = 2000
	memoryWindow = 10 * time.Second
	peakRSS      = "peak RSS MB"
	mapMemory    = "eBPF maps MB"
	lostEvents   = "lost"
	threadsSeen  = "threads seen"
	started      = "processes/s"
	leafNamed    = "leaf named %"
	allNamed     = "all frames named %"
)

var threadsBenchmark = benchmark{
	name:    "threads",
	about:   "10,000 threads of one process that sleep for 1 to 2 s and work for some 50 µs, recorded on and off CPU.",
	metrics: []string{threadsSeen, lostEvents, agentCPU, peakRSS, mapMemory},
	arms: func(l *lab) []arm {
		program := []string{l.path("threads"), "10000"}
		return []arm{
			{"assay", beside(program, func() (values, error) { return crowdAssay(l, l.duration, "--mode", "cpu,offcpu") })},
			{"perf", beside(program, func() (values, error) {
				return crowdPerf(l, l.duration, noBuildIDs, "-F", "97", "-e", "cpu-clock,sched:sched_switch")
			})},
		}
	},
	claims: []claim{
		{metric: threadsSeen, arm: "assay", limit: threadCount, least: true},
		{metric: agentCPU, arm: "assay", over: "perf"},
		{metric: peakRSS, arm: "assay", over: "perf"},
	},
}

var memoryBenchmark = benchmark{
	name: "memory",
	about: "500 processes with five libraries each that work for some 500 µs twice a second, the whole machine recorded for 10 s. Peak RSS is what the " +
		"kernel says; maps are kernel memory, and not in it.",
	metrics: []string{agentCPU, peakRSS, mapMemory, lostEvents},
	arms: func(l *lab) []arm {
		program := []string{l.path("crowd"), "500"}
		return []arm{
			{"assay cpu", beside(program, func() (values, error) { return crowdAssay(l, memoryWindow) })},
			{"assay cpu,offcpu", beside(program, func() (values, error) { return crowdAssay(l, memoryWindow, "--mode", "cpu,offcpu") })},
			{"perf", beside(program, func() (values, error) { return crowdPerf(l, memoryWindow, noBuildIDs, "-F", "97") })},
		}
	},
	claims: []claim{
		{metric: peakRSS, arm: "assay cpu", limit: 80},
		{metric: peakRSS, arm: "assay cpu,offcpu", limit: 80},
		{metric: peakRSS, arm: "assay cpu", over: "perf"},
		{metric: agentCPU, arm: "assay cpu", over: "perf"},
	},
}

var processesBenchmark = benchmark{
	name: "processes",
	about: "2,000 processes a second: 99 of 100 end at once, one computes for 25 ms. Named are the samples of the latter: those whose innermost " +
		"frame has a name, and those of which every frame has.",
	metrics: []string{started, "samples", leafNamed, allNamed, lostEvents, agentCPU, peakRSS},
	arms: func(l *lab) []arm {
		return []arm{
			{"assay", func() (values, error) { return amidStorm(l, stormAssay) }},
			{"perf", func() (values, error) { return amidStorm(l, stormPerf) }},
		}
	},
	claims: []claim{
		{metric: started, arm: "assay", limit: 0.95 * stormRate, least: true},
		{metric: leafNamed, arm: "assay", limit: 95, least: true},
		{metric: allNamed, arm: "assay", limit: 95, least: true},
		{metric: allNamed, arm: "assay", over: "perf"},
		{metric: agentCPU, arm: "assay", over: "perf"},
	},
}

// beside runs measure while a load works.
func beside(program []string, measure func() (values, error)) func() (values, error) {
	return func() (_ values, err error) {
		load, err := startLoad(program[0], program[1:]...)
		if err != nil {
			return nil, err
		}
		defer func() { err = errors.Join(err, load.stop()) }()
		return measure()
	}
}

func crowdAssay(l *lab, d time.Duration, args ...string) (values, error) {
	s, used, err := l.recordAssay(d, args...)
	if err != nil {
		return nil, err
	}
	v := values{
		agentCPU: milliseconds(used.cpu), peakRSS: megabytes(used.peakRSS),
		mapMemory: megabytes(s.Cost.MapBytes), lostEvents: s.lost(),
	}
	if s.Threads != nil {
		v[threadsSeen] = float64(*s.Threads)
	}
	return v, nil
}

func crowdPerf(l *lab, d time.Duration, args ...string) (values, error) {
	_, used, err := l.recordPerf(d, args...)
	return values{agentCPU: milliseconds(used.cpu), peakRSS: megabytes(used.peakRSS)}, err
}

// amidStorm records in the middle of a storm of processes.
func amidStorm(l *lab, record func(*lab) (values, error)) (values, error) {
	seconds := l.duration + 2*settle
	storm, err := startLoad(l.path("storm"), number(stormRate), number(seconds.Seconds()), l.path("tiny"), l.path("over20ms"))
	if err != nil {
		return nil, err
	}
	time.Sleep(settle / 2)
	v, err := record(l)
	said, waitErr := storm.finish()
	if err := errors.Join(err, waitErr); err != nil {
		return nil, err
	}
	keys, err := parseKeys(said)
	if err != nil {
		return nil, err
	}
	v[started] = keys["started"] / keys["milliseconds"] * 1000
	return v, nil
}

func stormAssay(l *lab) (values, error) {
	v, err := crowdAssay(l, l.duration)
	if err != nil {
		return nil, err
	}
	p, err := l.profile()
	if err != nil {
		return nil, err
	}
	n := namedInProfile(p, "over20ms")
	n.put(v)
	return v, nil
}

func stormPerf(l *lab) (values, error) {
	v, err := crowdPerf(l, l.duration, noBuildIDs, "-F", "97")
	if err != nil {
		return nil, err
	}
	script, err := output("perf", "script", "-i", l.path("perf.data"), "-F", "comm,ip,sym")
	if err != nil {
		return nil, err
	}
	n, err := namedInScript(script, "over20ms")
	n.put(v)
	return v, err
}
