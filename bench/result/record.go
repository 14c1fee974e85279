// SPDX-License-Identifier: Apache-2.0

// Package result is the record of a trial: types and their validation, and their encodings as JSON lines and as benchfmt, with the
// same content. It is a leaf: whoever has records needs to know nothing of how they were measured.
package result

import "time"

// Version is that of the encoding. A reader refuses a higher one.
const Version = 1

// A Record is one trial: one arm of one block of an experiment.
type Record struct {
	Version  int               `json:"version"`
	Scenario string            `json:"scenario"`
	Kind     string            `json:"kind"`
	Params   map[string]string `json:"params,omitempty"` // all, defaults too
	Knobs    map[string]string `json:"knobs,omitempty"`  // values of what was tuned, by KIND:NAME
	Arm      string            `json:"arm"`
	Block    int               `json:"block"` // from 0
	Order    int               `json:"order"` // of the arm in its block, from 0
	Seed     uint64            `json:"seed"`  // of the experiment

	Start      time.Time `json:"start"`
	DurationNS int64     `json:"duration_ns"` // measured, without warm-up
	Operations int64     `json:"operations"`
	Errors     int64     `json:"errors,omitempty"`

	// Metrics by name; the name says what, the unit is beside it.
	Metrics map[string]Metric `json:"metrics"`
	// LatencyHDR is the histogram of latencies in nanoseconds, by intended start: HdrHistogram V2, compressed, in base64.
	LatencyHDR string `json:"latency_hdr,omitempty"`
	// Counters are what the kernel's counters gained in the trial.
	Counters map[string]float64 `json:"counters,omitempty"`
	// BPF is what eBPF programs did in a run of its own, after the measured one; nil where nobody looked.
	BPF *BPF `json:"bpf,omitempty"`
	// Environment names the fingerprint that it was made in; see [Environment].
	Environment string `json:"environment"`
	// Warnings are what to know before believing the figures.
	Warnings []string `json:"warnings,omitempty"`
	// Failed says why there are no figures; "" for a good trial.
	Failed string `json:"failed,omitempty"`
}

// A Metric is one figure.
type Metric struct {
	Value float64 `json:"value"`
	Unit  string  `json:"unit"`              // ns/op, op/s, B/s, ns, count
	More  bool    `json:"more_is_better"`    // throughput is, latency isn't
	Main  bool    `json:"primary,omitempty"` // the scenario's primary metric
}

// BPF is a run of the workload in which all eBPF programs of the machine were metered. The meter slows them, so nothing else is measured in it.
type BPF struct {
	DurationNS int64        `json:"duration_ns"`
	Operations int64        `json:"operations"`
	MeterNS    float64      `json:"meter_ns"`           // what the meter added to what it told of a run; taken off below
	Programs   []BPFProgram `json:"programs,omitempty"` // that ran
}

// A BPFProgram is what an eBPF program did.
type BPFProgram struct {
	ID   uint32  `json:"id"` // the kernel's, of this trial
	Name string  `json:"name"`
	Type string  `json:"type"` // such as Tracing or PerfEvent
	Runs int64   `json:"runs"`
	NS   float64 `json:"ns"` // in it, in all
}

// An Environment is the fingerprint of a machine at the time of an experiment.
type Environment struct {
	ID       string            `json:"id"` // a hash of the facts that don't change by themselves
	Facts    map[string]string `json:"facts"`
	Warnings []string          `json:"warnings,omitempty"` // why it is unfit to measure on, and what to do
}
