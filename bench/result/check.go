// SPDX-License-Identifier: Apache-2.0

package result

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/assaylab/assay/internal/lazyregexp"
)

// maxName is the most bytes of a name, maxText those of a line of text.
const (
	maxName = 200
	maxText = 64 << 10
)

var (
	metricName = lazyregexp.New(`^[A-Za-z][A-Za-z0-9_.]*$`)
	factName   = lazyregexp.New(`^[a-z][a-z0-9_.-]*$`)
	unitName   = lazyregexp.New(`^[A-Za-z%][A-Za-z0-9%/]*$`)
)

// Check reports the first thing that is wrong with r, as "block 3, arm perf: …". A record that it passes can be encoded both ways.
func (r *Record) Check() error {
	for _, check := range []func() error{r.checkNames, r.checkNumbers, r.checkMetrics, r.checkCounters, r.checkBPF, r.checkText} {
		if err := check(); err != nil {
			return fmt.Errorf("block %d, arm %s: %w", r.Block, shorten(r.Arm), err)
		}
	}
	return nil
}

func (r *Record) checkNames() error {
	if r.Version < 1 || r.Version > Version {
		return fmt.Errorf("version %d, want 1 to %d", r.Version, Version)
	}
	names := []struct{ what, name string }{{"scenario", r.Scenario}, {"kind", r.Kind}, {"arm", r.Arm}, {"environment", r.Environment}}
	for _, n := range names {
		if err := checkName(n.what, n.name); err != nil {
			return err
		}
	}
	return errors.Join(checkValues("parameter", r.Params), checkValues("knob", r.Knobs))
}

// checkValues checks texts by name.
func checkValues(what string, values map[string]string) error {
	for _, key := range slices.Sorted(maps.Keys(values)) {
		if err := errors.Join(checkName(what, key), checkValue(what+" "+shorten(key), values[key])); err != nil {
			return err
		}
	}
	return nil
}

func (r *Record) checkNumbers() error {
	numbers := []struct {
		name  string
		value int64
	}{{"block", int64(r.Block)}, {"order", int64(r.Order)}, {"duration_ns", r.DurationNS}, {"operations", r.Operations}, {"errors", r.Errors}}
	for _, n := range numbers {
		if n.value < 0 {
			return fmt.Errorf("%s is %d, less than 0", n.name, n.value)
		}
	}
	switch {
	case r.Start.IsZero():
		return errors.New("no start")
	case r.Start.Year() < 0 || r.Start.Year() > 9999:
		return fmt.Errorf("start in the year %d", r.Start.Year())
	case r.Failed == "" && r.DurationNS == 0:
		return errors.New("a duration of 0, and it doesn't say that it failed")
	}
	return nil
}

func (r *Record) checkMetrics() error {
	if r.Failed != "" && len(r.Metrics) > 0 {
		return errors.New("it failed, and has metrics")
	}
	primary := ""
	for _, name := range slices.Sorted(maps.Keys(r.Metrics)) {
		m := r.Metrics[name]
		switch {
		case !metricName().MatchString(name) || len(name) > maxName:
			return fmt.Errorf("metric %s: want a name of letters, digits, _ and .", shorten(name))
		case !finite(m.Value):
			return fmt.Errorf("metric %s is %v", name, m.Value)
		case !unitName().MatchString(m.Unit) || len(m.Unit) > maxName:
			return fmt.Errorf("metric %s: want a unit such as ns/op, not %s", name, shorten(m.Unit))
		case m.Main && primary != "":
			return fmt.Errorf("two primary metrics, %s and %s", primary, name)
		case m.Main:
			primary = name
		}
	}
	return nil
}

func (r *Record) checkCounters() error {
	for _, name := range slices.Sorted(maps.Keys(r.Counters)) {
		if err := checkName("counter", name); err != nil {
			return err
		}
		if v := r.Counters[name]; !finite(v) {
			return fmt.Errorf("counter %s is %v", name, v)
		}
	}
	return nil
}

func (r *Record) checkBPF() error {
	if r.BPF == nil {
		return nil
	}
	if b := r.BPF; b.DurationNS <= 0 || b.Operations < 0 || !finite(b.MeterNS) {
		return fmt.Errorf("bpf: %d operations in %d ns, a meter of %v ns", b.Operations, b.DurationNS, b.MeterNS)
	}
	for _, p := range r.BPF.Programs {
		if err := errors.Join(checkName("program", p.Name), checkName("type of program", p.Type)); err != nil {
			return fmt.Errorf("bpf: %w", err)
		}
		if p.Runs < 0 || p.NS < 0 || !finite(p.NS) {
			return fmt.Errorf("bpf: program %s: %d runs in %v ns", shorten(p.Name), p.Runs, p.NS)
		}
	}
	return nil
}

func (r *Record) checkText() error {
	for _, w := range r.Warnings {
		if err := checkText("a warning", w); err != nil {
			return err
		}
	}
	if r.LatencyHDR != "" && !looksLikeLatency(r.LatencyHDR) {
		return errors.New("latency_hdr is no HdrHistogram V2 in base64")
	}
	return checkText("failed", r.Failed)
}

// configKeys are those of benchfmt that a record fills, which no fact may take.
var configKeys = []string{"scenario", "kind", "seed", "environment"}

// Check reports the first thing that is wrong with e.
func (e *Environment) Check() error {
	if err := checkName("environment", e.ID); err != nil {
		return err
	}
	for _, key := range slices.Sorted(maps.Keys(e.Facts)) {
		if !factName().MatchString(key) || len(key) > maxName || slices.Contains(configKeys, key) {
			return fmt.Errorf("environment %s: no fact may be named %s", e.ID, shorten(key))
		}
		if err := checkText("fact "+key, e.Facts[key]); err != nil {
			return fmt.Errorf("environment %s: %w", e.ID, err)
		}
	}
	for _, w := range e.Warnings {
		if err := checkText("a warning", w); err != nil {
			return fmt.Errorf("environment %s: %w", e.ID, err)
		}
	}
	return nil
}

// checkName refuses what is empty, long, or not printable. Spaces are allowed.
func checkName(what, name string) error {
	switch {
	case name == "":
		return fmt.Errorf("no %s", what)
	case len(name) > maxName:
		return fmt.Errorf("%s %s: longer than %d bytes", what, shorten(name), maxName)
	case !utf8.ValidString(name) || strings.ContainsFunc(name, func(c rune) bool { return !unicode.IsPrint(c) }):
		return fmt.Errorf("%s %s: has characters that can't be printed", what, shorten(name))
	}
	return nil
}

// checkText refuses what is no value, and more than one line.
func checkText(what, text string) error {
	if strings.ContainsAny(text, "\n\r") {
		return fmt.Errorf("%s: more than one line", what)
	}
	return checkValue(what, text)
}

// checkValue refuses what JSON would change, since it replaces bytes that are no UTF-8, and what is very long.
func checkValue(what, text string) error {
	switch {
	case !utf8.ValidString(text):
		return fmt.Errorf("%s: no UTF-8", what)
	case len(text) > maxText:
		return fmt.Errorf("%s: longer than %d bytes", what, maxText)
	}
	return nil
}

func finite(v float64) bool { return !math.IsNaN(v) && !math.IsInf(v, 0) }

// shorten quotes a name that may be anything, cut to what fits a message.
func shorten(name string) string {
	const most = 40
	if len(name) > most {
		return fmt.Sprintf("%.*q…", most, name)
	}
	return fmt.Sprintf("%q", name)
}
