// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/link"
)

const (
	perSwitch  = "µs/operation"
	agentCPU   = "CPU ms"
	ownMeter   = "own eBPF ns/switch"
	residual   = "worst residual %"
	operations = "200000"
)

var offCPUBenchmark = benchmark{
	name: "offcpu",
	about: "Off-CPU recording of the whole machine while `taskset -c 1 perf bench sched pipe` runs: two tasks that do nothing but switch, on " +
		"one CPU. The empty hook is a program on tp_btf/sched_switch that returns at once: nothing that looks at every switch costs less.",
	metrics: []string{perSwitch, agentCPU, ownMeter, residual},
	arms: func(l *lab) []arm {
		return []arm{
			{"bare", func() (values, error) { return pipeStorm() }},
			{"empty hook", pipeStormHooked},
			{"assay", func() (values, error) { return pipeStormAssay(l) }},
			{"assay --exact", func() (values, error) { return pipeStormAssay(l, "--exact") }},
			{"bpftrace", func() (values, error) {
				return pipeStormUnder(func() (*child, error) { return launch("bpftrace", "-e", offCPUScript) })
			}},
			{"perf", func() (values, error) {
				return pipeStormUnder(func() (*child, error) { return l.launchPerf(noBuildIDs, "-e", "sched:sched_switch") })
			}},
		}
	},
	claims: []claim{
		{metric: perSwitch, arm: "empty hook", over: "bare"},
		{metric: perSwitch, arm: "assay", over: "bare", limit: 1.15},
		{metric: perSwitch, arm: "assay", over: "empty hook"},
		{metric: perSwitch, arm: "assay --exact", over: "bare", limit: 1.8},
		{metric: perSwitch, arm: "bpftrace", over: "bare"},
		{metric: perSwitch, arm: "perf", over: "bare"},
		{metric: residual, arm: "assay", limit: 1},
	},
}

// pipeStorm runs the storm, beside whatever records.
func pipeStorm() (values, error) {
	out, err := output("taskset", "-c", "1", "perf", "bench", "sched", "pipe", "-l", operations)
	if err != nil {
		return nil, err
	}
	us, err := parseMicroseconds(out)
	return values{perSwitch: us}, err
}

// pipeStormUnder runs the storm while a recorder works, which is interrupted after it.
func pipeStormUnder(start func() (*child, error)) (values, error) {
	c, err := start()
	if err != nil {
		return nil, err
	}
	time.Sleep(settle)
	v, err := pipeStorm()
	used, waitErr := c.interrupt()
	if err := errors.Join(err, waitErr); err != nil {
		return nil, err
	}
	v[agentCPU] = milliseconds(used.cpu)
	return v, nil
}

func pipeStormAssay(l *lab, args ...string) (values, error) {
	var c *child
	v, err := pipeStormUnder(func() (_ *child, err error) {
		c, err = l.launchAssay(append(args, "--mode", "offcpu")...)
		return c, err
	})
	if err != nil {
		return nil, err
	}
	s, err := parseSummary(c.out.String())
	if err != nil {
		return nil, err
	}
	v[residual] = 100 * s.Accounting.MaxThreadResidualRatio
	v[ownMeter], err = strconv.ParseFloat(s.More["cost.switch_ns_per_run"], 64)
	return v, err
}

// pipeStormHooked runs the storm with an empty program on the switch.
func pipeStormHooked() (_ values, err error) {
	p, err := ebpf.NewProgram(&ebpf.ProgramSpec{
		Type: ebpf.Tracing, AttachType: ebpf.AttachTraceRawTp, AttachTo: "sched_switch",
		Instructions: asm.Instructions{asm.Mov.Imm(asm.R0, 0), asm.Return()}, License: "Dual BSD/GPL",
	})
	if err != nil {
		return nil, fmt.Errorf("empty program: %w", err)
	}
	defer func() { err = errors.Join(err, p.Close()) }()
	hook, err := link.AttachTracing(link.TracingOptions{Program: p})
	if err != nil {
		return nil, fmt.Errorf("empty program: %w", err)
	}
	defer func() { err = errors.Join(err, hook.Close()) }()
	return pipeStorm()
}
