// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"context"
	"errors"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/assaylab/assay/bench/result"
	"github.com/assaylab/assay/scenarios"
)

// fakeExperiment measures the fake kind, which does exactly as many operations as it is told, with arms of other numbers.
func fakeExperiment(arms ...string) *Experiment {
	x := &Experiment{
		Subject: Subject{
			Scenario: &scenarios.Scenario{Name: "fake", Kind: &scenarios.Kind{Name: "fake"}, Duration: 10 * time.Millisecond, Primary: "throughput"},
			Values:   scenarios.Values{"ops": "1000"},
		},
		Launcher:    testLauncher(),
		Seed:        7,
		Budget:      time.Minute,
		MaxBlocks:   6,
		environment: result.Environment{ID: "test"}, // or a second would go into looking at the machine
	}
	for _, text := range arms {
		a, err := ParseArm(text, nil)
		if err != nil {
			panic(err)
		}
		x.Arms = append(x.Arms, a)
	}
	return x
}

// TestExperiment finds that an arm does 3% less, that A/A doesn't differ, and that six blocks without any noise are enough.
func TestExperiment(t *testing.T) {
	x := fakeExperiment("slow=set:ops=970")
	var told int
	x.Record = func(rs []result.Record) error { told += len(rs); return nil }
	o, err := x.Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if o.End != EndPrecise || o.Blocks != 6 || len(o.Records) != 18 || told != 18 {
		t.Errorf("%d blocks, %d records, %d told of, ended %s", o.Blocks, len(o.Records), told, o.End)
	}
	for _, c := range o.Comparisons {
		want := map[string]float64{SameAgain: 1, "slow": 0.97}[c.Arm]
		if c.Metric == "throughput" && (math.Abs(c.Ratio-want) > 1e-9 || c.Low > want+1e-9 || c.High < want-1e-9) {
			t.Errorf("%s: %g, %g to %g, want %g", c.Arm, c.Ratio, c.Low, c.High, want)
		}
	}
	if c := o.Comparisons; len(c) < 2 || c[0].Arm != SameAgain || c[0].Metric != "throughput" || c[0].Differs() || !c[1].Differs() {
		t.Errorf("comparisons: %+v", c)
	}
	checkBlocks(t, o.Records, []string{Baseline, SameAgain, "slow"})
}

// checkBlocks wants each block to have each arm once, and the order to change from block to block.
func checkBlocks(t *testing.T, records []result.Record, arms []string) {
	t.Helper()
	orders := map[string]bool{}
	for start := 0; start < len(records); start += len(arms) {
		var names []string
		for i, r := range records[start : start+len(arms)] {
			if r.Block != start/len(arms) || r.Order != i {
				t.Errorf("record %d is of block %d, place %d", start+i, r.Block, r.Order)
			}
			names = append(names, r.Arm)
		}
		orders[strings.Join(names, " ")] = true
		slices.Sort(names)
		if want := slices.Sorted(slices.Values(arms)); !slices.Equal(names, want) {
			t.Errorf("a block of %v, want %v", names, want)
		}
	}
	if len(orders) < 2 {
		t.Errorf("always in the same order: %v", orders)
	}
}

// TestSeed makes the same orders of the same seed, and others of another.
func TestSeed(t *testing.T) {
	orders := func(seed uint64) string {
		x := fakeExperiment("slow=set:ops=970")
		x.Seed, x.MaxBlocks, x.MinBlocks = seed, 4, 4
		o, err := x.Run(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		var names []string
		for _, r := range o.Records {
			names = append(names, r.Arm)
		}
		return strings.Join(names, " ")
	}
	if a, b, c := orders(1), orders(1), orders(2); a != b || a == c {
		t.Errorf("seed 1: %s\nagain:  %s\nseed 2: %s", a, b, c)
	}
}

// TestResume breaks off in the middle of a block and goes on: the records are those of a run that didn't break off.
func TestResume(t *testing.T) {
	first := fakeExperiment("slow=set:ops=970")
	first.MaxBlocks = 3
	half, err := first.Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	second := fakeExperiment("slow=set:ops=970")
	broken := half.Records[:len(half.Records)-1] // the last block lacks an arm
	if whole, err := second.Resume(half.Environment, broken); err != nil || whole != 6 {
		t.Fatalf("%d records, %v, want 6", whole, err)
	}
	o, err := second.Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if o.Blocks != 6 || len(o.Records) != 18 {
		t.Errorf("%d blocks, %d records", o.Blocks, len(o.Records))
	}
	checkBlocks(t, o.Records, []string{Baseline, SameAgain, "slow"})
	other := fakeExperiment("fast=set:ops=1100")
	if _, err := other.Resume(half.Environment, half.Records); err == nil {
		t.Error("took up the records of other arms")
	}
}

// TestFailures leaves out blocks that fail now and then, and gives up when all do.
func TestFailures(t *testing.T) {
	x := fakeExperiment("broken=set:fault=run")
	_, err := x.Run(t.Context())
	if err == nil || !strings.Contains(err.Error(), "broken: disk full") {
		t.Errorf("%v, want what broke", err)
	}
	x = fakeExperiment("wrong=set:nonsense=1")
	if _, err := x.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "parameter nonsense") {
		t.Errorf("%v, want which parameter", err)
	}
	x = fakeExperiment()
	x.Subject.Primary = "latency_p42"
	if _, err := x.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "latency_p42 was not measured") {
		t.Errorf("%v, want which metric", err)
	}
}

// TestBudget ends before the budget is overrun, and an interrupt at once, with what there is.
func TestBudget(t *testing.T) {
	x := fakeExperiment()
	x.Budget, x.MaxBlocks, x.MinBlocks = 2*time.Second, 1000, 1000
	begin := time.Now()
	o, err := x.Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if o.End != EndBudget || o.Blocks < 1 || time.Since(begin) > 10*time.Second {
		t.Errorf("%d blocks in %s, ended %s", o.Blocks, time.Since(begin), o.End)
	}
	x = fakeExperiment()
	x.MaxBlocks, x.MinBlocks = 1000, 1000
	ctx, cancel := context.WithCancel(t.Context())
	x.Progress = func(p Progress) {
		if p.Blocks == 2 {
			cancel()
		}
	}
	if o, err = x.Run(ctx); err != nil || o.End != EndInterrupted || o.Blocks != 2 {
		t.Errorf("%+v, %v, want two blocks", o, err)
	}
	x = fakeExperiment()
	ctx, cancel = context.WithCancel(t.Context())
	cancel()
	if _, err := x.Run(ctx); !errors.Is(err, errNoBlocks) {
		t.Errorf("%v, want %v", err, errNoBlocks)
	}
}

// TestFingerprint tells the same machine twice.
func TestFingerprint(t *testing.T) {
	a, err := Fingerprint()
	if err != nil {
		t.Fatal(err)
	}
	b := steadyFacts()
	for key, value := range b {
		if a.Facts[key] != value {
			t.Errorf("%s: %q, then %q", key, a.Facts[key], value)
		}
	}
	if a.ID == "" || b["kernel"] == "" || b["cpus"] == "" {
		t.Errorf("%+v", a)
	}
}

// TestLoadWarnings warns of stolen time and of others' load.
func TestLoadWarnings(t *testing.T) {
	for _, c := range []struct {
		name   string
		gained counters
		want   []string
	}{
		{"quiet", counters{"machine_idle_s": 1.98, "machine_user_s": 0.02}, nil},
		{"busy", counters{"machine_idle_s": 1.8, "machine_user_s": 0.2}, []string{"others use 10.0%"}},
		{"stolen", counters{"machine_idle_s": 1.9, "machine_steal_s": 0.1}, []string{"the host takes 5.0%"}},
	} {
		got := loadWarnings(c.gained, map[string]string{})
		if len(got) != len(c.want) || len(got) > 0 && !strings.HasPrefix(got[0], c.want[0]) {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}

// TestCounters has what the kernel counts of the machine and of the workload in each record.
func TestCounters(t *testing.T) {
	x := fakeExperiment()
	x.Subject.Values["fault"] = "rest"
	x.MaxBlocks, x.MinBlocks = 1, 1
	o, err := x.Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range o.Records {
		for _, name := range []string{
			"machine_switches_count", "machine_softirq_s", "machine_softirq_timer_count", "machine_softirq_net_rx_count", "machine_steal_s",
			"workload_user_s", "workload_voluntary_switches_count", "workload_minor_faults_count",
		} {
			if v, ok := r.Counters[name]; !ok || v < 0 {
				t.Errorf("block %d, arm %s: %s is %v", r.Block, r.Arm, name, v)
			}
		}
		if r.Counters["machine_interrupts_count"] == 0 {
			t.Error("not one interrupt")
		}
	}
}
