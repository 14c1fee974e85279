// SPDX-License-Identifier: Apache-2.0

// Package ci holds the rules of this repository that a machine can keep, as tests: which room imports which, what each file starts
// with, that documents point at something. Beside it: verdict, which runs the tests, and kernels, which boots other kernels.
package ci
