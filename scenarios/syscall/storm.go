// SPDX-License-Identifier: Apache-2.0

package syscall

import (
	"context"
	"time"

	"github.com/assaylab/assay/scenarios"
)

func stormKind() scenarios.Kind {
	return scenarios.Kind{
		Name:  "syscall/storm",
		About: "makes one system call, or a pattern of a few, as fast as possible in each of some threads",
		Params: append([]scenarios.Param{{
			Name: "call", Type: scenarios.Choice, Default: "getpid", Choices: callNames(), About: "what to repeat: " + aboutCalls(),
		}}, crewParams()...),
		New: func(v scenarios.Values) (scenarios.Workload, error) {
			c, err := findCall(v.Text("call"))
			if err != nil {
				return nil, err
			}
			members, err := newCrew(v, c)
			if err != nil {
				return nil, err
			}
			return &storm{crew: members, call: c}, nil
		},
	}
}

// A storm is all threads making the same call.
type storm struct {
	crew
	call *call
}

// Run makes the call until the time is over. The outcome has latencies only for calls whose operation takes microseconds.
func (s *storm) Run(ctx context.Context, d time.Duration) (*scenarios.Outcome, error) {
	return s.run(ctx, d, func(_ int, where site) (pattern, error) { return s.call.open(where) })
}
