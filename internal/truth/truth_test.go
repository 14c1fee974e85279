// SPDX-License-Identifier: Apache-2.0

package truth

import (
	"os"
	"os/exec"
	"testing"
	"time"
)

// TestPrograms builds each program and wants it to end in time and to say what its comment promises.
func TestPrograms(t *testing.T) {
	plugin := Recipe{Sources: []string{"plugin.c"}, Flags: []string{"-shared", "-fPIC"}}
	for _, c := range []struct {
		sources []string
		args    []string
		says    []string // keys with values above 0
	}{
		{[]string{"split.c"}, []string{"0.1"}, []string{"cpu_ns.seventy", "cpu_ns.twenty", "cpu_ns.ten", "oncpu_ns.main"}},
		{[]string{"split.go"}, []string{"0.1"}, []string{"cpu_ns.main.seventy", "cpu_ns.main.twenty", "cpu_ns.main.ten"}},
		{[]string{"labels.go", "labels_cgo.go"}, []string{"0.1"}, []string{"cpu_ns.red", "cpu_ns.dark", "cpu_ns.blue", "cpu_ns.none", "least_ns.nap", "most_ns.doze"}},
		{[]string{"switches.go", "switches_c.go"}, []string{"0.1"}, []string{"cpu_ns.main.called"}},
		{[]string{"golang.c"}, []string{"0.1"}, []string{"cpu_ns.lie"}},
		{[]string{"mangle.cc"}, []string{"0.1"}, []string{"cpu_ns.truth::Wheel::spin", "cpu_ns.truth::roll"}},
		{[]string{"mangle.rs"}, []string{"0.1"}, []string{"cpu_ns.spin", "cpu_ns.roll"}},
		{[]string{"jit.c"}, []string{"0.1"}, []string{"cpu_ns.jit_hot", "cpu_ns.jit_warm"}},
		{[]string{"host.c"}, []string{"0.2", "now", plugin.Build(t)}, []string{"cpu_ns.host_work", "cpu_ns.plugin_work"}},
		{[]string{"leader.c"}, []string{"0.2"}, []string{"cpu_ns.orphan_work"}},
		{[]string{"oddname.c"}, []string{"0.1"}, []string{"cpu_ns.odd_work"}},
		{[]string{"storm.c"}, []string{"0.1", "1"}, []string{"children", "cpu_ns.children", "cpu_ns.self"}},
		{[]string{"sleeper.c"}, []string{"0.1"}, []string{"least_ns.in_futex", "most_ns.in_nanosleep", "most_ns.in_pipe"}},
		{[]string{"hop.c"}, []string{"0.1"}, []string{"most_ns.hop_wait", "hops"}},
		{[]string{"fight.c"}, []string{"0.1"}, []string{"queued_ns.fighter0", "queued_ns.fighter3"}},
		{[]string{"stacks.c"}, []string{"100", "wait", "1"}, []string{"most_ns", "waits"}},
		{[]string{"stacks.c"}, []string{"100", "burn", "1"}, []string{"cpu_ns"}},
		{[]string{"pingpong.c"}, []string{"1000"}, []string{"waits.ping", "waits.pong", "played_ns.ping", "tid.pong"}},
		{[]string{"places.c", "places.S"}, []string{"0.1"}, []string{"cpu_ns.spin_at_start", "cpu_ns.handled", "most_ns.syscall_at_end", "most_ns.fault_at_start"}},
		{[]string{"blocked.c"}, nil, []string{"tid.waiter", "tid.main"}},
	} {
		t.Run(c.sources[0], func(t *testing.T) {
			t.Parallel()
			said := runProgram(t, Build(t, c.sources...), c.args...)
			for _, key := range c.says {
				if said.Want(t, key) <= 0 {
					t.Errorf("%s is %d: %v", key, said[key], said)
				}
			}
		})
	}
}

func runProgram(t *testing.T, program string, args ...string) Says {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), program, args...)
	cmd.Stderr = os.Stderr
	start := time.Now()
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	said, err := Parse(string(out))
	if err != nil {
		t.Fatal(err)
	}
	for name, d := range said.Group("cpu_ns") {
		if d > time.Since(start) {
			t.Errorf("%s of CPU time in %s is more than passed", d, name)
		}
	}
	return said
}

// TestSplitIsSplit wants the shares that give the functions their names, as far as random lengths of work let them.
func TestSplitIsSplit(t *testing.T) {
	said := runProgram(t, Build(t, "split.c"), "0.5")
	whole := float64(said["cpu_ns.seventy"] + said["cpu_ns.twenty"] + said["cpu_ns.ten"])
	for name, want := range map[string]float64{"seventy": 0.7, "twenty": 0.2, "ten": 0.1} {
		if got := float64(said["cpu_ns."+name]) / whole; got < want-0.1 || got > want+0.1 {
			t.Errorf("%s has %.2f of the CPU time", name, got)
		}
	}
}

func TestParse(t *testing.T) {
	said, err := Parse("least_ns.a=1\nmost_ns.a=3\nlongest_ns.a=2\nwaits=7\n")
	if err != nil {
		t.Fatal(err)
	}
	if got, want := said.Spans()["a"], (Span{1, 3, 2}); got != want || said["waits"] != 7 {
		t.Errorf("%v in %v", got, said)
	}
	for _, bad := range []string{"a", "=1", "a=", "a=1.5", "\n"} {
		if said, err := Parse(bad); err == nil {
			t.Errorf("%q was read as %v", bad, said)
		}
	}
}
