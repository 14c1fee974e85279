// SPDX-License-Identifier: Apache-2.0

package report

import "time"

// Span is what a program with known truth says about one of its functions: it spent at least and at most this much time there.
type Span struct {
	Least, Most time.Duration
}
