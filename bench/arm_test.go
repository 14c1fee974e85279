// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"strings"
	"testing"

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
		knobs   []string
		wantErr string
	}{
		{"same=nothing", nil, nil, nil, nil, ""},
		{"big=set:size=64K,threads=2", map[string]string{"size": "64K", "threads": "2"}, nil, nil, nil, ""},
		{"gogc=env:GOGC=50,GOMAXPROCS=1", nil, []string{"GOGC=50", "GOMAXPROCS=1"}, nil, nil, ""},
		{"cpu=assay:cpu@97", nil, nil, []string{"/bin/assay", "record", "--json", "--mode", "cpu", "--output", "/dev/null", "--freq", "97"}, nil, ""},
		{"wall=assay:wall", nil, nil, []string{"/bin/assay", "record", "--json", "--mode", "wall", "--output", "/dev/null"}, nil, ""},
		{"perf=perf record -a -o /dev/null", nil, nil, []string{"/bin/sh", "-c", "exec perf record -a -o /dev/null"}, nil, ""},
		{"perf", nil, nil, nil, nil, "want NAME=WHAT"},
		{"perf=", nil, nil, nil, nil, "want NAME=WHAT"},
		{"=nothing", nil, nil, nil, nil, "want a name"},
		{"Perf!=nothing", nil, nil, nil, nil, "want a name"},
		{"baseline=nothing", nil, nil, nil, nil, "there always is one"},
		{"a/a=nothing", nil, nil, nil, nil, "there always is one"},
		{"low=knob:sysctl:vm.swappiness=10", nil, nil, nil, []string{"sysctl:vm.swappiness=10"}, ""},
		{
			"two=knob:sysctl:net.ipv4.tcp_rmem=4096 131072 6291456 knob:env:GOGC=50", nil, nil, nil,
			[]string{"sysctl:net.ipv4.tcp_rmem=4096 131072 6291456", "env:GOGC=50"},
			"",
		},
		{"x=knob:sysctl:vm.swappiness=10,20", nil, nil, nil, nil, "want one; assay tune compares many"},
		{"x=knob:vm.swappiness=10", nil, nil, nil, nil, "want KIND:NAME=VALUE"},
		{"x=set:size", nil, nil, nil, nil, "want KEY=VALUE"},
		{"x=env:", nil, nil, nil, nil, "want KEY=VALUE"},
		{"x=assay:gpu", nil, nil, nil, nil, "want cpu, offcpu or wall"},
		{"x=bpf:/nowhere.o", nil, nil, nil, nil, "no such file"},
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
			var set []string
			for _, k := range a.Knobs {
				set = append(set, k.Knob.String()+"="+k.Value)
			}
			if diff := cmp.Diff(c.params, a.Params) + cmp.Diff(c.env, a.Env) + cmp.Diff(c.beside, beside) + cmp.Diff(c.knobs, set); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// TestObject loads and attaches an eBPF object of ours, and takes it away again.
func TestObject(t *testing.T) {
	o, err := newObject("../bpf/names_x86_bpfel.o")
	if err == nil || !strings.Contains(err.Error(), "can be attached") {
		t.Errorf("an object of a type that attaches nowhere: %v, %v", o, err)
	}
}
