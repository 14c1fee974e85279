// SPDX-License-Identifier: Apache-2.0

package result

import (
	"testing"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// good is a record with all there can be, different for each block and arm.
func good(t testing.TB, block int, arm string) Record {
	t.Helper()
	h := hdrhistogram.New(1, int64(time.Minute), 3)
	for i := range int64(100) {
		if err := h.RecordValue(1000 + 100*i + int64(block)); err != nil {
			t.Fatal(err)
		}
	}
	latency, err := EncodeLatency(h)
	if err != nil {
		t.Fatal(err)
	}
	x := float64(block) + 0.1
	return Record{
		Version: Version, Scenario: "tcp echo", Kind: "network.echo", Params: map[string]string{"connections": "64", "text": "two\nlines"},
		Arm: arm, Block: block, Order: 1, Seed: 1<<64 - 1,
		Start: time.Date(2026, 11, 23, 10, 0, 0, 123456789, time.UTC), DurationNS: 5e9, Operations: 910_000, Errors: 2,
		Metrics: map[string]Metric{
			"throughput": {Value: 182000 + x, Unit: "op/s", More: true, Main: true}, "latency_p50": {Value: 5200, Unit: "ns"},
			"latency_p99": {Value: 1e6 / 3 * x, Unit: "ns"}, "cpu_per_op": {Value: 3100.25, Unit: "ns/op"}, "time_per_op": {Value: 5494.5, Unit: "ns/op"},
			"switches_per_op": {Value: 0, Unit: "count/op"}, "sent_bytes": {Value: 1 << 40, Unit: "B"},
		},
		LatencyHDR: latency, Counters: map[string]float64{"steal_s": 0.02}, Environment: "0123abc", Warnings: []string{"the load was high"},
	}
}

func environment() Environment {
	return Environment{ID: "0123abc", Facts: map[string]string{"cpu_model": "AMD EPYC 7B13", "kernel": "6.18.0", "governor": ""}, Warnings: []string{"steal"}}
}
