// SPDX-License-Identifier: Apache-2.0

package main_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/pprof/profile"

	"github.com/assaylab/assay/internal/truth"
)

// goPrograms are the ways to link a program of Go, of which each has its g elsewhere.
func goPrograms(t testing.TB) map[string]string {
	t.Helper()
	build := func(sources []string, flags ...string) string {
		return truth.Recipe{Sources: sources, Flags: flags}.Build(t)
	}
	pure, cgo := []string{"labels.go"}, []string{"labels.go", "labels_cgo.go"}
	return map[string]string{
		"Go":                             build(pure),
		"position-independent, stripped": build(pure, "-buildmode=pie", "-ldflags=-s -w"),
		"with C, stripped":               build(cgo, "-ldflags=-s -w"),
		"with C, position-independent":   build(cgo, "-buildmode=pie"),
		"with C, static":                 build(cgo, "-ldflags=-extldflags=-static"),
	}
}

// TestGoLabels records goroutines with labels that go from thread to thread, and wants the CPU time of each label.
func TestGoLabels(t *testing.T) {
	for name, program := range goPrograms(t) {
		t.Run(name, func(t *testing.T) {
			settle(t, 1, func(seconds float64) error {
				r := record(t, flags(cpuFlags, "--", program, secondsArg(seconds))...)
				times := r.truth(t).Group("cpu_ns")
				samples := map[string]int64{}
				for work := range times {
					samples[work] = sum(t, r.p, "samples", every(onStack("main.compute"), labelled("work", work)))
				}
				unlabelled := func(s *profile.Sample) bool { return s.Label["work"] == nil }
				samples["none"] = sum(t, r.p, "samples", every(either(onStack("main.turn"), onStack("turn_in_c")), onStack("main.compute"), unlabelled))
				return errors.Join(compareShares(samples, times), checkLabels(r.p))
			})
		})
	}
}

// checkLabels wants the labels of each piece of work as the source has them, as far as a profile can hold them.
func checkLabels(p *profile.Profile) error {
	want := map[string]map[string]string{
		"red":  {"work": "red"},
		"nap":  {"work": "nap"},
		"doze": {"work": "doze"},
		"dark": {"work": "dark", "shade": "dark"},
		"blue": {
			"work": "blue", "go.comm": "not the thread's", "go.": "no key",
			strings.Repeat("key", 20)[:32] + "…": "long key", "long value": strings.Repeat("value", 20)[:64] + "…",
		},
	}
	ours := []string{"comm", "cgroup", "container_id", "thread_state", "syscall", "wait", "runqueue"}
	for _, s := range p.Sample {
		got := map[string]string{}
		for key, values := range s.Label {
			if !slices.Contains(ours, key) {
				got[key] = strings.Join(values, " ")
			}
		}
		if w := want[got["work"]]; len(got) > 0 && fmt.Sprint(got) != fmt.Sprint(w) {
			return fmt.Errorf("labels %v, want %v", got, w)
		}
	}
	return nil
}

// TestGoLabelsOfWaits wants the time that goroutines slept in system calls, by label.
func TestGoLabelsOfWaits(t *testing.T) {
	for name, program := range goPrograms(t) {
		t.Run(name, func(t *testing.T) {
			r := record(t, "--mode", "offcpu", "--exact", "--", program, "1")
			said := r.truth(t)
			got := map[string]time.Duration{}
			for _, work := range []string{"nap", "doze"} {
				got[work] = duration(t, r.p, "off_cpu", every(labelled("work", work), labelled("syscall", "nanosleep")))
			}
			if err := compareSpans(got, said.Spans(), r.mended()); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestGoSwitches wants the stacks of Go that lead to other stacks to be whole: through C and back, and where the runtime left a
// goroutine's stack to make it grow, or for work of its own.
func TestGoSwitches(t *testing.T) {
	program := truth.Build(t, "switches.go", "switches_c.go")
	settle(t, 1, func(seconds float64) error {
		r := record(t, flags(cpuFlags, "--", program, secondsArg(seconds))...)
		errs := []error{compareCPU(t, r.p, r.truth(t).Group("cpu_ns"))}
		for leaf, way := range map[string][]string{
			"main.called":            {"switch_inner", "switch_outer", "main.calling", "main.main"},
			"runtime.copystack":      {"runtime.newstack", "runtime.morestack", "main.deep", "main.growing.func1", "runtime.goexit"},
			"runtime.readmemstats_m": {"runtime.systemstack", "main.reading", "main.main"},
		} {
			from := []filter{onStack(leaf)}
			for _, function := range way {
				from = append(from, onStack(function))
			}
			whole, seen := sum(t, r.p, "samples", every(from...)), sum(t, r.p, "samples", onStack(leaf))
			if whole*20 < seen*19 || seen < 10 { // some are of the time before the tables are there, others of the midst of a switch
				errs = append(errs, fmt.Errorf("%d of %d samples of %s came by way of %v", whole, seen, leaf, way))
			}
		}
		return errors.Join(errs...)
	})
}

// TestNoGoLabels wants no labels when none are asked for, and none of a program that isn't by Go.
func TestNoGoLabels(t *testing.T) {
	for _, c := range []struct {
		program string
		flags   []string
	}{
		{truth.Build(t, "labels.go"), []string{"--no-go-labels"}},
		{truth.Build(t, "split.c"), nil},
	} {
		r := record(t, append(append(flags(cpuFlags, c.flags...), "--"), c.program, "0.3")...)
		r.truth(t)
		for _, s := range r.p.Sample {
			for key := range s.Label {
				if !slices.Contains([]string{"comm", "cgroup", "container_id"}, key) {
					t.Fatalf("%s: label %s: %v", c.program, key, s.Label)
				}
			}
		}
	}
}

// TestGoThatLies records a program that only looks like Go: what can't be read is counted, its samples are there, and nothing hangs.
func TestGoThatLies(t *testing.T) {
	program := truth.Build(t, "golang.c")
	settle(t, 0.5, func(seconds float64) error {
		r := record(t, flags(cpuFlags, "--", program, secondsArg(seconds))...)
		taken, lost := sum(t, r.p, "samples", onStack("lie")), r.fact(t, "lost.go_labels")
		if lost == 0 || lost >= taken {
			return fmt.Errorf("the labels of %d of %d samples could not be read", lost, taken)
		}
		return compareCPU(t, r.p, r.truth(t).Group("cpu_ns"))
	})
}
