// SPDX-License-Identifier: Apache-2.0

// Package scenarios says what can be run: the schema of a scenario, the kinds of work that there are, and a library of scenarios. It
// knows nothing of measuring: package bench runs scenarios in trials and judges them.
//
// Words: a kind is a way to work, in Go (package scenarios/syscall, load, network); a scenario is a kind with its parameters, in
// YAML; a workload is one scenario made ready to run; an outcome is what it did. An operation is what a workload
// repeats; its latency counts from when it was to start, which for work at a rate is the time of its arrival.
package scenarios
