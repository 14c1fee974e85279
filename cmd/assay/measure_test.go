// SPDX-License-Identifier: Apache-2.0

package main_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/pprof/profile"
)

// A filter chooses samples.
type filter func(*profile.Sample) bool

// every chooses what all filters choose.
func every(filters ...filter) filter {
	return func(s *profile.Sample) bool {
		return !slices.ContainsFunc(filters, func(f filter) bool { return !f(s) })
	}
}

// either chooses what one of the filters chooses.
func either(filters ...filter) filter {
	return func(s *profile.Sample) bool {
		return slices.ContainsFunc(filters, func(f filter) bool { return f(s) })
	}
}

// onStack chooses samples with a function of this name.
func onStack(function string) filter {
	return func(s *profile.Sample) bool {
		return slices.ContainsFunc(s.Location, func(l *profile.Location) bool { return named(l, function) })
	}
}

// leaf chooses samples whose innermost frame of user code has this name.
func leaf(function string) filter {
	return func(s *profile.Sample) bool {
		l := userLeaf(s)
		return l != nil && named(l, function)
	}
}

func named(l *profile.Location, function string) bool {
	return slices.ContainsFunc(l.Line, func(line profile.Line) bool { return line.Function != nil && line.Function.Name == function })
}

// inKernel tells the kernel's half of the address space.
func inKernel(l *profile.Location) bool { return l.Address>>63 == 1 }

// userLeaf returns the innermost location of user code, nil if there is none.
func userLeaf(s *profile.Sample) *profile.Location {
	for _, l := range s.Location {
		if !inKernel(l) && l.Mapping != nil && l.Mapping.File != "" && !strings.HasPrefix(l.Mapping.File, "[kernel") {
			return l
		}
	}
	return nil
}

// labelled chooses samples by a label of text.
func labelled(key, value string) filter {
	return func(s *profile.Sample) bool { return slices.Contains(s.Label[key], value) }
}

// numbered chooses samples by a label of a number.
func numbered(key string, value int64) filter {
	return func(s *profile.Sample) bool { return slices.Contains(s.NumLabel[key], value) }
}

func all(*profile.Sample) bool { return true }

// sampleType returns the place of a sample type, and ends the test if the profile has no such.
func sampleType(t testing.TB, p *profile.Profile, name string) int {
	t.Helper()
	i := slices.IndexFunc(p.SampleType, func(v *profile.ValueType) bool { return v.Type == name })
	if i < 0 {
		t.Fatalf("no sample type %s in %v", name, p.SampleType)
	}
	return i
}

// sum adds up one sample type over the samples that a filter chooses.
func sum(t testing.TB, p *profile.Profile, name string, keep filter) int64 {
	t.Helper()
	i := sampleType(t, p, name)
	var total int64
	for _, s := range p.Sample {
		if keep(s) {
			total += s.Value[i]
		}
	}
	return total
}

// duration is sum for types in nanoseconds.
func duration(t testing.TB, p *profile.Profile, name string, keep filter) time.Duration {
	t.Helper()
	return time.Duration(sum(t, p, name, keep))
}

// samplesOf counts CPU samples that have each function on their stack.
func samplesOf[V any](t testing.TB, p *profile.Profile, functions map[string]V) map[string]int64 {
	t.Helper()
	counts := map[string]int64{}
	for name := range functions {
		counts[name] = sum(t, p, "samples", onStack(name))
	}
	return counts
}

// waitsIn adds up off-CPU time by function.
func waitsIn[V any](t testing.TB, p *profile.Profile, functions map[string]V) map[string]time.Duration {
	t.Helper()
	times := map[string]time.Duration{}
	for name := range functions {
		times[name] = duration(t, p, "off_cpu", onStack(name))
	}
	return times
}
