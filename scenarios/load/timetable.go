// SPDX-License-Identifier: Apache-2.0

package load

import (
	"fmt"
	"math"
	"os"
	"slices"
	"time"

	"github.com/assaylab/assay/scenarios"
	"github.com/assaylab/assay/scenarios/load/accesslog"
	"github.com/assaylab/assay/scenarios/load/arrivals"
)

// A timetable is arrivals as they were, from a file, played at a speed. A run ends with them.
type timetable struct {
	file      string
	options   accesslog.Options
	speed     float64
	recording *accesslog.Recording
	times     []time.Duration
}

// read reads the file, and leaves out what is unwanted; nil is nothing. It returns how many that were.
func (t *timetable) read(unwanted func(accesslog.Request) bool) (left int, err error) {
	f, err := os.Open(t.file)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	if t.recording, err = accesslog.Read(f, t.options); err != nil {
		return 0, fmt.Errorf("%s: %w", t.file, err)
	}
	all := len(t.recording.Requests)
	if unwanted != nil {
		t.recording.Requests = slices.DeleteFunc(t.recording.Requests, unwanted)
	}
	t.times = make([]time.Duration, len(t.recording.Requests))
	for i := range t.times {
		t.times[i] = t.recording.Requests[i].At
	}
	return all - len(t.times), nil
}

func (t *timetable) schedule() arrivals.Schedule { return arrivals.Trace(t.times, t.speed) }

// length is a nanosecond more than the last arrival, so that it is one of them.
func (t *timetable) length() time.Duration {
	last := arrivals.Scale(t.times[len(t.times)-1]-t.times[0], t.speed)
	return last + min(1, math.MaxInt64-last)
}

// explain says what of the file was not replayed as it is in a run that was to last d.
func (t *timetable) explain(o *scenarios.Outcome, d time.Duration) {
	all := t.recording
	o.Values["broken_count"] = float64(all.Broken)
	say := func(format string, args ...any) { o.Notes = append(o.Notes, fmt.Sprintf(format, args...)) }
	if all.Broken > 0 {
		what := "requests"
		if t.options.Format == accesslog.Times {
			what = "times"
		}
		say("%d of %d lines are no %s and were left out; the first is %v", all.Broken, all.Lines, what, all.First)
	}
	if all.Spread {
		say("the log's times are whole seconds: the requests of a second were spread evenly over it")
	}
	if length := t.length(); length < d {
		say("the log ended after %v, and with it the run of %v; lower the speed, or give a longer log", length.Round(time.Millisecond), d)
	}
}
