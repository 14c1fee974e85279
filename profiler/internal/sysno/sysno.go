// SPDX-License-Identifier: Apache-2.0

// Package sysno has the names of system calls by their numbers on this architecture.
package sysno

import (
	"iter"
	"maps"
	"strconv"
)

//go:generate go run mknames.go

// Name is the name of a system call, its number if it has none here.
func Name(nr int32) string {
	if name, ok := names[nr]; ok {
		return name
	}
	return strconv.Itoa(int(nr))
}

// All are the numbers and names of all system calls.
func All() iter.Seq2[int32, string] { return maps.All(names) }
