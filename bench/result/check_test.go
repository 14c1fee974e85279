// SPDX-License-Identifier: Apache-2.0

package result

import (
	"math"
	"strings"
	"testing"
	"time"
)

func TestRecordCheck(t *testing.T) {
	check := func(want string, spoil func(*Record)) {
		t.Helper()
		r := good(t, 3, "perf")
		spoil(&r)
		err := r.Check()
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want) || !strings.HasPrefix(err.Error(), "block ")) {
			t.Errorf("%v, want %q in it", err, want)
		}
	}
	metric := func(name string, m Metric) func(*Record) { return func(r *Record) { r.Metrics[name] = m } }

	check("", func(*Record) {})
	check("", func(r *Record) { r.Failed, r.Metrics, r.DurationNS, r.Operations = "exit status 1", nil, 0, 0 })
	check("", func(r *Record) { r.Arm = "a/a" })
	check("version 2", func(r *Record) { r.Version = 2 })
	check("version 0", func(r *Record) { r.Version = 0 })
	check("no scenario", func(r *Record) { r.Scenario = "" })
	check("no kind", func(r *Record) { r.Kind = "" })
	check("no arm", func(r *Record) { r.Arm = "" })
	check("no environment", func(r *Record) { r.Environment = "" })
	check("can't be printed", func(r *Record) { r.Arm = "a\nb" })
	check("can't be printed", func(r *Record) { r.Scenario = "\xff" })
	check("longer than", func(r *Record) { r.Arm = strings.Repeat("é", 200) })
	check("no parameter", func(r *Record) { r.Params[""] = "x" })
	check("no UTF-8", func(r *Record) { r.Params["x"] = "\xff" })
	check("block is -1", func(r *Record) { r.Block = -1 })
	check("order is -1", func(r *Record) { r.Order = -1 })
	check("duration_ns is -5", func(r *Record) { r.DurationNS = -5 })
	check("operations is -1", func(r *Record) { r.Operations = -1 })
	check("errors is -1", func(r *Record) { r.Errors = -1 })
	check("duration of 0", func(r *Record) { r.DurationNS = 0 })
	check("no start", func(r *Record) { r.Start = time.Time{} })
	check("year 10000", func(r *Record) { r.Start = time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC) })
	check("metric x is NaN", metric("x", Metric{Value: math.NaN(), Unit: "ns"}))
	check("metric x is +Inf", metric("x", Metric{Value: math.Inf(1), Unit: "ns"}))
	check("want a unit", metric("x", Metric{Unit: ""}))
	check("want a unit", metric("x", Metric{Unit: "ns op"}))
	check("want a name", metric("a b", Metric{Unit: "ns"}))
	check("want a name", metric("a/b", Metric{Unit: "ns"}))
	check("two primary metrics", metric("x", Metric{Unit: "ns", Main: true}))
	check("it failed, and has metrics", func(r *Record) { r.Failed = "exit status 1" })
	check("failed: more than one line", func(r *Record) { r.Failed, r.Metrics = "a\nb", nil })
	check("counter x is -Inf", func(r *Record) { r.Counters["x"] = math.Inf(-1) })
	check("no counter", func(r *Record) { r.Counters[""] = 1 })
	check("a warning: more than one line", func(r *Record) { r.Warnings = []string{"a\rb"} })
	check("latency_hdr", func(r *Record) { r.LatencyHDR = "SGVsbG8=" })
	check("latency_hdr", func(r *Record) { r.LatencyHDR = "HIST!" })
}

func TestEnvironmentCheck(t *testing.T) {
	check := func(want string, spoil func(*Environment)) {
		t.Helper()
		e := environment()
		spoil(&e)
		if err := e.Check(); want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%v, want %q in it", err, want)
		}
	}
	check("", func(*Environment) {})
	check("no environment", func(e *Environment) { e.ID = "" })
	check(`named "seed"`, func(e *Environment) { e.Facts["seed"] = "1" })
	check(`named "Kernel"`, func(e *Environment) { e.Facts["Kernel"] = "1" })
	check("fact kernel: more than one line", func(e *Environment) { e.Facts["kernel"] = "a\nb" })
	check("a warning: no UTF-8", func(e *Environment) { e.Warnings = []string{"\xff"} })
}
