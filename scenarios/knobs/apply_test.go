// SPDX-License-Identifier: Apache-2.0

package knobs_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/assaylab/assay/scenarios"
	"github.com/assaylab/assay/scenarios/catalog"
	"github.com/assaylab/assay/scenarios/knobs"
)

func kindOf(t *testing.T, name string) *scenarios.Kind {
	t.Helper()
	kind, err := catalog.Find(name)
	if err != nil {
		t.Fatal(err)
	}
	return kind
}

func parse(t *testing.T, text string) *knobs.Knob {
	t.Helper()
	k, err := knobs.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// TestFor says where knobs apply, and what is wrong with those that can't.
func TestFor(t *testing.T) {
	for _, c := range []struct {
		knob       string
		kind       string
		ofWorkload bool
		wrong      string // part of the error
	}{
		{"sysctl:net.core.somaxconn=128", "load/http", false, ""},
		{"sysctl:net.core.somaxconn=128", "network/rr", true, ""},
		{"sysctl:net.ipv4.tcp_congestion_control=reno", "network/stream", true, ""},
		{"sysctl:net.ipv4.conf.assay0.rp_filter=1", "network/stream", true, ""},
		{"sysctl:net.core.rmem_max=4194304", "network/stream", false, ""}, // of the whole machine
		{"sysctl:vm.swappiness=10", "network/stream", false, ""},
		{"rps:lo=none,0", "load/http", false, ""},
		{"rps:assay0=none,0-1", "network/rr", true, ""},
		{"qdisc:assay0=pfifo,default", "network/rr", true, ""},
		{"qdisc:lo=pfifo,default", "load/http", false, ""},
		{"thp:enabled=always,madvise,never", "load/memory", false, ""},
		{"env:GOGC=50,", "load/http", true, ""},
		{"affinity:workload=0", "load/http", true, ""},
		{"cgroup:cpu.max=50%", "load/cpu", false, ""},
		{"cgroup:cpuset.cpus=0", "load/cpu", false, ""},

		{"sysctl:net.core.nothing=1", "load/http", false, "sysctl:net.core.nothing: this kernel has no such sysctl"},
		{"sysctl:net.core.nothing=1", "network/rr", false, "this kernel has no such sysctl"},
		{"sysctl:kernel.version=1", "load/cpu", false, "it can't be set"},
		{"sysctl:net.ipv4.tcp_congestion_control=vegas9", "load/http", false, "vegas9 is not among the TCP congestion controls here"},
		{"sysctl:net.ipv4.tcp_congestion_control=vegas9", "network/rr", false, "modprobe tcp_vegas9"},
		{"sysctl:net.ipv4.tcp_rmem=1", "network/rr", false, "asked 1, the kernel took 1 "},
		{"sysctl:net.ipv4.neigh.assay0.retrans_time_ms=1001", "network/rr", false, "asked 1001, the kernel took 1004"},
		{"sysctl:net.core.somaxconn=-1", "network/rr", false, "set sysctl:net.core.somaxconn=-1: invalid argument"},
		{"rps:eth9=0", "load/http", false, "no network device eth9 here"},
		{"rps:lo/rx-9=0", "load/http", false, "lo has no such queue"},
		{"rps:lo=0 1", "load/http", false, "for 2 queues; it has 1"},
		{"xps:lo=0", "load/http", false, "the device has a single queue"},
		{"qdisc:eth9=pfifo", "load/http", false, "no network device eth9 here"},
		{"qdisc:assay0=nothing", "network/rr", false, "the kernel has no queueing discipline nothing: modprobe sch_nothing"},
		{"qdisc:assay0=tbf", "network/rr", false, "tbf can't be used without options"},
		{"thp:enabled=sometimes", "load/memory", false, "value sometimes: want one of always, madvise, never"},
		{"affinity:workload=1000", "load/http", false, "CPU 1000 is not among ours"},
		{"cgroup:cpuset.cpus=1000", "load/cpu", false, "CPU 1000 is not among ours"},
	} {
		k := parse(t, c.knob)
		err := k.For(kindOf(t, c.kind))
		if c.wrong != "" {
			if err == nil || !strings.Contains(err.Error(), c.wrong) || !strings.Contains(err.Error(), k.String()) || strings.Contains(err.Error(), "\n") {
				t.Errorf("%s for %s: %v; want an error with the knob and %q", c.knob, c.kind, err, c.wrong)
			}
			continue
		}
		if err != nil || k.OfWorkload() != c.ofWorkload {
			t.Errorf("%s for %s: %v, of the workload: %v; want %v", c.knob, c.kind, err, k.OfWorkload(), c.ofWorkload)
		}
		if _, err := k.Read(); err != nil {
			t.Errorf("%s for %s: %v", c.knob, c.kind, err)
		}
	}
}

// TestInside sets knobs in both namespaces of a network workload, and nowhere else; each says so itself.
func TestInside(t *testing.T) {
	kind := kindOf(t, "network/rr")
	values, err := kind.Check(nil)
	if err != nil {
		t.Fatal(err)
	}
	work, err := kind.New(values)
	if err != nil {
		t.Fatal(err)
	}
	if err := work.Prepare(t.Context()); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := work.Close(); err != nil {
			t.Error(err)
		}
	}()
	outside := says(t, "sysctl", "-n", "net.core.somaxconn")
	var launch knobs.Launch
	for _, text := range []string{"sysctl:net.core.somaxconn=123", "qdisc:assay0=pfifo", "rps:assay0=0-1"} {
		k := parse(t, text)
		if err := k.For(kind); err != nil {
			t.Fatal(err)
		}
		l, err := k.Start(k.Values[0])
		if err != nil {
			t.Fatal(err)
		}
		launch.Add(l)
	}
	var got []string
	err = work.(scenarios.Spaced).Inside(func() error {
		if err := knobs.SetInside(launch.Inside); err != nil {
			return err
		}
		qdisc := says(t, "tc", "qdisc", "show", "dev", "assay0", "root")
		rps := says(t, "unshare", "-m", "sh", "-c", "mount -t sysfs sysfs /sys && cat /sys/class/net/assay0/queues/rx-0/rps_cpus")
		got = append(got, says(t, "sysctl", "-n", "net.core.somaxconn"), strings.Fields(qdisc)[1], rps)
		return nil
	})
	if want := "123 pfifo 3 123 pfifo 3"; err != nil || strings.Join(got, " ") != want {
		t.Errorf("%q, %v; want %q", got, err, want)
	}
	if now := says(t, "sysctl", "-n", "net.core.somaxconn"); now != outside {
		t.Errorf("net.core.somaxconn outside is %s, was %s", now, outside)
	}
	if err := knobs.SetInside([]string{"thp:enabled=never"}); err == nil || !strings.Contains(err.Error(), "belongs to a network namespace") {
		t.Errorf("thp inside: %v", err)
	}
}

// says runs a program on the thread, in its namespace, and returns what it prints.
func says(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := exec.Command(name, args...).Output()
	if err != nil {
		t.Errorf("%s %q: %v", name, args, err)
	}
	return strings.TrimSpace(string(out))
}

// TestMachine sets knobs on the machine, which says itself what they are, and puts them back.
func TestMachine(t *testing.T) {
	before := says(t, "cat", "/sys/kernel/mm/transparent_hugepage/shmem_enabled")
	j, err := knobs.OpenJournal(filepath.Join(t.TempDir(), "journal"))
	if err != nil {
		t.Fatal(err)
	}
	if err := j.Set(parse(t, "thp:shmem_enabled=advise"), "advise"); err != nil {
		t.Error(err)
	}
	if now := says(t, "cat", "/sys/kernel/mm/transparent_hugepage/shmem_enabled"); !strings.Contains(now, "[advise]") {
		t.Errorf("shmem_enabled: %s", now)
	}
	if err := j.Set(parse(t, "env:A=B"), "B"); err == nil || !strings.Contains(err.Error(), "applies to the workload alone") {
		t.Errorf("env by a journal: %v", err)
	}
	if err := j.Close(); err != nil {
		t.Error(err)
	}
	if now := says(t, "cat", "/sys/kernel/mm/transparent_hugepage/shmem_enabled"); now != before {
		t.Errorf("shmem_enabled: %s, was %s", now, before)
	}
}

// TestDefaultJournal is the same place for root wherever its home is, and elsewhere only by a variable made for that.
func TestDefaultJournal(t *testing.T) {
	t.Setenv("XDG_STATE_HOME", "/somewhere")
	t.Setenv(knobs.StateVariable, "not/absolute")
	want := "/var/lib/assay/knobs.journal"
	if os.Geteuid() != 0 {
		want = "/somewhere/assay/knobs.journal"
	}
	if got := knobs.DefaultJournal(); got != want {
		t.Errorf("%s, want %s", got, want)
	}
	t.Setenv(knobs.StateVariable, "/elsewhere")
	if got, want := knobs.DefaultJournal(), "/elsewhere/knobs.journal"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}
