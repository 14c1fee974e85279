// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"io"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestRatiosPairRounds(t *testing.T) {
	mine := []values{{"x": 2}, {"x": 9}, nil, {"x": 4}, {"x": 5}}
	other := []values{{"x": 1}, nil, {"x": 3}, {"x": 8}, {"x": 0}}
	if diff := cmp.Diff([]float64{2, 0.5}, ratios(mine, other, "x")); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestClaims(t *testing.T) {
	mine := []values{{"x": 10}, {"x": 12}, {"x": 11}}
	other := []values{{"x": 20}, {"x": 24}, {"x": 22}}
	for _, c := range []struct {
		claim claim
		want  string
	}{
		{claim{metric: "x", arm: "a", limit: 11}, "x, a: 11 [10, 12]; at most 11: reached (1× of the limit)"},
		{claim{metric: "x", arm: "a", limit: 10}, "x, a: 11 [10, 12]; at most 10: **missed** (1.1× of the limit)"},
		{claim{metric: "x", arm: "a", limit: 22, least: true}, "x, a: 11 [10, 12]; at least 22: **missed** (0.5× of the limit)"},
		{claim{metric: "x", arm: "a", limit: 11, least: true}, "x, a: 11 [10, 12]; at least 11: reached (1× of the limit)"},
		{claim{metric: "x", arm: "a", over: "b", limit: 0.4}, "x, a / b: 0.5× [0.5, 0.5]; at most 0.4×: **missed** (1.25× of the limit)"},
		{claim{metric: "x", arm: "a", over: "b"}, "x, a / b: 0.5× [0.5, 0.5]"},
		{claim{metric: "y", arm: "a", over: "b", limit: 1}, "y, a / b: not measured"},
	} {
		if got := c.claim.judge(mine, other, source()).String(); got != c.want {
			t.Errorf("%+v:\n got %s\nwant %s", c.claim, got, c.want)
		}
	}
}

// Each round runs every arm, a broken run is tried again and told of, and what is never measured is not taken for reached.
func TestMeasure(t *testing.T) {
	runs := map[string]int{}
	counting := func(name string, run func(n int) (values, error)) arm {
		return arm{name, func() (values, error) {
			runs[name]++
			return run(runs[name])
		}}
	}
	b := benchmark{
		name: "test", metrics: []string{"x"},
		arms: func(*lab) []arm {
			return []arm{
				counting("fine", func(n int) (values, error) { return values{"x": float64(n)}, nil }),
				counting("moody", func(n int) (values, error) {
					if n == 1 {
						return nil, errors.New("not today")
					}
					return values{"x": 2}, nil
				}),
				counting("broken", func(int) (values, error) { return nil, errors.New("never") }),
			}
		},
		claims: []claim{{metric: "x", arm: "fine", over: "moody", limit: 1}, {metric: "x", arm: "broken", limit: 1}},
	}
	r, err := b.measure(&lab{settings: &settings{rounds: 3}}, source(), io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]int{"fine": 3, "moody": 4, "broken": 3 * attempts}, runs); diff != "" {
		t.Errorf("runs (-want +got):\n%s", diff)
	}
	if want := 1 + 3*attempts; len(r.Failures) != want {
		t.Errorf("%d failures, want %d: %q", len(r.Failures), want, r.Failures)
	}
	if diff := cmp.Diff([]float64{1, 2, 3}, r.Arms[0].Metrics["x"].Values); diff != "" {
		t.Errorf("values of an arm (-want +got):\n%s", diff)
	}
	if !r.Claims[0].Reached || r.Claims[1].Reached {
		t.Errorf("claims: %v", r.Claims)
	}
	if (&Report{Results: []Result{r}}).verdict() == nil {
		t.Error("a claim that nobody measured passes")
	}
}

// A name that no arm or metric has would leave a claim unmeasured for ever.
func TestBenchmarksNameWhatExists(t *testing.T) {
	l := &lab{settings: &settings{}}
	for _, b := range benchmarks {
		arms, metrics := map[string]bool{"": true}, map[string]bool{}
		for _, a := range b.arms(l) {
			arms[a.name] = true
		}
		for _, m := range b.metrics {
			metrics[m] = true
		}
		for _, c := range b.claims {
			if !arms[c.arm] || !arms[c.over] || !metrics[c.metric] || c.arm == "" {
				t.Errorf("%s: claim %+v names what doesn't exist", b.name, c)
			}
		}
	}
}

func TestCostOfFitsALine(t *testing.T) {
	got, err := costOf(sampled{samples: 1000, cpu: 12e6}, sampled{samples: 5000, cpu: 20e6, runs: 10, ran: 25_000})
	if err != nil {
		t.Fatal(err)
	}
	want := values{"samples": 5000, cpuPerSample: 4, marginalPerSample: 2, fixedCPU: 10, bpfPerSample: 2500}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if _, err := costOf(sampled{samples: 10}, sampled{samples: 10}); err == nil {
		t.Error("a line through one point")
	}
}
