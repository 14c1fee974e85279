// SPDX-License-Identifier: Apache-2.0

// Package knobs sets what can be tuned about a machine and about how work is started, and puts it back.
//
// A knob is something that has a value: a kind and a name, such as sysctl:net.core.somaxconn or env:GOGC. [Parse] reads one with the values
// to try, [Knob.For] says where it applies to a kind of work and checks that it can be set there:
//
//   - on the machine: a [Journal] sets it, and puts it back;
//   - in the network namespaces that the work makes (what belongs to a namespace, for kinds of work that have some);
//   - at the start of the work: its environment, scheduling and CPUs.
//
// The last two need no journal, as they end with the workload: [Knob.Start] returns the [Launch] that does them. Control groups are both:
// a journal makes and removes the group, the Launch starts the work in it.
//
// A value is set, read back and compared: a kernel that takes another value without a word is an error. The journal is on disk before
// anything is changed, so whatever ends a run, [Restore] finds what to put back.
package knobs
