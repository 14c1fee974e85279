// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"
	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/assaylab/assay/internal/caps"
)

// ground makes a machine out of files: path to content, or to the target of a
// symbolic link after "->".
func ground(t *testing.T, files map[string]string) *host {
	t.Helper()
	h := &host{
		root: t.TempDir(), uid: 1000, executable: "/usr/bin/assay", bounding: ^caps.Set(0),
		opensEvents: func() error { return unix.EACCES },
	}
	for path, content := range files {
		full := h.path(path)
		if err := os.MkdirAll(filepath.Dir(full), 0o755); err != nil {
			t.Fatal(err)
		}
		put := func() error { return os.WriteFile(full, []byte(content), 0o644) }
		if target, ok := strings.CutPrefix(content, "->"); ok {
			put = func() error { return os.Symlink(target, full) }
		}
		if err := put(); err != nil {
			t.Fatal(err)
		}
	}
	return h
}

// find is the row of a name.
func find(t *testing.T, name string) row {
	t.Helper()
	for _, r := range rows() {
		if r.name == name {
			return r
		}
	}
	t.Fatalf("no check is called %q", name)
	return row{}
}

func TestChecksOfFiles(t *testing.T) {
	const sysctl = "/proc/sys/kernel/"
	for _, c := range []struct {
		name   string
		files  map[string]string
		status Status
		found  string // what the finding has in it
		fix    string
	}{
		{"BTF", nil, Missing, "no such file", "boot a kernel built with CONFIG_DEBUG_INFO_BTF=y"},
		{"BTF", map[string]string{btfPath: "nonsense"}, Missing, "", "boot a kernel built with CONFIG_DEBUG_INFO_BTF=y"},
		{"perf_event_paranoid", map[string]string{sysctl + "perf_event_paranoid": "0\n"}, Missing, "0: that should do", refused},
		{
			"perf_event_paranoid",
			map[string]string{sysctl + "perf_event_paranoid": "2\n"},
			Missing, "want CAP_PERFMON",
			"sudo setcap " + fileCapabilities() + " /usr/bin/assay",
		},
		{
			"perf_event_paranoid",
			map[string]string{sysctl + "perf_event_paranoid": "3\n", "/proc/version": "Linux version 6.1 (debian-kernel@lists.debian.org) #1 SMP Debian\n"},
			Missing, "wants CAP_SYS_ADMIN above 2", "sudo sysctl kernel.perf_event_paranoid=2",
		},
		{"perf_event_paranoid", nil, Unknown, "no such file", "sudo /usr/bin/assay"},
		{"perf_event_max_sample_rate", map[string]string{sysctl + "perf_event_max_sample_rate": "100000"}, OK, "100000 samples", ""},
		{
			"perf_event_max_sample_rate",
			map[string]string{sysctl + "perf_event_max_sample_rate": "500"},
			Degraded, "500 samples",
			"sudo sysctl kernel.perf_event_max_sample_rate=100000",
		},
		{"perf_cpu_time_max_percent", map[string]string{sysctl + "perf_cpu_time_max_percent": "0"}, OK, "never slowed down", ""},
		{
			"perf_cpu_time_max_percent",
			map[string]string{sysctl + "perf_cpu_time_max_percent": "1"},
			Degraded, "beyond 1%",
			"sudo sysctl kernel.perf_cpu_time_max_percent=25",
		},
		{"perf_event_mlock_kb", map[string]string{sysctl + "perf_event_mlock_kb": "516"}, OK, "516 KiB", ""},
		{"perf_event_mlock_kb", map[string]string{sysctl + "perf_event_mlock_kb": "64"}, Degraded, "64 KiB", "sudo sysctl kernel.perf_event_mlock_kb=516"},
		{"kptr_restrict", map[string]string{sysctl + "kptr_restrict": "1"}, OK, "CAP_SYSLOG", ""},
		{"kptr_restrict", map[string]string{sysctl + "kptr_restrict": "2"}, Degraded, "hidden from everyone", "sudo sysctl kernel.kptr_restrict=1"},
		{"kptr_restrict", map[string]string{sysctl + "kptr_restrict": "two"}, Unknown, "invalid syntax", "sudo /usr/bin/assay"},
		{"unprivileged_bpf_disabled", map[string]string{sysctl + "unprivileged_bpf_disabled": "0"}, OK, "0: users may", ""},
		{"unprivileged_bpf_disabled", map[string]string{sysctl + "unprivileged_bpf_disabled": "2"}, OK, "2: programs want", ""},
		{"PID namespace", map[string]string{"/proc/self/ns/pid": "->pid:[4026531836]"}, OK, "the machine's own", ""},
		{
			"PID namespace",
			map[string]string{"/proc/self/ns/pid": "->pid:[4026532000]", "/.dockerenv": ""},
			Degraded, "pid:[4026532000] (a container of Docker, it seems)",
			"docker run --pid=host, hostPID: true in Kubernetes",
		},
		{
			"PID namespace",
			map[string]string{"/proc/self/ns/pid": "->pid:[4026532000]", "/run/.containerenv": ""},
			Degraded, "a container of Podman",
			"docker run --pid=host, hostPID: true in Kubernetes",
		},
		{"PID namespace", nil, Unknown, "no such file", "sudo /usr/bin/assay"},
		{"user namespace", map[string]string{"/proc/self/ns/user": "->user:[4026531837]"}, OK, "the machine's own", ""},
		{"user namespace", map[string]string{"/proc/self/ns/user": "->user:[4026532001]"}, Missing, "one of our own", "run Assay outside of the user namespace"},
		{"user namespace", nil, OK, "the machine's own", ""},
		{"CAP_BPF", map[string]string{"/proc/self/ns/user": "->user:[4026532001]"}, Missing, "user namespace", "run Assay outside of the user namespace"},
		{"CAP_BPF", nil, Missing, "not effective", "sudo setcap " + fileCapabilities() + " /usr/bin/assay"},
		{"CAP_SYS_ADMIN", nil, Missing, "not effective", ""},
		{"CAP_SYS_RESOURCE", nil, Missing, "not effective", ""},
		{"cgroups", map[string]string{"/proc/self/mountinfo": ""}, Missing, "no cgroup file system", "sudo mount -t cgroup2 cgroup2 /sys/fs/cgroup"},
		{"cgroups", map[string]string{"/proc/self/mountinfo": "30 24 0:27 / /sys/fs/cgroup rw shared:9 - cgroup2 cgroup2 rw\n"}, OK, "v2 at /sys/fs/cgroup", ""},
		{
			"cgroups",
			map[string]string{"/proc/self/mountinfo": "30 24 0:27 / /c/cpu rw - cgroup cgroup rw,cpu\n31 24 0:28 / /c/memory rw - cgroup cgroup rw,memory\n"},
			OK, "v1: cpu, memory", "",
		},
		{
			"cgroups",
			map[string]string{"/proc/self/mountinfo": "30 24 0:27 / /c/cpu rw - cgroup cgroup rw,cpu\n31 24 0:28 / /c/unified rw - cgroup2 cgroup2 rw\n"},
			OK, "hybrid: v2 at /c/unified, v1: cpu", "",
		},
		{"cgroups", map[string]string{"/proc/self/mountinfo": "torn"}, Unknown, `line "torn"`, "sudo /usr/bin/assay"},
		{"tracefs", map[string]string{"/proc/self/mountinfo": "30 24 0:27 / /t rw - tracefs tracefs rw\n"}, OK, "mounted at /t", ""},
		{"tracefs", map[string]string{"/proc/self/mountinfo": ""}, Missing, "not mounted", ""},
		{"mappings of all processes", map[string]string{"/proc/7/maps": "00", "/proc/8/maps": "00", "/proc/version": ""}, OK, "all 2 processes", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := find(t, c.name).check(ground(t, c.files))
			if got.Status != c.status || !strings.Contains(got.Found, c.found) || got.Fix != c.fix {
				t.Errorf("got %s, %q, fix %q; want %s, %q, fix %q", got.Status, got.Found, got.Fix, c.status, c.found, c.fix)
			}
		})
	}
}

func TestParanoidBelievesEventsThatOpen(t *testing.T) {
	h := ground(t, map[string]string{"/proc/sys/kernel/perf_event_paranoid": "4", "/proc/version": "Ubuntu"})
	h.opensEvents = func() error { return nil }
	if got := find(t, "perf_event_paranoid").check(h); got.Status != OK || got.Fix != "" {
		t.Errorf("got %+v", got)
	}
}

func TestCapabilityStandsIn(t *testing.T) {
	h := ground(t, nil)
	h.effective = caps.Of(caps.SysAdmin, caps.DACOverride)
	for name, want := range map[string]Status{
		"CAP_BPF": OK, "CAP_PERFMON": OK, "CAP_CHECKPOINT_RESTORE": OK, "CAP_DAC_READ_SEARCH": OK,
		"CAP_SYSLOG": Missing, "CAP_SYS_PTRACE": Missing,
	} {
		if got := find(t, name).check(h); got.Status != want {
			t.Errorf("%s: got %s (%s), want %s", name, got.Status, got.Found, want)
		}
	}
}

func TestGrantByBoundingSetAndUser(t *testing.T) {
	h := ground(t, nil)
	h.bounding = h.bounding.Without(caps.BPF)
	if got, want := h.grant(caps.BPF), "--cap-add BPF"; !strings.Contains(got, want) {
		t.Errorf("left out by the container: got %q, want %q in it", got, want)
	}
	h.uid = 0
	if got, want := h.grant(caps.Perfmon), "sudo /usr/bin/assay"; got != want {
		t.Errorf("root without: got %q, want %q", got, want)
	}
}

func TestVersions(t *testing.T) {
	for _, c := range []struct {
		release string
		status  Status
	}{
		{"5.15.0-105-generic", OK},
		{"5.14.21", Missing},
		{"6.1.0-28-amd64", OK},
		{"6.18.44-fc-v657", OK},
		{"4.19.0", Missing},
		{"10.0", OK},
		{"unknown", Missing},
	} {
		if got := lookVersion(&host{release: c.release}); got.status != c.status {
			t.Errorf("%s: got %s (%s), want %s", c.release, got.status, got.found, c.status)
		}
	}
	for machine, want := range map[string]Status{"x86_64": OK, "aarch64": OK, "riscv64": Missing} {
		if got := lookArch(&host{machine: machine}); got.status != want {
			t.Errorf("%s: got %s, want %s", machine, got.status, want)
		}
	}
}

func TestBTFNeedsTaskStruct(t *testing.T) {
	for member, want := range map[string]Status{"task_struct": OK, "something_else": Missing} {
		types, err := btf.NewBuilder([]btf.Type{&btf.Struct{Name: member, Size: 16}}, nil)
		if err != nil {
			t.Fatal(err)
		}
		raw, err := types.Marshal(nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		if got := lookBTF(ground(t, map[string]string{btfPath: string(raw)})); got.status != want {
			t.Errorf("BTF with %s: got %s (%s), want %s", member, got.status, got.found, want)
		}
	}
}

func TestJIT(t *testing.T) {
	const path = "/proc/sys/net/core/bpf_jit_enable"
	refused := errors.New("refused")
	for _, c := range []struct {
		name  string
		files map[string]string
		err   error
		want  Status
	}{
		{"a program was compiled", nil, nil, OK},
		{"no program could be tried, set", map[string]string{path: "1"}, refused, OK},
		{"no program could be tried, not set", map[string]string{path: "0"}, refused, Degraded},
		{"nothing is known", nil, refused, Unknown},
	} {
		if got := lookJIT(ground(t, c.files), func() (uint32, error) { return 20, c.err }); got.status != c.want {
			t.Errorf("%s: got %s (%s), want %s", c.name, got.status, got.found, c.want)
		}
	}
}

func TestLockdown(t *testing.T) {
	none := errors.New("operation not permitted")
	for _, c := range []struct {
		name     string
		file     string
		detached string
		allowed  error
		status   Status
		found    string
	}{
		{"mounted", "none [integrity] confidentiality\n", "", nil, OK, "integrity, says " + lockdownPath},
		{"mounted, off", "[none] integrity confidentiality\n", "", nil, OK, "none, says"},
		{"mounted, full", "none integrity [confidentiality]\n", "", nil, Missing, "confidentiality, says"},
		{"not mounted", "", "none integrity [confidentiality]\n", nil, Missing, "says securityfs, which is not mounted"},
		{"unreadable, allowed", "", "", nil, OK, "not confidentiality"},
		{"unreadable, refused", "", "", ebpf.ErrNotSupported, Missing, "as bpf_probe_read_kernel is refused"},
		{"unreadable, nothing known", "", "", none, Unknown, "operation not permitted"},
	} {
		t.Run(c.name, func(t *testing.T) {
			files := map[string]string{}
			if c.file != "" {
				files[lockdownPath] = c.file
			}
			detached := func() (string, error) {
				if c.detached == "" {
					return "", none
				}
				return c.detached, nil
			}
			got := lookLockdown(ground(t, files), detached, func() error { return c.allowed })
			if got.status != c.status || !strings.Contains(got.found, c.found) {
				t.Errorf("got %s, %q; want %s, %q", got.status, got.found, c.status, c.found)
			}
		})
	}
}

func TestSeccomp(t *testing.T) {
	refused := errors.New("refused")
	for _, c := range []struct {
		name   string
		mode   int
		prctl  error
		sample error
		want   Status
	}{
		{"no filter", 0, nil, refused, OK},
		{"a filter that lets us through", 2, nil, nil, OK},
		{"a filter that does not", 2, nil, refused, Degraded},
		{"a kernel without filters", 0, unix.EINVAL, refused, OK},
		{"a filter that hides itself", 0, unix.EPERM, refused, Unknown},
	} {
		prctl := func(int, uintptr, uintptr, uintptr, uintptr) (int, error) { return c.mode, c.prctl }
		if got := lookSeccomp(prctl, func() error { return c.sample }); got.status != c.want {
			t.Errorf("%s: got %s (%s), want %s", c.name, got.status, got.found, c.want)
		}
	}
}

func TestLimits(t *testing.T) {
	limit := func(n uint64) getrlimit {
		return func(_ int, l *unix.Rlimit) error {
			l.Cur = n
			return nil
		}
	}
	broken := func(int, *unix.Rlimit) error { return unix.EINVAL }
	h := ground(t, map[string]string{"/sys/devices/system/cpu/online": "0-63,128-191\n"})
	for _, c := range []struct {
		name string
		got  finding
		want finding
	}{
		{"enough files", lookFiles(h, limit(1024)), finding{OK, "1024 may be open, 768 are enough for 128 CPUs", ""}},
		{"too few files", lookFiles(h, limit(256)), finding{Degraded, "256 may be open, 768 are enough for 128 CPUs", "ulimit -n 768"}},
		{"files unknown", lookFiles(h, broken), finding{Unknown, "invalid argument", ""}},
		{"memory", lookMemlock(limit(64 << 10)), finding{OK, "64 KiB", ""}},
		{"memory without limit", lookMemlock(limit(unix.RLIM_INFINITY)), finding{OK, "unlimited", ""}},
		{"memory unknown", lookMemlock(broken), finding{Unknown, "invalid argument", ""}},
	} {
		if diff := cmp.Diff(c.want, c.got, cmp.AllowUnexported(finding{})); diff != "" {
			t.Errorf("%s:\n%s", c.name, diff)
		}
	}
}

func TestWordsOfARefusal(t *testing.T) {
	for _, c := range []struct {
		err  error
		want string
	}{
		{errors.New("load program: operation not permitted (MEMLOCK may be too low, consider rlimit.RemoveMemlock)"), "load program: operation not permitted"},
		{errors.New("two\nlines\tand \x1b[31mcolour"), "two lines and [31mcolour"},
		{errors.New(strings.Repeat("ä", 300)), strings.Repeat("ä", maxFound-1) + "…"},
	} {
		if got := words(c.err); got != c.want {
			t.Errorf("got %q, want %q", got, c.want)
		}
	}
}

// A program that the verifier refuses is told by the verifier's last words.
func TestWordsOfTheVerifier(t *testing.T) {
	spec := doNothing(ebpf.ProgramSpec{Type: ebpf.PerfEvent})
	spec.Instructions = spec.Instructions[1:] // returns what was never set
	_, err := ebpf.NewProgram(spec)
	if err == nil {
		t.Fatal("the verifier took a program that returns nothing")
	}
	if got := words(err); !strings.Contains(got, "R0 !read_ok") || strings.Contains(got, "\n") {
		t.Errorf("got %q", got)
	}
}
