// SPDX-License-Identifier: Apache-2.0

// Package arrivals says when the operations of an open-loop load are to start. It knows no clock: a schedule is a sequence of times
// from the start of the load, and the same arguments give the same times on every machine.
//
// Times are computed from the number of the arrival, never by adding gaps, so that rounding doesn't add up (but for Poisson, whose gaps
// are what is random).
package arrivals
