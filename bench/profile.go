// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"context"
	"fmt"
)

// A Profiler records where the time of arms goes.
type Profiler interface {
	// Profile records a process and its descendants for as long as work takes, and keeps what it found under the name of the arm.
	Profile(ctx context.Context, arm string, pid int, work func() error) error
}

// Profile has each arm work once more, as long as in a trial, for a profiler to look at. What it costs to be looked at would be in a trial, so
// this is none: it is done after the last block, and leaves no record.
func (x *Experiment) Profile(ctx context.Context, p Profiler) error {
	for _, a := range x.all() {
		_, err := x.with(ctx, a, x.params(a), func(w *worker, _ running) error {
			if err := x.warmUp(ctx, w); err != nil {
				return err
			}
			return p.Profile(ctx, a.Name, w.cmd.Process.Pid, func() error {
				_, err := w.run(ctx, x.Subject.Duration)
				return err
			})
		})
		if err != nil {
			return fmt.Errorf("profile of arm %s: %w", a.Name, err)
		}
	}
	return nil
}
