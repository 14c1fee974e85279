// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"context"
	"errors"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/assaylab/assay/bench/result"
	"github.com/assaylab/assay/scenarios"
	"github.com/assaylab/assay/scenarios/knobs"
)

// fakeTuning tunes the fake kind, which does more when its environment or a sysctl says so.
func fakeTuning(t *testing.T, knobTexts ...string) *Tuning {
	t.Helper()
	x := fakeExperiment()
	x.MaxBlocks = 10
	x.Subject.Values["tuned"] = "true"
	var all []*knobs.Knob
	for _, text := range knobTexts {
		k, err := knobs.Parse(text)
		if err == nil {
			err = k.For(&scenarios.Kind{Name: "fake"})
		}
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, k)
	}
	var err error
	if x.Journal, err = knobs.OpenJournal(filepath.Join(t.TempDir(), "journal")); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := x.Journal.Close(); err != nil {
			t.Error(err)
		}
	})
	tuning, err := NewTuning(*x, all)
	if err != nil {
		t.Fatal(err)
	}
	return tuning
}

// TestTuning finds what a variable of the environment gains and that another does nothing, recommends the first, and confirms it.
func TestTuning(t *testing.T) {
	tuning := fakeTuning(t, "env:"+fakeEnv+"=500", "env:ASSAY_BENCH_TEST_NOTHING=1")
	var phases []string
	tuning.Phase = func(text string) { phases = append(phases, text) }
	var told []result.Record
	tuning.Experiment.Record = func(rs []result.Record) error { told = append(told, rs...); return nil }
	if plan := tuning.Plan(); plan.Design.Form != "full factorial" || len(plan.Design.Settings) != 4 || plan.Knobs[0].Present != "" {
		t.Errorf("plan: %+v", plan)
	}
	got, o, err := tuning.Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	before := 1000 + moreOps()
	gain := float64(before+500) / float64(before)
	if len(got.Effects) != 3 || got.Blocks != 10 || got.Unit != "op/s" || !got.More {
		t.Fatalf("%+v", got)
	}
	for i, want := range []float64{gain, 1, 1} {
		if e := got.Effects[i]; math.Abs(e.Ratio-want) > 1e-9 || e.Found != (want != 1) {
			t.Errorf("effect of %v: %+v, want %g", e.Knobs, e, want)
		}
	}
	if k := got.Knobs; !k[0].HasEffect || k[0].Recommended != "500" || k[1].HasEffect || k[1].Recommended != "" {
		t.Errorf("knobs: %+v", k)
	}
	if !got.Confirmed() || math.Abs(got.Confirmation.Ratio-gain) > 1e-9 || got.Confirmation.Blocks != 6 {
		t.Errorf("confirmation: %+v", got.Confirmation)
	}
	if len(phases) != 2 || len(o.Records) != 4*10+3*6 || len(told) != len(o.Records) {
		t.Errorf("%d phases, %d records, told of %d", len(phases), len(o.Records), len(told))
	}
	if last := o.Records[len(o.Records)-1]; last.Block != 15 {
		t.Errorf("the last block is %d", last.Block)
	}
	for _, r := range o.Records {
		more := float64(r.Operations - before)
		if want := map[string]float64{"": 0, "500": 500}[r.Knobs["env:"+fakeEnv]]; more != want {
			t.Errorf("%s, with %v, did %g operations more", r.Arm, r.Knobs, more)
		}
	}
}

// TestTuningResumes goes on in the middle of a block, and in the confirmation, and comes to the same as a tuning that was not broken off.
func TestTuningResumes(t *testing.T) {
	const knob = "env:" + fakeEnv + "=500"
	want, o, err := fakeTuning(t, knob).Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for kept, whole := range map[int]int{7: 6, 20: 20, 24: 23, len(o.Records): len(o.Records)} {
		tuning := fakeTuning(t, knob)
		ran := 0
		tuning.Experiment.Record = func(rs []result.Record) error { ran += len(rs); return nil }
		n, err := tuning.Resume(o.Environment, o.Records[:kept])
		if err != nil || n != whole {
			t.Fatalf("of %d records %d count, %v; want %d", kept, n, err, whole)
		}
		got, resumed, err := tuning.Run(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if got.Blocks != want.Blocks || !got.Confirmed() || got.Confirmation.Blocks != want.Confirmation.Blocks || whole+ran != len(o.Records) {
			t.Errorf("with %d records: %+v, %d trials more", kept, got, ran)
		}
		for i, r := range resumed.Records {
			if first := o.Records[i]; r.Arm != first.Arm || r.Block != first.Block || r.Seed != first.Seed {
				t.Errorf("with %d records: record %d is of %s in block %d, want %s in %d", kept, i, r.Arm, r.Block, first.Arm, first.Block)
			}
		}
	}
	if _, err := fakeTuning(t, "env:"+fakeEnv+"=400").Resume(o.Environment, o.Records); err == nil || !strings.Contains(err.Error(), "had other parameters or knobs") {
		t.Errorf("another value: %v", err)
	}
}

// TestTuningMachine sets a sysctl in the trials that want it, and puts it back after each, also when it is interrupted.
func TestTuningMachine(t *testing.T) {
	wantAsItWas := func(original string) {
		t.Helper()
		if now, err := os.ReadFile(fakeSysctl); err != nil || string(now) != original {
			t.Errorf("%s is %q, %v; it was %q", fakeSysctl, now, err, original)
		}
	}
	text, err := os.ReadFile(fakeSysctl)
	if err != nil {
		t.Fatal(err)
	}
	original := string(text)
	tuning := fakeTuning(t, "sysctl:vm.stat_interval=301")
	tuning.Experiment.Record = func([]result.Record) error { wantAsItWas(original); return nil }
	got, o, err := tuning.Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if k := got.Knobs[0]; !k.HasEffect || k.Recommended != "301" || !got.Confirmed() {
		t.Errorf("%+v", got)
	}
	for _, r := range o.Records {
		want := r.Knobs["sysctl:vm.stat_interval"]
		if set := r.Operations - 1000; strings.TrimSpace(want) != "301" == (set == 301) {
			t.Errorf("%s, with %s, found %d set", r.Arm, want, set)
		}
	}
	wantAsItWas(original)

	tuning = fakeTuning(t, "sysctl:vm.stat_interval=301")
	tuning.Experiment.MaxBlocks = 1000
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go func() { // interrupts while it is set
		for ctx.Err() == nil {
			if text, err := os.ReadFile(fakeSysctl); err != nil || string(text) == "301\n" {
				cancel()
			}
		}
	}()
	if got, _, err := tuning.Run(ctx); !errors.Is(err, errNoBlocks) && (err != nil || got.End != string(EndInterrupted)) {
		t.Errorf("interrupted: %+v, %v", got, err)
	}
	wantAsItWas(original)
}

// TestTuningRefuses wants to know before anything runs what can't be tuned.
func TestTuningRefuses(t *testing.T) {
	if _, err := NewTuning(*fakeExperiment(), nil); err == nil || !strings.Contains(err.Error(), "nothing to try") {
		t.Error(err)
	}
	k, err := knobs.Parse("env:ASSAY_BENCH_TEST_NOTHING=")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := NewTuning(*fakeExperiment(), []*knobs.Knob{k}); err == nil || !strings.Contains(err.Error(), "want two at least") {
		t.Error(err)
	}
}

// TestTuningFailures leaves out blocks in which a trial failed, counts them, and recommends nothing of what was not confirmed.
func TestTuningFailures(t *testing.T) {
	tuning := fakeTuning(t, "env:"+fakeEnv+"=500")
	records := []result.Record{}
	good := func(arm string, value float64) result.Record {
		return result.Record{Arm: arm, Metrics: map[string]result.Metric{"throughput": {Value: value, Unit: "op/s", More: true}}}
	}
	for range 3 {
		records = append(records, good(Baseline, 100), good("s1", 110), result.Record{Arm: "s1", Failed: "disk full"}, good(Baseline, 100))
	}
	best, err := tuning.judge(&Outcome{Records: records})
	if err != nil || tuning.result.Blocks != 3 || tuning.result.FailedBlocks != 3 || best[0] != 0 || tuning.result.Changes {
		t.Errorf("%v, %+v, %v", best, tuning.result, err)
	}
	if _, err := tuning.judge(&Outcome{Records: records[2:4]}); !errors.Is(err, errNoBlocks) {
		t.Errorf("nothing but failures: %v", err)
	}
}
