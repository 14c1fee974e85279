// SPDX-License-Identifier: Apache-2.0

package knobs_test

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/assaylab/assay/scenarios/internal/thread"
	"github.com/assaylab/assay/scenarios/knobs"
)

// runWith runs a shell's commands as a workload with knobs, each with its first value, and returns what they print.
func runWith(t *testing.T, j *knobs.Journal, commands string, texts ...string) string {
	t.Helper()
	var launch knobs.Launch
	for _, text := range texts {
		k := parse(t, text)
		if !k.OfWorkload() {
			if err := j.Set(k, k.Values[0]); err != nil {
				t.Fatal(err)
			}
		}
		l, err := k.Start(k.Values[0])
		if err != nil {
			t.Fatal(err)
		}
		launch.Add(l)
	}
	cmd := exec.Command("sh", "-c", commands)
	var out, errOut strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &errOut
	if err := thread.Do(func() error { return launch.Start(cmd) }); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("%q: %v: %s", commands, err, errOut.String())
	}
	return strings.Join(strings.Fields(out.String()), " ")
}

// openJournal makes a journal that is restored in the end.
func openJournal(t *testing.T) *knobs.Journal {
	t.Helper()
	j, err := knobs.OpenJournal(filepath.Join(t.TempDir(), "journal"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := j.Close(); err != nil {
			t.Error(err)
		}
	})
	return j
}

// TestStart starts work with each knob of a workload; the system's tools say what it is then.
func TestStart(t *testing.T) {
	const policy = `chrt -p $$ | sed 's/.*: //'`
	for _, c := range []struct{ knob, commands, want string }{
		{"env:ASSAY_TEST=a b,c", "echo $ASSAY_TEST", "a b"},
		{"sched:workload=other", policy, "SCHED_OTHER 0"},
		{"sched:workload=batch", policy, "SCHED_BATCH 0"},
		{"sched:workload=idle", policy, "SCHED_IDLE 0"},
		{"sched:workload=fifo:7", policy, "SCHED_FIFO 7"},
		{"sched:workload=rr:1", policy, "SCHED_RR 1"},
		{"nice:workload=7", "nice", "7"},
		{"nice:workload=-7", "nice", "-7"},
		{"affinity:workload=0", "taskset -pc $$ | sed 's/.*: //'", "0"},
	} {
		if got := runWith(t, nil, c.commands, c.knob); got != c.want {
			t.Errorf("%s: %q, want %q", c.knob, got, c.want)
		}
	}
	if got := runWith(t, nil, "nice; "+policy, "nice:workload=5", "sched:workload=batch"); got != "5 SCHED_BATCH 0" {
		t.Errorf("nice and batch: %q", got)
	}
	if got := says(t, "nice"); got != "0" {
		t.Errorf("nice without knobs is %s", got)
	}
}

// TestReadProcess reads what a workload has without a knob; the system's tools say the same.
func TestReadProcess(t *testing.T) {
	t.Setenv("ASSAY_TEST", "x")
	for knob, want := range map[string]string{
		"env:ASSAY_TEST=1": "x", "sched:workload=idle": "other", "nice:workload=1": says(t, "nice"),
		"affinity:workload=0": says(t, "sh", "-c", "grep Cpus_allowed_list /proc/self/status | cut -f2"),
	} {
		if got, err := parse(t, knob).Read(); err != nil || got != want {
			t.Errorf("%s: %q, %v; want %q", knob, got, err, want)
		}
	}
}

// groupsOf returns the folders of our control groups.
func groupsOf(t *testing.T, pid int) (folders []string) {
	t.Helper()
	for _, pattern := range []string{"/sys/fs/cgroup/assay-%", "/sys/fs/cgroup/*/assay-%"} {
		found, err := filepath.Glob(strings.Replace(pattern, "%", strconv.Itoa(pid), 1))
		if err != nil {
			t.Fatal(err)
		}
		folders = append(folders, found...)
	}
	return folders
}

// TestCgroup starts work in groups, which the kernel says itself, and removes them, also with something in them.
func TestCgroup(t *testing.T) {
	j := openJournal(t)
	quota, weight, cpus := "cgroup:cpu.max=1%", "cgroup:cpu.weight=50", "cgroup:cpuset.cpus=1"
	for _, knob := range []string{quota, weight, cpus} {
		if err := parse(t, knob).For(kindOf(t, "load/cpu")); err != nil {
			t.Fatal(err)
		}
	}
	name := "assay-" + strconv.Itoa(os.Getpid())
	// The loop takes more than the millisecond of a period that it may have, so it is throttled.
	const loop = "i=0; while [ $i -lt 10000 ]; do i=$((i+1)); done; "
	got := runWith(t, j, loop+"grep -c "+name+" /proc/self/cgroup; taskset -pc $$ | sed 's/.*: //'", quota, weight, cpus)
	if got != "2 1" && got != "1 1" { // version 1 has a group for each controller
		t.Errorf("groups and CPUs of the work: %q", got)
	}
	throttled := 0
	for _, folder := range groupsOf(t, os.Getpid()) {
		if _, stat, ok := strings.Cut(says(t, "sh", "-c", "cat "+folder+"/cpu.stat 2>/dev/null || true"), "nr_throttled "); ok {
			throttled, _ = strconv.Atoi(strings.Fields(stat)[0]) //nolint:errcheck // 0 is wrong then
		}
	}
	if throttled == 0 {
		t.Error("the work was not throttled")
	}
	for knob, want := range map[string]string{quota: "1%", weight: "50", cpus: "1"} {
		if value, err := parse(t, knob).Read(); err != nil || value != want {
			t.Errorf("%s reads %q, %v", knob, value, err)
		}
	}
	left := exec.Command("sleep", "60")
	launch, err := parse(t, quota).Start("1%")
	if err != nil {
		t.Fatal(err)
	}
	if err := thread.Do(func() error { return launch.Start(left) }); err != nil {
		t.Fatal(err)
	}
	defer left.Wait()         //nolint:errcheck // it was killed
	defer left.Process.Kill() //nolint:errcheck // it may have ended
	if err := j.Restore(); err != nil {
		t.Error(err)
	}
	if folders := groupsOf(t, os.Getpid()); len(folders) > 0 {
		t.Errorf("left: %q", folders)
	}
	if _, err := os.Stat("/proc/" + strconv.Itoa(left.Process.Pid)); errors.Is(err, fs.ErrNotExist) {
		t.Error("what ran in the group was ended with it")
	}
	if value, err := parse(t, quota).Read(); err != nil || value != "max" {
		t.Errorf("without a group %s reads %q, %v", quota, value, err)
	}
}
