// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"time"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
)

const (
	bpfPerSample      = "eBPF ns/sample"
	cpuPerSample      = "CPU µs/sample"
	marginalPerSample = "marginal µs/sample"
	fixedCPU          = "fixed CPU ms"
)

var cpuBenchmark = benchmark{
	name: "cpu",
	about: "CPU samples at 997 Hz of the whole machine with two busy threads, 15 frames deep. CPU is that of the whole recording process, names " +
		"included for assay and bpftrace, not for perf; perf -B leaves out build IDs. Each run records twice, briefly and six times as long: the slope between them is the " +
		"marginal CPU, what is left at no samples the fixed; CPU a sample is of the long one.",
	metrics: []string{"samples", bpfPerSample, cpuPerSample, marginalPerSample, fixedCPU},
	arms: func(l *lab) []arm {
		return []arm{
			{"assay", func() (values, error) { return sampleTwice(l, sampleWithAssay) }},
			{"bpftrace", func() (values, error) { return sampleTwice(l, sampleWithBpftrace) }},
			{"perf", func() (values, error) { return sampleTwice(l, sampleWithPerf) }},
			{"perf -B", func() (values, error) { return sampleTwice(l, sampleWithCheapPerf) }},
		}
	},
	claims: []claim{
		{metric: bpfPerSample, arm: "assay", over: "bpftrace", limit: 1},
		{metric: cpuPerSample, arm: "assay", over: "perf", limit: 0.1},
		{metric: cpuPerSample, arm: "assay", over: "perf -B"},
		{metric: marginalPerSample, arm: "assay", over: "perf"},
		{metric: marginalPerSample, arm: "assay", over: "perf -B"},
		{metric: fixedCPU, arm: "assay", over: "perf"},
		{metric: fixedCPU, arm: "assay", over: "perf -B"},
		{metric: cpuPerSample, arm: "assay", over: "bpftrace"},
	},
}

// sampled is what a recording came to.
type sampled struct {
	samples float64
	cpu     time.Duration
	runs    uint64 // of its eBPF program
	ran     time.Duration
}

// sampleTwice records a load for two durations.
func sampleTwice(l *lab, record func(*lab, time.Duration) (sampled, error)) (_ values, err error) {
	statistics, err := ebpf.EnableStats(unix.BPF_STATS_RUN_TIME)
	if err != nil {
		return nil, fmt.Errorf("statistics of eBPF programs: %w", err)
	}
	defer func() { err = errors.Join(err, statistics.Close()) }()
	busy, err := startLoad(l.path("busy"), "2")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, busy.stop()) }()
	short, err := record(l, l.duration/6)
	if err != nil {
		return nil, err
	}
	long, err := record(l, l.duration)
	if err != nil {
		return nil, err
	}
	return costOf(short, long)
}

// costOf fits a line through two recordings.
func costOf(short, long sampled) (values, error) {
	if short.samples <= 0 || long.samples <= short.samples {
		return nil, fmt.Errorf("%.0f samples in the short recording, %.0f in the long", short.samples, long.samples)
	}
	slope := float64(long.cpu-short.cpu) / (long.samples - short.samples)
	v := values{
		"samples":         long.samples,
		cpuPerSample:      float64(long.cpu) / long.samples / 1e3,
		marginalPerSample: slope / 1e3,
		fixedCPU:          (float64(long.cpu) - slope*long.samples) / 1e6,
	}
	if long.runs > 0 {
		v[bpfPerSample] = float64(long.ran) / float64(long.runs)
	}
	return v, nil
}

func sampleWithAssay(l *lab, d time.Duration) (sampled, error) {
	c, err := l.launchAssay("-F", "997", "--duration", d.String())
	if err != nil {
		return sampled{}, err
	}
	m, err := metered(c, d)
	used, waitErr := c.wait()
	if err := errors.Join(err, waitErr); err != nil {
		return sampled{}, err
	}
	m.cpu = used.cpu
	s, err := parseSummary(c.out.String())
	if err != nil {
		return sampled{}, err
	}
	m.samples = float64(s.Samples.Taken)
	return m, nil
}

func sampleWithBpftrace(_ *lab, d time.Duration) (sampled, error) {
	c, err := launch("bpftrace", "-e", stacksScript)
	if err != nil {
		return sampled{}, err
	}
	m, err := metered(c, d)
	used, waitErr := c.interrupt()
	m.cpu, m.samples = used.cpu, float64(m.runs)
	return m, errors.Join(err, waitErr)
}

// metered waits for the time of a recording and returns what the programs of c that sample did in it.
func metered(c *child, d time.Duration) (sampled, error) {
	end := time.Now().Add(d)
	time.Sleep(d * 4 / 5)
	m, err := meterOf(c.cmd.Process.Pid, ebpf.PerfEvent)
	time.Sleep(time.Until(end))
	if err != nil {
		return sampled{}, err
	}
	runs, ran, err := m.read()
	return sampled{runs: runs, ran: ran}, errors.Join(err, m.close())
}

func sampleWithPerf(l *lab, d time.Duration) (sampled, error) {
	c, used, err := l.recordPerf(d, "-F", "997")
	if err != nil {
		return sampled{}, err
	}
	samples, err := parsePerfSamples(c.errOut.String())
	return sampled{samples: samples, cpu: used.cpu}, err
}

func sampleWithCheapPerf(l *lab, d time.Duration) (sampled, error) {
	_, used, err := l.recordPerf(d, "-F", "997", noBuildIDs)
	if err != nil {
		return sampled{}, err
	}
	said, err := output("perf", "report", "-i", l.path("perf.data"), "--stats")
	if err != nil {
		return sampled{}, err
	}
	samples, err := parsePerfStats(said)
	return sampled{samples: samples, cpu: used.cpu}, err
}
