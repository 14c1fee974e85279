// SPDX-License-Identifier: Apache-2.0

package main_test

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/pprof/profile"

	"github.com/assaylab/assay/internal/truth"
)

// cpuHz gives a second of work about a thousand samples, so that the interval of a half is three hundredths wide to each side.
const cpuHz = 997

// cpuFlags ask for CPU samples at cpuHz.
var cpuFlags = []string{"--mode", "cpu", "--freq", fmt.Sprint(cpuHz)}

// flags returns flags with more of them.
func flags(first []string, more ...string) []string {
	return append(append([]string{}, first...), more...)
}

// compareCPU wants samples in the functions of the truth as many as their CPU times make likely: their shares, and their sum.
func compareCPU(t testing.TB, p *profile.Profile, times map[string]time.Duration) error {
	t.Helper()
	samples := samplesOf(t, p, times)
	var n int64
	var whole time.Duration
	for name, d := range times {
		n += samples[name]
		whole += d
	}
	return errors.Join(compareShares(samples, times), compareNumber("all of it", n, cpuHz, whole))
}

// TestCPUShares records commands that compute in functions, from their first instruction to their end.
func TestCPUShares(t *testing.T) {
	plugin := truth.Recipe{Sources: []string{"plugin.c"}, Flags: []string{"-shared", "-fPIC"}}.Build(t)
	build := func(flags []string, sources ...string) string {
		return truth.Recipe{Sources: sources, Flags: flags}.Build(t)
	}
	for _, c := range []struct {
		name    string
		program string
		args    []string // after the seconds
	}{
		{"C", build(nil, "split.c"), nil},
		{"C, not position-independent", build([]string{"-no-pie"}, "split.c"), nil},
		{"C, static", build([]string{"-static"}, "split.c"), nil},
		{"Go", build(nil, "split.go"), nil},
		{"Go, stripped", build([]string{"-ldflags=-s -w"}, "split.go"), nil},
		{"Go, position-independent", build([]string{"-buildmode=pie", "-ldflags=-s -w"}, "split.go"), nil},
		{"C++", build(nil, "mangle.cc"), nil},
		{"library loaded late", build(nil, "host.c"), []string{"now", plugin}},
		{"leader gone", build(nil, "leader.c"), nil},
		{"odd thread name", build(nil, "oddname.c"), nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			settle(t, 1, func(seconds float64) error {
				r := record(t, append(flags(cpuFlags, "--", c.program, secondsArg(seconds)), c.args...)...)
				return compareCPU(t, r.p, r.truth(t).Group("cpu_ns"))
			})
		})
	}
}

// TestRustNames records a method of a generic type and a generic function, in both of Rust's ways to mangle names.
func TestRustNames(t *testing.T) {
	for _, mangling := range []string{"default", "v0"} {
		recipe := truth.Recipe{Sources: []string{"mangle.rs"}}
		if mangling != "default" {
			recipe.Flags = []string{"-C", "symbol-mangling-version=" + mangling}
		}
		program := recipe.Build(t)
		t.Run(mangling, func(t *testing.T) {
			settle(t, 1, func(seconds float64) error {
				r := record(t, flags(cpuFlags, "--", program, secondsArg(seconds))...)
				return compareCPU(t, r.p, rustNames(r.p, r.truth(t).Group("cpu_ns")))
			})
		})
	}
}

// rustNames finds how the functions are called in the profile: a Rust name says its crate, its module and its type, and none of the
// ciphers of a mangled name.
func rustNames(p *profile.Profile, times map[string]time.Duration) map[string]time.Duration {
	found := map[string]time.Duration{}
	for _, f := range p.Function {
		for name, d := range times {
			plain := !strings.ContainsAny(f.Name, "$") && !strings.HasPrefix(f.Name, "_")
			if plain && strings.HasPrefix(strings.TrimLeft(f.Name, "<"), "mangle::mill::") && strings.HasSuffix(f.Name, "::"+name) {
				found[f.Name] = d
			}
		}
	}
	return found
}

// TestJIT records code that is in no file: names come from the map that the program writes.
func TestJIT(t *testing.T) {
	program := truth.Build(t, "jit.c")
	settle(t, 1, func(seconds float64) error {
		r := record(t, flags(cpuFlags, "--", program, secondsArg(seconds), "keep")...)
		pids := map[int64]bool{}
		for _, s := range r.p.Sample {
			pids[s.NumLabel["pid"][0]] = true
		}
		for pid := range pids {
			remove(t, fmt.Sprintf("/tmp/perf-%d.map", pid))
		}
		return compareCPU(t, r.p, r.truth(t).Group("cpu_ns"))
	})
}

// TestHiddenFiles records programs whose files can't be opened by their names: deleted before or while they are recorded, replaced by another
// program, or visible only in a mount namespace of theirs. The whole machine is recorded, so nothing tells beforehand whom to look at.
func TestHiddenFiles(t *testing.T) {
	program := truth.Build(t, "split.c")
	other := truth.Build(t, "sleeper.c")
	fresh := func(t *testing.T) string { return copyProgram(t, program, filepath.Join(t.TempDir(), "hidden")) }
	for _, c := range []struct {
		name   string
		launch func(t *testing.T, seconds string) *process
	}{
		{"deleted before", func(t *testing.T, seconds string) *process {
			file := fresh(t)
			p := launch(t, file, seconds, "gate")
			remove(t, file)
			return p
		}},
		{"deleted meanwhile", func(t *testing.T, seconds string) *process {
			file := fresh(t)
			time.AfterFunc(settlingTime+200*time.Millisecond, func() { remove(t, file) })
			return launch(t, file, seconds, "gate")
		}},
		{"replaced", func(t *testing.T, seconds string) *process {
			file := fresh(t)
			p := launch(t, file, seconds, "gate")
			remove(t, file)
			copyProgram(t, other, file)
			return p
		}},
		{"mount namespace", func(t *testing.T, seconds string) *process {
			place := t.TempDir()
			script := `mount -t tmpfs none "$1" && cp "$2" "$1/hidden" && exec "$1/hidden" "$3" gate`
			return launch(t, "unshare", "--mount", "sh", "-c", script, "sh", place, program, seconds)
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			settle(t, 1, func(seconds float64) error {
				p := c.launch(t, secondsArg(seconds))
				r, said := recordWork(t, p, seconds, cpuFlags...)
				return compareCPU(t, r.p, said.Group("cpu_ns"))
			})
		})
	}
}

// TestShortLived records the whole machine while processes come, exec, compute for 10 to 30 ms, and go. At least 95 of 100 samples of those
// that lived over 20 ms have the name of the function that they were in: that of the program; or where the kernel starts or ends a process, which is
// some hundredths of so short a life, one of the kernel's; or they lie in a library that is known, as while the dynamic linker works, whose
// names may be stripped. Of both there must not be many, lest they hide something.
func TestShortLived(t *testing.T) {
	program := truth.Build(t, "storm.c")
	settle(t, 2, func(seconds float64) error {
		length := secondsArg(seconds + settlingTime.Seconds())
		p := launch(t, program, length, "20")
		r := record(t, flags(cpuFlags, "--duration", length+"s")...)
		p.wait(t)
		lived := processes(r.p, "storm")
		delete(lived, int64(p.cmd.Process.Pid))
		var samples, named, outside, linking int64
		for _, s := range r.p.Sample {
			if n := lived[s.NumLabel["pid"][0]]; n >= cpuHz*20/1000 {
				samples += s.Value[0]
				switch {
				case onStack("storm_work")(s):
					named += s.Value[0]
				case (onStack("bprm_execve")(s) || onStack("do_exit")(s)) && len(s.Location[0].Line) > 0:
					named += s.Value[0]
					outside += s.Value[0]
				case inLibrary(userLeaf(s)):
					named += s.Value[0]
					linking += s.Value[0]
				}
			}
		}
		if wanted := int64(seconds * 1000 / 30 / 4); len(lived) < int(wanted) || samples == 0 {
			return fmt.Errorf("%d samples of %d processes, want %d processes or more", samples, len(lived), wanted)
		}
		if 100*outside > 8*samples {
			return fmt.Errorf("%d of %d samples are where processes start and end", outside, samples)
		}
		if 100*linking > 30*samples {
			return fmt.Errorf("%d of %d samples are in libraries", linking, samples)
		}
		if 100*named < 95*samples {
			return fmt.Errorf("%d of %d samples of %d processes have the name of their function", named, samples, len(lived))
		}
		return nil
	})
}

// inLibrary says whether a frame lies in a shared library or in the dynamic linker.
func inLibrary(l *profile.Location) bool {
	return l != nil && l.Mapping != nil && strings.Contains(l.Mapping.File, ".so")
}

// processes returns how many CPU samples each process of a name has.
func processes(p *profile.Profile, comm string) map[int64]int64 {
	samples := map[int64]int64{}
	for _, s := range p.Sample {
		if labelled("comm", comm)(s) {
			samples[s.NumLabel["pid"][0]] += s.Value[0]
		}
	}
	return samples
}

// TestComm chooses threads by name, whichever way their bytes look.
func TestComm(t *testing.T) {
	program := truth.Build(t, "oddname.c")
	const name = "\xff;\n\x1b[31m\"=\\"
	settle(t, 1, func(seconds float64) error {
		p := launch(t, program, secondsArg(seconds), "gate")
		r, said := recordWork(t, p, seconds, flags(cpuFlags, "--comm", name)...)
		for _, s := range r.p.Sample {
			if want := `\xff` + name[1:]; !labelled("comm", want)(s) {
				return fmt.Errorf("a sample of %q", s.Label["comm"])
			}
		}
		return compareCPU(t, r.p, said.Group("cpu_ns"))
	})
}

// TestCgroup chooses a process by its cgroup, in each hierarchy that this machine has.
func TestCgroup(t *testing.T) {
	program := truth.Build(t, "split.c")
	for name, root := range cgroupRoots(t) {
		t.Run(name, func(t *testing.T) {
			group := filepath.Join(root, fmt.Sprintf("assay-test-%d", os.Getpid()))
			if err := os.Mkdir(group, 0o755); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { remove(t, group) })
			settle(t, 1, func(seconds float64) error {
				inside := launch(t, program, secondsArg(seconds), "gate")
				if err := os.WriteFile(filepath.Join(group, "cgroup.procs"), []byte(inside.pid()), 0); err != nil {
					t.Fatal(err)
				}
				outside := launch(t, program, secondsArg(seconds))
				r, said := recordWork(t, inside, seconds, flags(cpuFlags, "--cgroup", group)...)
				outside.wait(t)
				if n := sum(t, r.p, "samples", numbered("pid", int64(outside.cmd.Process.Pid))); n != 0 {
					t.Errorf("%d samples of a process outside the cgroup", n)
				}
				return compareCPU(t, r.p, said.Group("cpu_ns"))
			})
		})
	}
}

// cgroupRoots returns one place of each cgroup version that is mounted here.
func cgroupRoots(t *testing.T) map[string]string {
	t.Helper()
	text, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		t.Fatal(err)
	}
	roots := map[string]string{}
	for _, line := range lines(string(text)) {
		switch f := strings.Fields(line); {
		case f[2] == "cgroup2":
			roots["v2"] = f[1]
		case f[2] == "cgroup" && strings.Contains(f[3], "cpu"):
			roots["v1"] = cmp.Or(roots["v1"], f[1])
		}
	}
	if len(roots) == 0 {
		t.Fatal("no cgroup hierarchy is mounted")
	}
	return roots
}

// TestCPULabel tells samples apart by CPU: a thread that is pinned has them on that CPU alone.
func TestCPULabel(t *testing.T) {
	r := record(t, "--cpu-label", "--", "taskset", "-c", "0", truth.Build(t, "split.c"), "0.3")
	if samples := sum(t, r.p, "samples", all); samples == 0 || sum(t, r.p, "samples", numbered("cpu", 0)) != samples {
		t.Errorf("%d of %d samples on CPU 0", sum(t, r.p, "samples", numbered("cpu", 0)), samples)
	}
}
