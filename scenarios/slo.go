// SPDX-License-Identifier: Apache-2.0

package scenarios

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/assaylab/assay/internal/lazyregexp"
	"github.com/assaylab/assay/scenarios/internal/nearest"
)

// Limit is on which side of its value an objective is met.
type Limit string

// The limits.
const (
	Max Limit = "max" // at most
	Min Limit = "min" // at least
)

// An SLO is a service level objective: what a metric has to keep.
type SLO struct {
	Metric string
	Limit  Limit
	Value  float64 // in the unit of the metric: nanoseconds, bytes, operations a second, or a number
}

// Met says whether a measured value of the metric, in its unit, keeps the objective.
func (o SLO) Met(value float64) bool {
	if o.Limit == Max {
		return value <= o.Value
	}
	return value >= o.Value
}

// String is the objective as people say it: "latency_p99 max 10ms".
func (o SLO) String() string { return o.Metric + " " + string(o.Limit) + " " + o.text() }

// text is the value as a scenario says it.
func (o SLO) text() string {
	if t, err := metricType(o.Metric); err == nil && t == Duration {
		return time.Duration(o.Value).String()
	}
	return strconv.FormatFloat(o.Value, 'f', -1, 64)
}

// metric is something that is measured of every kind, and what its values look like.
type metric struct {
	name string
	typ  Type
}

var metrics = []metric{
	{"throughput", Float},
	{"latency_p50", Duration},
	{"latency_p90", Duration},
	{"latency_p99", Duration},
	{"latency_p999", Duration},
	{"latency_max", Duration},
	{"cpu_per_op", Duration},
	{"user_per_op", Duration},
	{"system_per_op", Duration},
	{"switches_per_op", Float},
	{"faults_per_op", Float},
	{"metric", Float}, // what load/exec read from the output of a command
}

// metricPattern is what the name of an outcome's value looks like.
const metricPattern = `^[a-z][a-z0-9_]*_(bytes|ns|count|ratio)$`

var metricForm = lazyregexp.New(metricPattern)

const maxMetric = 64

// metricType says how the value of a metric is written.
func metricType(name string) (Type, error) {
	for _, m := range metrics {
		if m.name == name {
			return m.typ, nil
		}
	}
	found := metricForm().FindStringSubmatch(name)
	switch {
	case found == nil || len(name) > maxMetric:
		return "", fmt.Errorf("there is no metric %s; %s, or a value of the outcome, whose name ends in _bytes, _ns, _count or _ratio",
			excerpt(name), nearest.Want(name, metricNames()))
	case found[1] == "bytes":
		return Size, nil
	case found[1] == "ns":
		return Duration, nil
	}
	return Float, nil
}

func metricNames() []string {
	names := make([]string, len(metrics))
	for i, m := range metrics {
		names[i] = m.name
	}
	return names
}

// Bounds of objectives. Within them a value survives being written and read.
const (
	maxSLOs      = 32
	maxObjective = 1 << 50
)

// parseValue reads the value of an objective.
func (o *SLO) parseValue(text string) error {
	t, err := metricType(o.Metric)
	if err != nil {
		return err
	}
	if t == Duration {
		var d time.Duration
		err = setDuration(&d, text, 0, maxDuration)
		o.Value = float64(d)
		return err
	}
	p := Param{Type: t, Max: maxObjective}
	if err := cmp.Or(checkText(text, maxMetric), p.check(text)); err != nil {
		return fmt.Errorf("%s %s %w", o.Metric, o.Limit, err)
	}
	o.Value, err = p.number(text)
	o.Value += 0 // -0 is 0
	return err
}

// addSLO adds an objective, which must not be there yet.
func (s *Scenario) addSLO(o SLO) error {
	if slices.ContainsFunc(s.SLOs, func(p SLO) bool { return p.Metric == o.Metric && p.Limit == o.Limit }) {
		return fmt.Errorf("%s has a %s already; want one", o.Metric, o.Limit)
	}
	if len(s.SLOs) == maxSLOs {
		return errors.New("too many objectives; want at most " + strconv.Itoa(maxSLOs))
	}
	s.SLOs = append(s.SLOs, o)
	return nil
}
