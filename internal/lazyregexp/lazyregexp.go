// SPDX-License-Identifier: Apache-2.0

// Package lazyregexp compiles regular expressions where they are needed first: the start of each command would pay for all of them.
package lazyregexp

import (
	"regexp"
	"sync"
)

// New returns a function that compiles an expression once; it panics if that can't be parsed.
func New(expr string) func() *regexp.Regexp {
	return sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(expr) })
}
