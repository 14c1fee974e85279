// SPDX-License-Identifier: Apache-2.0

package knobs

import (
	"slices"
	"strings"
	"testing"
)

// TestParse reads knobs, and says what is wrong with others.
func TestParse(t *testing.T) {
	for _, c := range []struct {
		text   string
		knob   string
		values string // with | between them
		wrong  string // part of the error
	}{
		{text: "sysctl:net.core.somaxconn=128,4096", knob: "sysctl:net.core.somaxconn", values: "128|4096"},
		{text: "sysctl:net/core/somaxconn=128", knob: "sysctl:net.core.somaxconn", values: "128"},
		{text: "sysctl:net/ipv4/conf/eth0.1/rp_filter=1", knob: "sysctl:net.ipv4.conf.eth0/1.rp_filter", values: "1"},
		{text: "sysctl:net.ipv4.tcp_rmem=4096\t87380  6291456,4096 1 1", knob: "sysctl:net.ipv4.tcp_rmem", values: "4096 87380 6291456|4096 1 1"},
		{text: "env:GOGC=50,100", knob: "env:GOGC", values: "50|100"},
		{text: "env:GODEBUG=a=1,b=2;", knob: "env:GODEBUG", values: "a=1,b=2|"},
		{text: "sched:workload=other,batch,fifo:10", knob: "sched:workload", values: "other|batch|fifo:10"},
		{text: "nice:workload=-5,0,+19", knob: "nice:workload", values: "-5|0|19"},
		{text: "affinity:workload=0;3,0-1", knob: "affinity:workload", values: "0|0-1,3"},
		{text: "rps:eth0=none,0-1", knob: "rps:eth0", values: "none|0-1"},
		{text: "rps:eth0=0 0,0 1", knob: "rps:eth0", values: "0|0 1"},
		{text: "xps:eth0/tx-3=0", knob: "xps:eth0/tx-3", values: "0"},
		{text: "qdisc:eth0=default,fq_codel", knob: "qdisc:eth0", values: "default|fq_codel"},
		{text: "thp:enabled=always,never", knob: "thp:enabled", values: "always|never"},
		{text: "cgroup:cpu.max=max,050%,150%", knob: "cgroup:cpu.max", values: "max|50%|150%"},
		{text: "cgroup:cpu.weight=100,10000", knob: "cgroup:cpu.weight", values: "100|10000"},
		{text: "cgroup:cpuset.cpus=0-1", knob: "cgroup:cpuset.cpus", values: "0-1"},

		{text: "", wrong: "want KIND:NAME=VALUE"},
		{text: "sysctl:net.core.somaxconn", wrong: "want KIND:NAME=VALUE"},
		{text: "somaxconn=1", wrong: "want KIND:NAME=VALUE"},
		{text: "sysctrl:a.b=1", wrong: `there is no kind "sysctrl" of knobs; want sysctl`},
		{text: "sysctl:=1", wrong: "the name is empty"},
		{text: "sysctl:net=1", wrong: "want the name of a sysctl"},
		{text: "sysctl:net..somaxconn=1", wrong: "want the name of a sysctl"},
		{text: "sysctl:net/../kernel/x=1", wrong: "want the name of a sysctl"},
		{text: "sysctl:../../etc/passwd=1", wrong: "want the name of a sysctl"},
		{text: "sysctl:/etc/passwd=1", wrong: "want the name of a sysctl"},
		{text: "sysctl:net.//.x=1", wrong: "want the name of a sysctl"},
		{text: "sysctl:net.core.\x00=1", wrong: "want printable text"},
		{text: "sysctl:net." + strings.Repeat("a", 300) + "=1", wrong: "want at most 256"},
		{text: "sysctl:kernel.core_pattern=|/bin/sh", wrong: "it is no knob"},
		{text: "sysctl:vm.drop_caches=3", wrong: "it is no knob"},
		{text: "sysctl:kernel/yama/ptrace_scope=3", wrong: "it is no knob"},
		{text: "sysctl:net.core.somaxconn=", wrong: "a value is empty"},
		{text: "sysctl:net.core.somaxconn=1,,2", wrong: "a value is empty"},
		{text: "sysctl:net.core.somaxconn=1,1", wrong: `value "1": want it once`},
		{text: "sysctl:net.core.somaxconn=" + strings.Repeat("1", 2000), wrong: "want at most 1024"},
		{text: "env:A=B=C", knob: "env:A", values: "B=C"},
		{text: "env:1A=B", wrong: "want the name of an environment variable"},
		{text: "sched:policy=batch", wrong: "want workload"},
		{text: "sched:workload=bathc", wrong: "there is no such policy; want batch"},
		{text: "sched:workload=fifo", wrong: "priority of 1 to 99"},
		{text: "sched:workload=fifo:100", wrong: "priority of 1 to 99"},
		{text: "sched:workload=batch:1", wrong: "priority of 1 to 99"},
		{text: "nice:workload=20", wrong: "-20 (first) to 19 (last)"},
		{text: "affinity:workload=1024", wrong: "is no list of CPUs"},
		{text: "rps:../eth0=0", wrong: "want a network device"},
		{text: "rps:eth0/tx-0=0", wrong: "such as eth0/rx-0"},
		{text: "rps:eth0/rx-0=0 1", wrong: "want one list of CPUs"},
		{text: "qdisc:eth0=../fq", wrong: "want the name of a queueing discipline"},
		{text: "thp:enable=always", wrong: "there is no such file; want enabled"},
		{text: "cgroup:cpu.maxx=1", wrong: "there is no such knob; want cpu.max"},
		{text: "cgroup:cpu.max=0%", wrong: "want max, or a share of one CPU"},
		{text: "cgroup:cpu.weight=0", wrong: "want a weight of 1 to 10000"},
	} {
		k, err := Parse(c.text)
		if c.wrong != "" {
			if err == nil || !strings.Contains(err.Error(), c.wrong) || strings.Contains(err.Error(), "\n") {
				t.Errorf("%.60q: %v; want an error with %q", c.text, err, c.wrong)
			}
			continue
		}
		if err != nil || k.String() != c.knob || !slices.Equal(k.Values, strings.Split(c.values, "|")) {
			t.Errorf("%q: %v, %v; want %s=%s", c.text, k, err, c.knob, c.values)
		}
	}
}

// FuzzParse never panics, and what it accepts it accepts again as it wrote it.
func FuzzParse(f *testing.F) {
	for _, text := range []string{
		"sysctl:net.core.somaxconn=128,4096", "sysctl:net/ipv4/conf/eth0.1/rp_filter=1", "env:A=;", "sched:workload=fifo:10", "nice:workload=-5",
		"affinity:workload=0;0,2", "rps:eth0=none 0-1", "xps:eth0/tx-0=0", "qdisc:lo=default", "thp:enabled=never", "cgroup:cpu.max=50%",
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		k, err := Parse(text)
		if err != nil {
			return
		}
		if len(k.Values) == 0 || len(k.Values) > maxValues {
			t.Errorf("%q: %d values", text, len(k.Values))
		}
		for _, value := range k.Values {
			if again, err := newKnob(k.Kind, k.Name); err != nil || again.String() != k.String() {
				t.Errorf("%q: %s again: %v", text, k, err)
			} else if same, err := again.canonical(value); err != nil || same != value {
				t.Errorf("%q: value %q again: %q, %v", text, value, same, err)
			}
		}
	})
}

// TestCongestionPerSpace: what isn't allowed in network namespaces is set on the machine, from which they inherit it. Reno always is allowed.
func TestCongestionPerSpace(t *testing.T) {
	for value, want := range map[string]bool{"reno": true, "no_such": false} {
		inSpace(t, func() error {
			if got, err := sysctlPerSpace(congestionControl, []string{"reno", value}); err != nil || got != want {
				t.Errorf("%s: inside %t, %v; want %t", value, got, err, want)
			}
			return nil
		})
	}
}
