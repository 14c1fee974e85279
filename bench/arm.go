// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"fmt"
	"strings"

	"github.com/assaylab/assay/internal/lazyregexp"
	"github.com/assaylab/assay/scenarios/knobs"
)

// Names of the arms that are always there.
const (
	Baseline  = "baseline"
	SameAgain = "a/a" // the baseline once more: what it differs by is noise
)

// An Arm is what differs between trials: something that runs beside the workload, or something that is changed about it.
type Arm struct {
	Name   string
	Spec   string            // as it was given
	Params map[string]string // parameters of the scenario that differ
	Env    []string          // of the workload
	Knobs  []Setting         // that are set while it runs, and put back
	beside besider           // nil: nothing
}

// A Setting is a knob with a value.
type Setting struct {
	Knob  *knobs.Knob
	Value string
	Keep  bool // the value is the present one: there is nothing to set
}

// knobs are the values of what it sets, or keeps, by KIND:NAME; nil if it has no knobs.
func (a *Arm) knobs() map[string]string {
	var all map[string]string
	for _, s := range a.Knobs {
		if all == nil {
			all = map[string]string{}
		}
		all[s.Knob.String()] = s.Value
	}
	return all
}

var armName = lazyregexp.New(`^[a-z0-9][a-z0-9./_-]{0,40}$`)

// ParseArm reads NAME=SPEC. SPEC is one of
//
//	nothing              the baseline again
//	assay:MODE[@HZ]      our own recorder, run by the command in self
//	set:KEY=VALUE,…      other parameters of the scenario
//	env:KEY=VALUE,…      environment variables of the workload
//	knob:KIND:NAME=VALUE what [knobs.Parse] reads, with one value; more follow, each after a blank and with its own knob:
//	bpf:FILE             an eBPF object, whose programs are loaded and attached
//	COMMAND              anything else runs beside the workload, by sh, and is interrupted at its end
func ParseArm(text string, self []string) (Arm, error) {
	name, spec, ok := strings.Cut(text, "=")
	a := Arm{Name: name, Spec: spec}
	switch {
	case !ok || spec == "":
		return a, fmt.Errorf("arm %q: want NAME=WHAT, such as perf='perf record -a -o /dev/null'", text)
	case !armName().MatchString(name):
		return a, fmt.Errorf("arm %q: want a name of a-z, 0-9 and . / _ -, at most 41 of them", name)
	case name == Baseline || name == SameAgain:
		return a, fmt.Errorf("arm %q: there always is one of that name", name)
	}
	if err := a.read(self); err != nil {
		return a, fmt.Errorf("arm %s: %w", name, err)
	}
	return a, nil
}

func (a *Arm) read(self []string) (err error) {
	kind, rest, ok := strings.Cut(a.Spec, ":")
	switch {
	case a.Spec == "nothing":
	case ok && kind == "assay":
		a.beside, err = ownRecorder(rest, self)
	case ok && kind == "set":
		a.Params, err = pairs(rest)
	case ok && kind == "env":
		_, err = pairs(rest)
		a.Env = strings.Split(rest, ",")
	case ok && kind == "knob":
		a.Knobs, err = settings(rest)
	case ok && kind == "bpf":
		a.beside, err = newObject(rest)
	default:
		a.beside = command{[]string{"/bin/sh", "-c", "exec " + a.Spec}, toldSamples}
	}
	return err
}

// pairs reads KEY=VALUE,KEY=VALUE.
func pairs(text string) (map[string]string, error) {
	all := map[string]string{}
	for _, part := range strings.Split(text, ",") {
		key, value, ok := strings.Cut(part, "=")
		if !ok || key == "" {
			return nil, fmt.Errorf("%q: want KEY=VALUE", part)
		}
		all[key] = value
	}
	return all, nil
}

// settings reads KIND:NAME=VALUE knob:KIND:NAME=VALUE…
func settings(text string) ([]Setting, error) {
	var all []Setting
	for part := range strings.SplitSeq(text, " knob:") {
		k, err := knobs.Parse(part)
		if err != nil {
			return nil, err
		}
		if len(k.Values) != 1 {
			return nil, fmt.Errorf("knob %s has %d values: want one; assay tune compares many", k, len(k.Values))
		}
		all = append(all, Setting{Knob: k, Value: k.Values[0]})
	}
	return all, nil
}

// ownRecorder reads MODE[@HZ].
func ownRecorder(text string, self []string) (besider, error) {
	mode, hz, ok := strings.Cut(text, "@")
	args := append(append([]string{}, self...), "record", "--json", "--mode", mode, "--output", "/dev/null")
	if ok {
		args = append(args, "--freq", hz)
	}
	switch mode {
	case "cpu", "offcpu", "wall":
		return command{args, ownSamples}, nil
	}
	return nil, fmt.Errorf("assay:%s: want cpu, offcpu or wall, with @HZ if you like", text)
}
