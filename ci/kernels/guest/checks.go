// SPDX-License-Identifier: Apache-2.0

package main

import (
	"time"

	"github.com/assaylab/assay/ci/kernels/report"
)

// checks are run in this order on each kernel. The first ones tell a broken guest from a broken assay.
var checks = []check{
	{"kernel", kernelRelease},
	{"tp_btf", countSwitches},
	{"load", loadObjects},
	{"version", version},
	{"doctor", doctor},
	{"control groups", controlGroups},
	{"record cpu", recording{mode: "cpu", sampleType: "cpu", program: goTruth("truth", "split"), within: sampled}.check},
	{"record offcpu", recording{mode: "offcpu", sampleType: "off_cpu", program: goTruth("truth", "wait"), within: exactly}.check},
	{"record exact", recording{mode: "offcpu", flags: []string{"--exact"}, sampleType: "off_cpu", program: goTruth("truth", "wait"), within: exactly}.check},
	{"stacks", wholeStacks},
	{"hot-plug", hotPlug},
	{"record wakers", recording{mode: "offcpu", flags: []string{"--wakers"}, sampleType: "off_cpu", program: goTruth("truth", "wait"), within: exactly}.check},
}

// foreignChecks come after those on an architecture on which nothing else tries what they try; there are programs for them there only.
var foreignChecks = map[string][]check{
	"arm64": {
		{"Go with C", recording{mode: "cpu", sampleType: "cpu", program: goTruth("truth-dynamic", "calls"), within: sampled}.check},
		{"Go with static C", recording{mode: "cpu", sampleType: "cpu", program: goTruth("truth-static", "calls"), within: sampled}.check},
		{"Python", recording{mode: "cpu", sampleType: "cpu", program: pythonTruth, within: sampled}.check},
	},
}

// check is one thing tried in the guest. Its run function returns what it saw in a few words.
type check struct {
	name string
	run  func() (observation, error)
}

// observation is what a check saw.
type observation struct {
	detail string // in a few words
	output string // what a program printed, for those who want to know more
}

// result runs the check.
func (c check) result() report.Result {
	start := time.Now()
	seen, err := c.run()
	r := report.Result{Check: c.name, Detail: seen.detail, Output: seen.output, Seconds: time.Since(start).Seconds()}
	if err != nil {
		r.Error = err.Error()
	}
	return r
}
