// SPDX-License-Identifier: Apache-2.0

package main

import (
	"testing"
	"time"

	"github.com/assaylab/assay/ci/kernels/report"
)

// TestWithin gives both comparisons recordings that are right, and some that are wrong in one way each.
func TestWithin(t *testing.T) {
	span := func(least, most time.Duration) report.Span {
		return report.Span{Least: least * time.Millisecond, Most: most * time.Millisecond}
	}
	at := func(samples int64, ms time.Duration) measure { return measure{samples, ms * time.Millisecond} }
	truth := map[string]report.Span{"a": span(3490, 3500), "b": span(1490, 1500)}
	for _, test := range []struct {
		name     string
		recorded map[string]measure
		within   func(map[string]measure, map[string]report.Span) error
		ok       bool
	}{
		{"sampled, right", map[string]measure{"a": at(1790, 3580), "b": at(710, 1420)}, sampled, true},
		{"sampled, wrong share", map[string]measure{"a": at(1875, 3750), "b": at(625, 1250)}, sampled, false},
		{"sampled, half lost", map[string]measure{"a": at(875, 1750), "b": at(375, 750)}, sampled, false},
		{"sampled, none", nil, sampled, false},
		{"exact, right", map[string]measure{"a": at(350, 3495), "b": at(150, 1495)}, exactly, true},
		{"exact, too little", map[string]measure{"a": at(350, 3489), "b": at(150, 1495)}, exactly, false},
		{"exact, too much", map[string]measure{"a": at(350, 3495), "b": at(150, 1501)}, exactly, false},
		{"exact, none", nil, exactly, false},
	} {
		if err := test.within(test.recorded, truth); (err == nil) != test.ok {
			t.Errorf("%s: %v", test.name, err)
		}
	}
}
