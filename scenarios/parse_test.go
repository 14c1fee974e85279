// SPDX-License-Identifier: Apache-2.0

package scenarios_test

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/assaylab/assay/scenarios"
	"github.com/assaylab/assay/scenarios/catalog"
)

// Parsing is tested with the kinds that there are: errors name their parameters.
var kinds = catalog.Kinds()

const whole = `# what is allowed
name: whole-1
about: >
  Stands for
  much.
kind: "load/cpu"
params: {threads: '2', duty: 0.25}
warmup: 0s
duration: 1500ms
primary: latency_p99
isolation:
  cpus: 4,0-2,1
slos:
  - metric: latency_p99
    max: 10ms
  - {metric: throughput, min: 1000.5}
  - metric: received_bytes
    min: 16K
`

// TestParse reads all that a scenario can have.
func TestParse(t *testing.T) {
	s, err := scenarios.Parse("whole.yaml", []byte(whole), kinds)
	if err != nil {
		t.Fatal(err)
	}
	kind, err := scenarios.FindKind(kinds, "load/cpu")
	if err != nil {
		t.Fatal(err)
	}
	want := &scenarios.Scenario{
		Name: "whole-1", About: "Stands for much.", Kind: kind, Params: map[string]string{"threads": "2", "duty": "0.25"},
		Duration: 1500 * time.Millisecond, Primary: "latency_p99", Isolation: scenarios.Isolation{CPUs: []int{0, 1, 2, 4}},
		SLOs: []scenarios.SLO{
			{Metric: "latency_p99", Limit: scenarios.Max, Value: 10e6},
			{Metric: "throughput", Limit: scenarios.Min, Value: 1000.5},
			{Metric: "received_bytes", Limit: scenarios.Min, Value: 16384},
		},
	}
	if !reflect.DeepEqual(s, want) { // the same kind, not one that is equal
		t.Errorf("got\n%s\nwant\n%s", s.YAML(), want.YAML())
	}
	v, err := s.Check()
	if err != nil || v.Int("threads") != 2 || v.Duration("period") != 10*time.Millisecond {
		t.Errorf("values %v, %v", v, err)
	}
	s, err = scenarios.Parse("", []byte("{name: a, kind: load/cpu}"), kinds)
	if err != nil || s.Warmup != 300*time.Millisecond || s.Duration != time.Second || s.Primary != "throughput" {
		t.Errorf("defaults: %+v, %v", s, err)
	}
}

// TestParseErrors wants each mistake told in one line, with its place and what was expected.
func TestParseErrors(t *testing.T) {
	const head = "name: a\nkind: load/cpu\n" // what comes then is in line 3
	for text, want := range map[string]string{
		"":                                                       "1:1: there is nothing; want a scenario, with at least a name and a kind",
		"# only\n":                                               "1:1: there is nothing; want a scenario, with at least a name and a kind",
		"- a\n":                                                  "1:1: a scenario is a list; want a mapping of name, about, kind,",
		"kind: load/cpu\n":                                       "1:1: a scenario without a name; want name: …",
		"name: a\n":                                              "1:1: a scenario without a kind; want kind: …",
		"name: a\nkind: load/cpuu\n":                             `2:7: there is no kind "load/cpuu"; want load/cpu`,
		"name: a\nkind: [load/cpu]\n":                            "2:7: kind is a list; want one value",
		"name: A b\nkind: load/cpu\n":                            `1:7: name "A b": want 1 to 64 of a-z, 0-9 and -`,
		"name: \xff":                                             "1:7: byte 0xff is not UTF-8; want text",
		"name: a\nkind: \x00":                                    `2:7: '\x00' is a control character; want text`,
		head + "durration: 1s\n":                                 `3:1: a scenario has no "durration"; want duration`,
		head + "duration: 5\n":                                   `3:11: "5" is no duration; want one such as 500ms or 5s`,
		head + "duration: 0s\n":                                  `3:11: "0s": want 1ms to 24h0m0s`,
		head + "warmup: -1s\n":                                   `3:9: "-1s": want 0s to 1h0m0s`,
		head + "warmup:\n  a: 1\n":                               "4:3: warmup is a mapping; want one value",
		head + "warmup:\n":                                       "3:9: warmup is empty; want one value",
		head + "name: b\n":                                       "3:1: name is here already in line 1; want it once",
		head + "primary: latency_p98\n":                          `3:10: there is no metric "latency_p98"; want latency_p9`,
		head + "params: [1]\n":                                   "3:9: load/cpu is a list; want a mapping of threads, duty, period",
		head + "params:\n  thread: 1\n":                          `4:3: load/cpu has no "thread"; want threads`,
		head + "params:\n  threads: two\n":                       `4:12: parameter threads: "two": want a whole number`,
		head + "params:\n  threads: 0\n":                         `4:12: parameter threads: "0": want 1 to 256`,
		head + "params:\n  threads: [1]\n":                       "4:12: threads is a list; want one value",
		head + "params:\n  threads: ~\n":                         "4:12: threads is empty; want one value",
		head + "params:\n  duty: 0.5.5\n":                        `4:9: parameter duty: "0.5.5": want a number`,
		head + "params:\n  period: 10\n":                         `4:11: parameter period: "10": want a duration such as`,
		head + "isolation: 0-3\n":                                "3:12: isolation is one value; want a mapping of cpus, cpu_limit, memory_limit",
		head + "isolation: {cpu: 1}\n":                           `3:13: isolation has no "cpu"; want cpus`,
		head + "isolation: {cpu_limit: 0.5}\n":                   `3:24: "0.5" is no share of one CPU; want one such as 50% or 150%`,
		head + "isolation: {memory_limit: 1K}\n":                 `3:27: "1K": want a size of at least 32M`,
		head + "isolation: {cpus: 3-1}\n":                        `3:19: "3-1" is no list of CPUs; want one such as 0-3,7`,
		head + "isolation: {cpus: 0-1024}":                       `3:19: "0-1024" is no list of CPUs; want one such as 0-3,7, with CPUs up to 1023`,
		head + "slos: fast\n":                                    "3:7: slos is one value; want a list of objectives",
		head + "slos: [{metric: x}]\n":                           "3:8: an objective with metric; want metric, and either max or min",
		head + "slos: [{}]\n":                                    "3:8: an objective with nothing; want metric, and either max or min",
		head + "slos:\n  - max: 1\n":                             "4:5: an objective with max; want metric, and either max or min",
		head + "slos: [{metric: x, max: 1}":                      "3:7: this is not YAML: sequence end token",
		head + "slos:\n- metric: speed\n  max: 1\n":              `4:11: there is no metric "speed"; want one of throughput`,
		head + "slos:\n- metric: latency_p50\n  max: 1\n":        `5:8: "1" is no duration; want one such as 500ms or 5s`,
		head + "slos:\n- metric: throughput\n  min: -1\n":        `5:8: throughput min "-1": want 0 to`,
		head + "slos:\n- {metric: throughput, min: 1, max: 2}\n": "4:3: an objective with max, metric, min; want metric, and either max or min",
		head + "slos: [{metric: x_ns, max: 1s}, {metric: x_ns, max: 2s}]": "3:33: x_ns has a max already; want one",
		head + "about: &a x\n":      "3:8: about is an anchor; want one value",
		head + "about: *a\n":        "3:8: about is an alias; want one value",
		head + "about: !!str x\n":   "3:8: about is a tag; want one value",
		head + "<<: {a: 1}\n":       "3:1: a merge as a key; want a plain word",
		head + "about: \"a\\0b\"\n": `3:8: about: "\x00b" can't be shown; want printable text`,
		head + "about: [\n":         "3:8: this is not YAML: ",
		head + "---\nname: b\n":     "4:1: there is another document; want one",
		head + "\tabout: x\n":       "3:",
		"name: a\nkind: load/service\nparams: {stall_for: 1s}\n":                     "2:7: stall_for 1s in each stall_every 0s: want it shorter",
		"name: a\nkind: load/exec\nparams:\n  command: \"'\"\n":                      `4:12: parameter command: "'": want a ' at the end of what is quoted`,
		"name: a\nkind: load/exec\n":                                                 "2:7: parameter command: want a program and its arguments",
		"name: a\nkind: syscall/mix\nparams:\n  mix: getpid=x\n":                     "4:8: parameter mix: ",
		head + strings.Repeat("#", 64<<10):                                           "1:1: the file is too long; want at most 65536 bytes",
		head + "about: |\n" + strings.Repeat(" \n", 30000):                           "1:1: the file is too long; want at most 2000 lines",
		head + "about: " + strings.Repeat("[", 9000):                                 "1:1: brackets in brackets are too deep; want a plain mapping",
		head + strings.Repeat("- ", 30000):                                           "1:1: there is too much in the file; want a scenario",
		head + "about: " + strings.Repeat("x", 501) + "\n":                           "3:8: about: 501 bytes are too many; want at most 500",
		"name: a\nkind: load/exec\nparams:\n  pattern: " + strings.Repeat("x", 5000): "4:12: parameter pattern: 5000 bytes are too many; want at most 4096",
	} {
		_, err := scenarios.Parse("f.yaml", []byte(text), kinds)
		if err == nil || !strings.HasPrefix(err.Error(), "f.yaml:"+want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%.200q:\n got %v\nwant f.yaml:%s", text, err, want)
		}
	}
}

// TestParseManyErrors wants all mistakes of a file told, in the order of their lines, and not without end.
func TestParseManyErrors(t *testing.T) {
	_, err := scenarios.Parse("f", []byte("nam: a\nkind: load/cpu\nparams:\n  duty: 2\n  threads: 0\nwarmup: 1\n"), kinds)
	want := `f:1:1: a scenario has no "nam"; want name
f:1:1: a scenario without a name; want name: …
f:4:9: parameter duty: "2": want 0 to 1
f:5:12: parameter threads: "0": want 1 to 256
f:6:9: "1" is no duration; want one such as 500ms or 5s`
	if diff := cmp.Diff(want, fmt.Sprint(err)); diff != "" {
		t.Errorf("- want, + got:\n%s", diff)
	}
	_, err = scenarios.Parse("f", []byte("name: a\nkind: load/cpu\n"+strings.Repeat("x: 1\n", 1000)), kinds)
	lines := strings.Split(fmt.Sprint(err), "\n")
	if len(lines) != 21 || lines[20] != "f:23:1: 980 more problems; want these mended first" {
		t.Errorf("%d lines, the last %q", len(lines), lines[len(lines)-1])
	}
}

// TestReadFile names the file in each error, and reads no more than it has to.
func TestReadFile(t *testing.T) {
	folder := t.TempDir()
	path := filepath.Join(folder, "a.yaml")
	if err := os.WriteFile(path, []byte(whole), 0o600); err != nil {
		t.Fatal(err)
	}
	if s, err := scenarios.ReadFile(path, kinds); err != nil || s.Name != "whole-1" {
		t.Errorf("%v, %v", s, err)
	}
	for path, want := range map[string]string{
		folder: "is a directory", folder + "/none": "no such file", "/dev/zero": "/dev/zero:1:1: the file is too long; want at most 65536 bytes",
	} {
		if _, err := scenarios.ReadFile(path, kinds); err == nil || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
}
