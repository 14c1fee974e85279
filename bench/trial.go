// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"
	"time"

	"github.com/assaylab/assay/bench/result"
	"github.com/assaylab/assay/scenarios"
)

// A Subject is what is measured: a scenario, ready to run.
type Subject struct {
	Name     string
	Kind     string
	Values   scenarios.Values
	Warmup   time.Duration
	Duration time.Duration
	Primary  string // metric that decides: throughput, latency_p50, latency_p99, cpu_per_op, or a value of the outcome
	CPUs     []int  // where the workload may run; none: anywhere
}

// trial runs one arm once. A trial that fails is a record too: it says why.
func (x *Experiment) trial(ctx context.Context, a Arm, block, order int) result.Record {
	r := result.Record{
		Version: result.Version, Scenario: x.Subject.Name, Kind: x.Subject.Kind, Params: maps.Clone(x.Subject.Values),
		Arm: a.Name, Block: block, Order: order, Seed: x.Seed, Start: time.Now(), Environment: x.environment.ID,
		Metrics: map[string]result.Metric{},
	}
	maps.Copy(r.Params, a.Params)
	if err := x.measure(ctx, a, &r); err != nil {
		r.Failed = oneLine(err.Error())
		r.Metrics = map[string]result.Metric{}
	}
	return r
}

func oneLine(text string) string { return strings.ReplaceAll(text, "\n", "; ") }

// measure starts the workload, what runs beside it, warms up, and fills r.
func (x *Experiment) measure(ctx context.Context, a Arm, r *result.Record) (err error) {
	launcher := x.Launcher
	launcher.CPUs = x.Subject.CPUs
	launcher.Env = append(append([]string{}, launcher.Env...), a.Env...)
	w, err := launcher.start()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.close()) }()
	if err := w.prepare(ctx, x.Subject.Kind, r.Params); err != nil {
		return err
	}
	stop := func() (time.Duration, error) { return 0, nil }
	if a.beside != nil {
		if stop, err = a.beside.start(); err != nil {
			return err
		}
	}
	if err = x.warmAndRun(ctx, w, r); err == nil {
		x.meterTrial(ctx, w, r)
	}
	took, stopErr := stop()
	if a.beside != nil && err == nil {
		r.Counters["beside_cpu_s"] = took.Seconds()
	}
	return errors.Join(err, stopErr)
}

func (x *Experiment) warmAndRun(ctx context.Context, w *worker, r *result.Record) error {
	if x.Subject.Warmup > 0 {
		if _, err := w.run(ctx, x.Subject.Warmup); err != nil {
			return fmt.Errorf("warm-up: %w", err)
		}
	}
	before, err := readCounters()
	if err != nil {
		return err
	}
	o, err := w.run(ctx, x.Subject.Duration)
	if err != nil {
		return err
	}
	after, err := readCounters()
	if err != nil {
		return err
	}
	r.Counters = after.since(before)
	maps.Copy(r.Counters, o.Usage.counters())
	return x.fill(r, o)
}

// fill puts an outcome into a record.
func (x *Experiment) fill(r *result.Record, o *outcome) error {
	if o.Operations == 0 {
		return errors.New("not one operation was done: run longer, or see what the workload needs")
	}
	r.DurationNS, r.Operations, r.Errors = o.ElapsedNS, o.Operations, o.Errors
	r.LatencyHDR, r.Warnings = o.Latency, o.Notes
	ops := float64(o.Operations)
	r.Metrics["throughput"] = result.Metric{Value: ops / time.Duration(o.ElapsedNS).Seconds(), Unit: "op/s", More: true}
	r.Metrics["cpu_per_op"] = result.Metric{Value: float64(o.Usage.UserNS+o.Usage.SystemNS) / ops, Unit: "ns/op"}
	r.Metrics["user_per_op"] = result.Metric{Value: float64(o.Usage.UserNS) / ops, Unit: "ns/op"}
	r.Metrics["system_per_op"] = result.Metric{Value: float64(o.Usage.SystemNS) / ops, Unit: "ns/op"}
	r.Metrics["switches_per_op"] = result.Metric{Value: float64(o.Usage.Voluntary+o.Usage.Involuntary) / ops, Unit: "count/op"}
	r.Metrics["faults_per_op"] = result.Metric{Value: float64(o.Usage.MinorFaults+o.Usage.MajorFaults) / ops, Unit: "count/op"}
	for name, v := range o.Values {
		r.Metrics[name] = result.Metric{Value: v, Unit: unitOf(name)}
	}
	if err := addLatency(r); err != nil {
		return err
	}
	main, ok := r.Metrics[x.Subject.Primary]
	if !ok {
		return fmt.Errorf("the primary metric %s was not measured", x.Subject.Primary)
	}
	main.Main = true
	r.Metrics[x.Subject.Primary] = main
	return nil
}

// addLatency adds the quantiles of the histogram, if there is one.
func addLatency(r *result.Record) error {
	if r.LatencyHDR == "" {
		return nil
	}
	h, err := result.DecodeLatency(r.LatencyHDR)
	if err != nil {
		return err
	}
	for name, q := range map[string]float64{"latency_p50": 50, "latency_p90": 90, "latency_p99": 99, "latency_p999": 99.9, "latency_max": 100} {
		r.Metrics[name] = result.Metric{Value: float64(h.ValueAtQuantile(q)), Unit: "ns"}
	}
	return nil
}

// unitOf reads the unit off the end of a value's name.
func unitOf(name string) string {
	unit := name[strings.LastIndexByte(name, '_')+1:]
	switch unit {
	case "bytes":
		return "B"
	case "ns", "count", "ratio":
		return unit
	}
	return "value"
}
