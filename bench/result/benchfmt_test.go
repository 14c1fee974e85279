// SPDX-License-Identifier: Apache-2.0

package result

import (
	"bytes"
	"go/build"
	"strings"
	"testing"

	"golang.org/x/perf/benchfmt"
)

// TestBenchfmtComesBack writes records and reads them by x/perf's reader.
func TestBenchfmtComesBack(t *testing.T) {
	var records []Record
	for block := range 3 {
		records = append(records, good(t, block, "a/a"), good(t, block, "replica-2"))
	}
	var text bytes.Buffer
	if err := WriteBenchfmt(&text, []Environment{environment()}, records); err != nil {
		t.Fatal(err)
	}
	in := benchfmt.NewReader(&text, "test")
	n := 0
	for in.Scan() {
		switch got := in.Result().(type) {
		case *benchfmt.SyntaxError:
			t.Error(got)
		case *benchfmt.Result:
			sameAsRecord(t, got, &records[n])
			n++
		}
	}
	if n != len(records) || in.Err() != nil {
		t.Errorf("%d results of %d, %v", n, len(records), in.Err())
	}
	if in.Units().GetBetter("op/s") != 1 || in.Units().GetBetter("p99-ns") != -1 {
		t.Error("it doesn't say what is better")
	}
}

func sameAsRecord(t *testing.T, got *benchfmt.Result, r *Record) {
	t.Helper()
	base, parts := got.Name.Parts()
	arm := map[string]string{"a/a": "/arm=a%2Fa", "replica-2": "/arm=replica%2D2"}[r.Arm]
	if string(base) != "Tcp%20echo" || len(parts) != 1 || string(parts[0]) != arm || got.Iters != 1 {
		t.Errorf("name %q, parts %q, want %q", base, parts, arm)
	}
	values := map[string]float64{}
	for _, v := range got.Values {
		if v.OrigUnit != "" {
			v.Value, v.Unit = v.OrigValue, v.OrigUnit
		}
		values[v.Unit] = v.Value
	}
	units := map[string]string{
		"throughput": "op/s", "latency_p50": "p50-ns", "latency_p99": "p99-ns", "cpu_per_op": "cpu-ns/op", "time_per_op": "ns/op",
		"switches_per_op": "switches-count/op", "sent_bytes": "sent_bytes-B",
	}
	for name, m := range r.Metrics {
		if v, ok := values[units[name]]; !ok || v != m.Value {
			t.Errorf("%s: %v, want %v %s", name, v, m.Value, units[name])
		}
	}
	if got.Values[0].Unit != "op/s" || len(values) != len(units) {
		t.Errorf("%d values, the first in %s", len(values), got.Values[0].Unit)
	}
	config := map[string]string{"scenario": r.Scenario, "kind": r.Kind, "seed": "18446744073709551615", "environment": r.Environment, "cpu_model": "AMD EPYC 7B13", "kernel": "6.18.0", "governor": ""}
	for key, want := range config {
		if have := got.GetConfig(key); have != want {
			t.Errorf("%s: %q, want %q", key, have, want)
		}
	}
}

// TestBenchfmtText is the file itself, as people see it.
func TestBenchfmtText(t *testing.T) {
	r := good(t, 0, "baseline")
	r.Metrics = map[string]Metric{"throughput": {Value: 182000, Unit: "op/s", More: true}, "latency_p99": {Value: 5200.5, Unit: "ns", Main: true}}
	failed := r
	failed.Block, failed.Metrics, failed.Failed = 1, nil, "exit status 1"
	var text bytes.Buffer
	if err := WriteBenchfmt(&text, []Environment{environment()}, []Record{r, failed, r}); err != nil {
		t.Fatal(err)
	}
	want := `Unit op/s better=higher
Unit p99-ns better=lower
scenario: tcp echo
kind: network.echo
seed: 18446744073709551615
environment: 0123abc
cpu_model: AMD EPYC 7B13
kernel: 6.18.0

BenchmarkTcp%20echo/arm=baseline 1 5200.5 p99-ns 182000 op/s
# block 1, arm baseline has no figures: exit status 1
BenchmarkTcp%20echo/arm=baseline 1 5200.5 p99-ns 182000 op/s
`
	if text.String() != want {
		t.Errorf("got\n%s\nwant\n%s", &text, want)
	}
}

func TestBenchfmtRefuses(t *testing.T) {
	r := good(t, 0, "baseline")
	r.Metrics["p99"] = Metric{Value: 1, Unit: "ns"}
	err := WriteBenchfmt(&bytes.Buffer{}, nil, []Record{r})
	if err == nil || !strings.Contains(err.Error(), "metrics latency_p99 and p99 have the same unit p99-ns") {
		t.Errorf("two metrics of one unit: %v", err)
	}
	r = good(t, 0, "")
	if err := WriteBenchfmt(&bytes.Buffer{}, nil, []Record{r}); err == nil {
		t.Error("wrote a record without an arm")
	}
}

// TestBenchfmtContradiction: a unit that is good one way here and the other way there says nothing.
func TestBenchfmtContradiction(t *testing.T) {
	r, s := good(t, 0, "a"), good(t, 0, "b")
	s.Metrics["sent_bytes"] = Metric{Value: 1, Unit: "B", More: true}
	var text bytes.Buffer
	if err := WriteBenchfmt(&text, nil, []Record{r, s}); err != nil || strings.Contains(text.String(), "Unit sent_bytes-B") {
		t.Errorf("%v\n%s", err, &text)
	}
}

// TestNeedsNoBenchstat: the format is enough; the command is for whoever likes it.
func TestNeedsNoBenchstat(t *testing.T) {
	p, err := build.ImportDir(".", 0)
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range p.Imports {
		if strings.HasPrefix(path, "golang.org/x/perf/cmd") || path == "os/exec" {
			t.Errorf("imports %s", path)
		}
	}
}
