// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// TestParseArm reads arms of each kind, and refuses what is none.
func TestParseArm(t *testing.T) {
	self := []string{"/bin/assay"}
	for _, c := range []struct {
		text    string
		params  map[string]string
		env     []string
		beside  []string // the command
		wantErr string
	}{
		{"same=nothing", nil, nil, nil, ""},
		{"big=set:size=64K,threads=2", map[string]string{"size": "64K", "threads": "2"}, nil, nil, ""},
		{"gogc=env:GOGC=50,GOMAXPROCS=1", nil, []string{"GOGC=50", "GOMAXPROCS=1"}, nil, ""},
		{"cpu=assay:cpu@97", nil, nil, []string{"/bin/assay", "record", "--quiet", "--mode", "cpu", "--output", "/dev/null", "--freq", "97"}, ""},
		{"wall=assay:wall", nil, nil, []string{"/bin/assay", "record", "--quiet", "--mode", "wall", "--output", "/dev/null"}, ""},
		{"perf=perf record -a -o /dev/null", nil, nil, []string{"/bin/sh", "-c", "exec perf record -a -o /dev/null"}, ""},
		{"perf", nil, nil, nil, "want NAME=WHAT"},
		{"perf=", nil, nil, nil, "want NAME=WHAT"},
		{"=nothing", nil, nil, nil, "want a name"},
		{"Perf!=nothing", nil, nil, nil, "want a name"},
		{"baseline=nothing", nil, nil, nil, "there always is one"},
		{"a/a=nothing", nil, nil, nil, "there always is one"},
		{"x=set:size", nil, nil, nil, "want KEY=VALUE"},
		{"x=env:", nil, nil, nil, "want KEY=VALUE"},
		{"x=assay:gpu", nil, nil, nil, "want cpu, offcpu or wall"},
		{"x=bpf:/nowhere.o", nil, nil, nil, "no such file"},
	} {
		t.Run(c.text, func(t *testing.T) {
			a, err := ParseArm(c.text, self)
			if c.wantErr != "" {
				if err == nil || !strings.Contains(err.Error(), c.wantErr) {
					t.Errorf("%v, want %q", err, c.wantErr)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			var beside []string
			if cmd, ok := a.beside.(command); ok {
				beside = cmd.args
			}
			if diff := cmp.Diff(c.params, a.Params) + cmp.Diff(c.env, a.Env) + cmp.Diff(c.beside, beside); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// TestBeside starts programs beside a workload: one that listens to the interrupt, one that doesn't run, one that ends at once.
func TestBeside(t *testing.T) {
	file := filepath.Join(t.TempDir(), "ended")
	stop, err := command{[]string{"/bin/sh", "-c", `trap 'echo yes > ` + file + `; exit 0' INT; while :; do sleep 0.05; done`}}.start()
	if err != nil {
		t.Fatal(err)
	}
	begin := time.Now()
	if _, err := stop(); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(file); err != nil || time.Since(begin) > defaultGrace {
		t.Errorf("not interrupted: %v, after %s", err, time.Since(begin))
	}
	for text, want := range map[string]string{"/no/such/program": "no such file", "/bin/false": "ended at once"} {
		if _, err := (command{[]string{text}}).start(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
}

// TestObject loads and attaches an eBPF object of ours, and takes it away again.
func TestObject(t *testing.T) {
	o, err := newObject("../bpf/names_x86_bpfel.o")
	if err == nil || !strings.Contains(err.Error(), "can be attached") {
		t.Errorf("an object of a type that attaches nowhere: %v, %v", o, err)
	}
}
