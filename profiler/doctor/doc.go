// SPDX-License-Identifier: Apache-2.0

// Package doctor finds out what this machine lets a profiler do.
//
// It is a table of checks (see rows). Each looks at one thing, says what it
// found, what it costs to be without, and the command that mends it. A setting
// is read; what can be tried is really tried: events are opened, programs of
// each type loaded and, where that disturbs nobody, attached for an instant,
// and when the kernel refuses, its own words are shown.
//
// Three parts can be used on their own:
//
//   - Run makes the whole Report, for people (WriteTable) and for programs
//     (its JSON form).
//   - Predict says from capabilities and settings alone what a recorder will be
//     able to do; Observe tries the same things. They have to agree, and a test
//     with each capability dropped in turn holds them to it.
//   - The probes (CPUClockEvents, SideBandEvents, ReadMaps, …) each try one
//     thing and undo it.
//
// Two ideas that are easily mixed: the status of a check says whether the thing
// is there; its need says whether Assay minds. A program type that no kernel
// here can load is "missing" and yet no reason to worry when its need is
// "unused".
package doctor
