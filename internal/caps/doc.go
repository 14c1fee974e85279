// SPDX-License-Identifier: Apache-2.0

// Package caps knows the capabilities of Linux by name, reads those of the
// running program and gives them up.
//
// It asks the kernel with system calls and never reads /proc/self: a program
// that got its capabilities from its file (setcap) and is run by an ordinary
// user is not dumpable, so parts of /proc/self belong to root and are closed to
// it.
//
// Two words that are easily mixed: a thread's permitted set is what it may
// use, its effective set is what the kernel looks at now. Capabilities belong
// to threads; those of a Go program are the same on all of its threads unless
// somebody made them differ.
package caps
