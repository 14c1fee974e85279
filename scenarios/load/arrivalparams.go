// SPDX-License-Identifier: Apache-2.0

package load

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/assaylab/assay/scenarios"
	"github.com/assaylab/assay/scenarios/load/accesslog"
	"github.com/assaylab/assay/scenarios/load/arrivals"
)

const (
	maxRate        = 1e6
	maxConnections = 4096
)

// generatorParams are the parameters of kinds that are driven by a generator.
func generatorParams() []scenarios.Param {
	return []scenarios.Param{
		{
			Name: "arrivals", Type: scenarios.Choice, Default: "constant", Choices: []string{"closed", "constant", "poisson", "ramp", "steps", "trace"},
			About: "when operations start: at times of their own (an open loop), or closed: each connection's next when its last is done",
		},
		{Name: "rate", Type: scenarios.Float, Default: "1000", Min: 0.01, Max: maxRate, About: "operations a second; for ramp at the start"},
		{Name: "rate_end", Type: scenarios.Float, Default: "2000", Max: maxRate, About: "operations a second at the end of a ramp"},
		{
			Name: "steps", Type: scenarios.Text, Default: "1000@1s,2000@1s",
			About: "rates and how long they last; the last goes on until the end",
		},
		{
			Name: "times", Type: scenarios.Path, About: "of a trace: a file of times, one a line, or CSV with a column of that name in its heading " +
				"(without one, the first); seconds, or as logs and RFC 3339 write them; a run ends with it",
		},
		{Name: "speed", Type: scenarios.Float, Default: "1", Min: 0.001, Max: 1e6, About: "how many times faster a trace comes than recorded"},
		{Name: "connections", Type: scenarios.Int, Default: "16", Min: 1, Max: maxConnections, About: "how many operations there may be at a time"},
		{Name: "timeout", Type: scenarios.Duration, Default: "5s", Min: 0.001, Max: 300, About: "after which, or a 64th of it later, an operation has failed, from when it really started"},
		{Name: "seed", Type: scenarios.Int, Default: "1", About: "of what is random"},
	}
}

// newGenerator makes the generator that the parameters ask for.
func newGenerator(v scenarios.Values) (*generator, error) {
	rate, end, seed := v.Float("rate"), v.Float("rate_end"), uint64(v.Int("seed"))
	schedules := map[string]func(time.Duration) arrivals.Schedule{
		"closed":   nil,
		"constant": func(time.Duration) arrivals.Schedule { return arrivals.Constant(rate) },
		"poisson":  func(time.Duration) arrivals.Schedule { return arrivals.Poisson(rate, seed) },
		"ramp":     func(d time.Duration) arrivals.Schedule { return arrivals.Ramp(rate, end, d) },
	}
	switch v.Text("arrivals") {
	case "steps":
		return newSteps(v)
	case "trace":
		if v.Text("times") == "" {
			return nil, errors.New("parameter times: want a file of times for arrivals=trace")
		}
		return &generator{timetable: &timetable{file: v.Text("times"), options: accesslog.Options{Format: accesslog.Times}, speed: v.Float("speed")}}, nil
	}
	return &generator{schedule: schedules[v.Text("arrivals")]}, nil
}

func newSteps(v scenarios.Values) (*generator, error) {
	steps, err := arrivals.ParseSteps(v.Text("steps"))
	if err != nil {
		return nil, fmt.Errorf("parameter steps: %w", err)
	}
	for _, s := range steps {
		if s.Rate > maxRate {
			return nil, fmt.Errorf("parameter steps: rate %v: want at most %v", s.Rate, maxRate)
		}
	}
	return &generator{schedule: func(d time.Duration) arrivals.Schedule {
		steps := slices.Clone(steps)
		steps[len(steps)-1].For = max(d, steps[len(steps)-1].For)
		return arrivals.Steps(steps...)
	}}, nil
}
