// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

const (
	firstSample = "first sample ms"
	wholeRun    = "whole run ms"
	// The recorder says when its window begins; on a busy CPU the first sample comes at most a period of 97 Hz later.
	samplePeriod = time.Second / 97
)

var startupBenchmark = benchmark{
	name: "startup",
	about: "From the start of the command to its first sample, with a thread busy on each CPU. For assay it is the start of its window and one period " +
		"of 97 Hz; for perf and bpftrace the time of their first sample.",
	metrics: []string{firstSample, wholeRun, agentCPU},
	arms: func(l *lab) []arm {
		busy := []string{l.path("busy"), "2"}
		assay := func(args ...string) func() (values, error) {
			return beside(busy, func() (values, error) { return startAssay(l, args...) })
		}
		return []arm{
			{"assay cpu", assay("--duration", "100ms")},
			{"assay cpu -- true", assay("--", "true")},
			{"assay offcpu", assay("--mode", "offcpu", "--duration", "100ms")},
			{"assay wall", assay("--mode", "wall", "--duration", "100ms")},
			{"perf", beside(busy, func() (values, error) { return startPerf(l) })},
			{"bpftrace", beside(busy, startBpftrace)},
		}
	},
	claims: []claim{
		{metric: firstSample, arm: "assay cpu", limit: 300},
		{metric: firstSample, arm: "assay cpu -- true", limit: 300},
		{metric: firstSample, arm: "assay offcpu", limit: 300},
		{metric: firstSample, arm: "assay wall", limit: 300},
		{metric: firstSample, arm: "assay cpu", over: "perf"},
		{metric: firstSample, arm: "assay cpu", over: "bpftrace"},
	},
}

func startAssay(l *lab, args ...string) (values, error) {
	began := time.Now()
	c, err := l.launchAssay(args...)
	if err != nil {
		return nil, err
	}
	used, err := c.wait()
	if err != nil {
		return nil, err
	}
	ended := time.Now()
	s, err := parseSummary(c.out.String())
	if err != nil {
		return nil, err
	}
	window := time.Unix(0, s.StartUnixNS).Sub(began)
	return values{
		firstSample: milliseconds(window + samplePeriod), wholeRun: milliseconds(ended.Sub(began)), agentCPU: milliseconds(used.cpu),
	}, nil
}

func startPerf(l *lab) (values, error) {
	began := monotonic()
	_, used, err := l.recordPerf(settle, noBuildIDs, "-F", "97", "-k", "CLOCK_MONOTONIC")
	if err != nil {
		return nil, err
	}
	script, err := output("perf", "script", "-i", l.path("perf.data"), "--ns", "-F", "time")
	if err != nil {
		return nil, err
	}
	first, err := parseFirstStamp(script)
	return values{firstSample: float64(first-began) / 1e6, agentCPU: milliseconds(used.cpu)}, err
}

func startBpftrace() (values, error) {
	began, start := monotonic(), time.Now()
	c, err := launch("bpftrace", "-e", `profile:hz:97 { printf("first=%llu\n", nsecs); exit(); }`)
	if err != nil {
		return nil, err
	}
	used, err := c.wait()
	if err != nil {
		return nil, err
	}
	ran := time.Since(start)
	_, after, found := strings.Cut(c.out.String(), "first=")
	if !found {
		return nil, fmt.Errorf("bpftrace: no sample in %q", c.out.String())
	}
	first, err := strconv.ParseInt(strings.TrimSpace(firstLine(after)), 10, 64)
	return values{firstSample: float64(first-began) / 1e6, wholeRun: milliseconds(ran), agentCPU: milliseconds(used.cpu)}, err
}

func firstLine(s string) string {
	line, _, _ := strings.Cut(s, "\n")
	return line
}

// monotonic is the clock of perf's and bpftrace's stamps, in nanoseconds.
func monotonic() int64 {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &t); err != nil {
		return 0 // there is no kernel without this clock
	}
	return t.Nano()
}
