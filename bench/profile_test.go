// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"context"
	"errors"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// looker is a profiler that notes whom it was to look at, and whether there was such a process at work.
type looker struct {
	arms []string
	err  error
}

func (l *looker) Profile(_ context.Context, arm string, pid int, work func() error) error {
	l.arms = append(l.arms, arm)
	return errors.Join(syscall.Kill(pid, 0), work(), l.err)
}

func TestProfile(t *testing.T) {
	x := fakeExperiment("more=set:ops=2000")
	var l looker
	if err := x.Profile(t.Context(), &l); err != nil || !slices.Equal(l.arms, []string{Baseline, SameAgain, "more"}) || len(x.records) > 0 {
		t.Errorf("looked at %q, %d records, %v", l.arms, len(x.records), err)
	}
	l = looker{err: errors.New("no lens")}
	if err := x.Profile(t.Context(), &l); err == nil || !strings.Contains(err.Error(), "profile of arm baseline: no lens") {
		t.Errorf("a profiler that fails: %v", err)
	}
}
