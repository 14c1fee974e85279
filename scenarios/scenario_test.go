// SPDX-License-Identifier: Apache-2.0

package scenarios_test

import (
	"strings"
	"testing"
	"time"

	"github.com/assaylab/assay/scenarios"
)

// base is a scenario to change.
func base(t *testing.T) *scenarios.Scenario {
	t.Helper()
	s, err := scenarios.Parse("f", []byte("name: a\nkind: load/service\nparams: {rate: 5}\n"), kinds)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestOverride changes a copy.
func TestOverride(t *testing.T) {
	s := base(t)
	before := string(s.YAML())
	got, err := s.Override([]string{"rate=7", "cpu=1ms", "warmup=0s", "duration=2s", "primary=latency_p50", "cpus=1,0"})
	if err != nil {
		t.Fatal(err)
	}
	want := "name: a\nkind: load/service\nparams:\n  cpu: 1ms\n  rate: 7\nwarmup: 0s\nduration: 2s\nprimary: latency_p50\nisolation:\n  cpus: 0-1\n"
	if string(got.YAML()) != want || string(s.YAML()) != before {
		t.Errorf("got\n%swant\n%sthe first is now\n%s", got.YAML(), want, s.YAML())
	}
	if same, err := s.Override(nil); err != nil || string(same.YAML()) != before {
		t.Errorf("nothing: %v\n%s", err, same.YAML())
	}
}

// TestOverrideErrors wants each mistake told in one line, with the change and what was expected.
func TestOverrideErrors(t *testing.T) {
	for set, want := range map[string]string{
		"rate":                         `set "rate": want KEY=VALUE`,
		"=1":                           `set "=1": want KEY=VALUE`,
		"":                             `set "": want KEY=VALUE`,
		"raet=1":                       `set "raet=1": load/service has no "raet"; want rate`,
		"durations=1s":                 `set "durations=1s": load/service has no "durations"; want duration`,
		"name=b":                       `set "name=b": load/service has no "name"; want one of cpu, lock, io,`,
		"rate=fast":                    `set "rate=fast": parameter rate: "fast": want a number`,
		"rate=1 rate=1":                `set "rate=1": rate is given twice; want it once`,
		"duration=1":                   `set "duration=1": "1" is no duration; want one such as 500ms or 5s`,
		"cpus=x":                       `set "cpus=x": "x" is no list of CPUs; want one such as 0-3,7`,
		"stall_for=1s stall_every=1ms": `set "stall_for=1s stall_every=1ms": stall_for 1s in each stall_every 1ms: want it shorter`,
		"steps=\x00":                   `set "steps=\x00": parameter steps: "\x00" can't be shown; want printable text`,
	} {
		_, err := base(t).Override(strings.Split(set, " "))
		if err == nil || !strings.HasPrefix(err.Error(), want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%q:\n got %v\nwant %s", set, err, want)
		}
	}
}

// TestNames keeps the names of parameters apart from those of the settings that Override changes.
func TestNames(t *testing.T) {
	for _, k := range kinds {
		for _, p := range k.Params {
			for _, setting := range []string{"warmup", "duration", "primary", "cpus"} {
				if p.Name == setting {
					t.Errorf("%s: parameter %s has the name of a setting", k.Name, p.Name)
				}
			}
		}
		if _, err := k.Check(nil); err != nil {
			t.Errorf("%s: a default is wrong: %v", k.Name, err)
		}
	}
}

// TestSLO compares values with an objective, and says it as people do.
func TestSLO(t *testing.T) {
	most := scenarios.SLO{Metric: "latency_p99", Limit: scenarios.Max, Value: float64(10 * time.Millisecond)}
	least := scenarios.SLO{Metric: "throughput", Limit: scenarios.Min, Value: 1.5e6}
	for _, c := range []struct {
		o     scenarios.SLO
		value float64
		met   bool
		text  string
	}{
		{most, 10e6, true, "latency_p99 max 10ms"},
		{most, 10e6 + 1, false, "latency_p99 max 10ms"},
		{least, 1.5e6, true, "throughput min 1500000"},
		{least, 1, false, "throughput min 1500000"},
	} {
		if c.o.Met(c.value) != c.met || c.o.String() != c.text {
			t.Errorf("%s: met by %g: %t", c.o, c.value, c.o.Met(c.value))
		}
	}
}
