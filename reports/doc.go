// SPDX-License-Identifier: Apache-2.0

// Package reports turns a profile into what people look at. Each report is a function from a profile, anyone's, to bytes; it keeps no
// state and the same profile gives the same bytes:
//
//   - Text: a table of functions;
//   - Folded: one line a stack, for the tools that take such lines;
//   - FlameGraph: one HTML file that needs no network;
//   - Summary and SummaryJSON: what a recording found, how complete it is and what it cost.
//
// # Words
//
// A frame is one function in a stack; a location of a profile has several where calls were inlined. The flat value of a function
// counts the samples in which it is the leaf, the cumulative value those in which it occurs, once a sample.
//
// # Names
//
// A profile comes from a file and the names in it from the programs that were profiled, so none is trusted: characters that a terminal or a
// browser would act upon are escaped where a name enters a report. A frame without a name is shown by its file and the offset in
// it, "[libfoo.so+0x1234]", which names the same code in each run, or by its address, "[0x7f00000010]", if no file is known.
//
// Sums saturate: a file can hold values whose sum is beyond an int64.
package reports
