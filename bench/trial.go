// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/assaylab/assay/bench/result"
	"github.com/assaylab/assay/scenarios"
	"github.com/assaylab/assay/scenarios/knobs"
)

// A Subject is what is measured: a scenario with all its parameters.
type Subject struct {
	*scenarios.Scenario
	Values scenarios.Values
}

// NewSubject checks a scenario.
func NewSubject(s *scenarios.Scenario) (Subject, error) {
	values, err := s.Check()
	return Subject{s, values}, err
}

// trial runs one arm once. A trial that fails is a record too: it says why.
func (x *Experiment) trial(ctx context.Context, a Arm, block, order int) result.Record {
	r := result.Record{
		Version: result.Version, Scenario: x.Subject.Name, Kind: x.Subject.Kind.Name, Params: x.params(a),
		Arm: a.Name, Block: block, Order: order, Seed: x.Seed, Start: time.Now(), Environment: x.environment.ID,
		Metrics: map[string]result.Metric{}, Knobs: a.knobs(),
	}
	if err := x.measure(ctx, a, &r); err != nil {
		r.Failed = oneLine(err.Error())
		r.Metrics = map[string]result.Metric{}
	}
	return r
}

// params are those of the scenario, with what an arm changes.
func (x *Experiment) params(a Arm) map[string]string {
	all := maps.Clone(map[string]string(x.Subject.Values))
	maps.Copy(all, a.Params)
	return all
}

func oneLine(text string) string { return strings.ReplaceAll(text, "\n", "; ") }

// measure fills r with what a trial of an arm gives.
func (x *Experiment) measure(ctx context.Context, a Arm, r *result.Record) error {
	used, err := x.with(ctx, a, r.Params, func(w *worker, beside running) error { return x.warmRunAndMeter(ctx, w, beside, r) })
	if err == nil && a.beside != nil {
		addSpent(r, used)
	}
	return err
}

// with sets an arm's knobs, starts the workload and what runs beside it, does some work, and takes all of it back.
func (x *Experiment) with(ctx context.Context, a Arm, params map[string]string, work func(*worker, running) error) (used spent, err error) {
	launcher := x.Launcher
	launcher.Add(knobs.Launch{CPUs: x.Subject.Isolation.CPUs, Env: a.Env})
	if x.Journal != nil {
		defer func() { err = errors.Join(err, x.Journal.Restore()) }()
	}
	if err := x.set(slices.Concat(x.Isolate, a.Knobs), &launcher.Launch); err != nil {
		return used, err
	}
	w, err := launcher.start()
	if err != nil {
		return used, err
	}
	defer func() { err = errors.Join(err, w.close()) }()
	if err := w.prepare(ctx, x.Subject.Kind.Name, params, launcher.Inside); err != nil {
		return used, err
	}
	if a.beside == nil {
		return used, work(w, nil)
	}
	beside, err := a.beside.start()
	if err != nil {
		return used, err
	}
	err = work(w, beside)
	used, stopErr := beside.stop()
	return used, errors.Join(err, stopErr)
}

// warmRunAndMeter measures, and then, in some blocks, has eBPF programs metered.
func (x *Experiment) warmRunAndMeter(ctx context.Context, w *worker, beside running, r *result.Record) error {
	err := x.warmAndRun(ctx, w, beside, r)
	if err == nil {
		x.meterTrial(ctx, w, r)
	}
	return err
}

// set sets knobs, on the machine or in how the workload is started.
func (x *Experiment) set(settings []Setting, launch *knobs.Launch) error {
	for _, s := range settings {
		if s.Keep {
			continue
		}
		if !s.Knob.OfWorkload() {
			if err := x.Journal.Set(s.Knob, s.Value); err != nil {
				return err
			}
		}
		start, err := s.Knob.Start(s.Value)
		if err != nil {
			return err
		}
		launch.Add(start)
	}
	return nil
}

// warmAndRun warms up, and runs between two looks at the counters.
func (x *Experiment) warmAndRun(ctx context.Context, w *worker, beside running, r *result.Record) error {
	if err := x.warmUp(ctx, w); err != nil {
		return err
	}
	before, err := readAll(beside)
	if err != nil {
		return err
	}
	o, err := w.run(ctx, x.Subject.Duration)
	if err != nil {
		return err
	}
	after, err := readAll(beside)
	if err != nil {
		return err
	}
	r.Counters = after.since(before)
	maps.Copy(r.Counters, o.Usage.counters())
	maps.Copy(r.Counters, o.Network)
	return x.fill(r, o)
}

func (x *Experiment) warmUp(ctx context.Context, w *worker) error {
	if x.Subject.Warmup == 0 {
		return nil
	}
	if _, err := w.run(ctx, x.Subject.Warmup); err != nil {
		return fmt.Errorf("warm-up: %w", err)
	}
	return nil
}

// readAll reads the counters of the machine, and the clock of what runs beside the workload.
func readAll(beside running) (counters, error) {
	c, err := readCounters()
	if err != nil || beside == nil {
		return c, err
	}
	used, err := beside.cpu()
	c[besideCPU] = used.Seconds()
	return c, err
}

// Counters of what ran beside the workload.
const (
	besideCPU     = "beside_cpu_s"           // in the trial
	besideAllCPU  = "beside_whole_cpu_s"     // from its start to its end
	besideSamples = "beside_samples_per_s"   // that it says it took
	sampleCPU     = "beside_cpu_ns_a_sample" // its CPU time in the trial by the samples it took in as long a time
)

// addSpent adds what something beside the workload says at its end.
func addSpent(r *result.Record, s spent) {
	r.Counters[besideAllCPU] = s.cpu.Seconds()
	if s.samples == 0 || s.span <= 0 {
		return
	}
	rate := float64(s.samples) / s.span.Seconds()
	r.Counters[besideSamples] = rate
	r.Counters[sampleCPU] = 1e9 * r.Counters[besideCPU] / (rate * time.Duration(r.DurationNS).Seconds())
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
