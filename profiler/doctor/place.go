// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// placeRows look at where we are: cgroups, namespaces, limits.
var placeRows = []row{
	{
		group: "place", name: "cgroups", need: Adds, look: lookCgroups,
		costs: "no cgroup labels, no --cgroup",
		fix:   "sudo mount -t cgroup2 cgroup2 /sys/fs/cgroup",
	},
	{
		group: "place", name: "tracefs", need: Unused, look: lookTracefs,
		costs: unneeded,
	},
	{
		group: "place", name: "PID namespace", need: Adds, look: lookPIDNamespace,
		costs: "only processes in our own PID namespace can be named",
		fix:   "docker run --pid=host, hostPID: true in Kubernetes",
	},
	{
		group: "place", name: "user namespace", need: Core, look: lookUserNamespace,
		costs: "the kernel ignores our capabilities: no recording",
		fix:   outside,
	},
	{
		group: "place", name: "system call filter", need: Adds, look: func(*host) finding { return lookSeccomp(unix.PrctlRetInt, sampleCPU) },
		costs: "the filter may refuse bpf and perf_event_open",
		fix:   "docker run --security-opt seccomp=unconfined, or a profile that allows bpf and perf_event_open",
	},
	{
		group: "place", name: "open files", need: Core, look: func(h *host) finding { return lookFiles(h, unix.Getrlimit) },
		costs: "events of some CPUs may not open",
		fix:   "ulimit -n 4096",
	},
	{
		group: "place", name: "locked memory", need: Unused, look: func(*host) finding { return lookMemlock(unix.Getrlimit) },
		costs: "nothing from 5.11 on: eBPF maps no longer count as locked memory",
	},
}

func lookCgroups(h *host) finding {
	mounts, err := h.mounts()
	if err != nil {
		return unknown(err)
	}
	return judgeCgroups(mounts)
}

// judgeCgroups names the layout and where its trees are.
func judgeCgroups(mounts []mount) finding {
	var v2 string
	var v1 []string
	for _, m := range mounts {
		switch {
		case m.kind == "cgroup2" && v2 == "":
			v2 = m.point
		case m.kind == "cgroup":
			v1 = append(v1, m.point[strings.LastIndexByte(m.point, '/')+1:])
		}
	}
	switch {
	case v2 == "" && v1 == nil:
		return finding{status: Missing, found: "no cgroup file system is mounted"}
	case v1 == nil:
		return finding{status: OK, found: "v2 at " + v2}
	case v2 == "":
		return finding{status: OK, found: "v1: " + strings.Join(v1, ", ")}
	}
	return finding{status: OK, found: "hybrid: v2 at " + v2 + ", v1: " + strings.Join(v1, ", ")}
}

func lookTracefs(h *host) finding {
	mounts, err := h.mounts()
	if err != nil {
		return unknown(err)
	}
	for _, m := range mounts {
		if m.kind == "tracefs" {
			return finding{status: OK, found: "mounted at " + m.point}
		}
	}
	return finding{status: Missing, found: "not mounted"}
}

func lookPIDNamespace(h *host) finding {
	link, err := os.Readlink(h.path("/proc/self/ns/pid"))
	switch {
	case err != nil:
		return unknown(err)
	case link != initialPIDNamespace:
		return finding{status: Degraded, found: "one of our own, " + link + h.containerHint()}
	}
	return finding{status: OK, found: "the machine's own"}
}

// containerHint names the traces that container engines leave.
func (h *host) containerHint() string {
	if _, err := os.Stat(h.path("/.dockerenv")); err == nil {
		return " (a container of Docker, it seems)"
	}
	if _, err := os.Stat(h.path("/run/.containerenv")); err == nil {
		return " (a container of Podman, it seems)"
	}
	return ""
}

func lookUserNamespace(h *host) finding {
	if h.ownUserNamespace() {
		return finding{status: Missing, found: "one of our own"}
	}
	return finding{status: OK, found: "the machine's own"}
}

// lookSeccomp asks for the mode of the filter on system calls. Where one is
// in force, the calls themselves tell whether it lets us through.
func lookSeccomp(prctl func(option int, arg2, arg3, arg4, arg5 uintptr) (int, error), sample func() error) finding {
	mode, err := prctl(unix.PR_GET_SECCOMP, 0, 0, 0, 0)
	switch {
	case errors.Is(err, unix.EINVAL):
		return finding{status: OK, found: "this kernel has none"}
	case err != nil:
		return unknown(err)
	case mode == 0:
		return finding{status: OK, found: "none"}
	case sample() == nil:
		return finding{status: OK, found: "one is in force, and lets us sample"}
	}
	return finding{status: Degraded, found: "one is in force, as container engines set it"}
}

type getrlimit func(resource int, limit *unix.Rlimit) error

// filesPerCPU is how many files a recording opens for each CPU at most, and
// filesBeside how many beside: maps, programs, profiles, binaries.
const (
	filesPerCPU = 4
	filesBeside = 256
)

func lookFiles(h *host, get getrlimit) finding {
	var limit unix.Rlimit
	if err := get(unix.RLIMIT_NOFILE, &limit); err != nil {
		return unknown(err)
	}
	cpus, err := h.onlineCPUs()
	if err != nil {
		return unknown(err)
	}
	want := uint64(filesPerCPU*len(cpus) + filesBeside)
	found := fmt.Sprintf("%d may be open, %d are enough for %d CPUs", limit.Cur, want, len(cpus))
	if limit.Cur < want {
		return finding{status: Degraded, found: found, fix: fmt.Sprintf("ulimit -n %d", want)}
	}
	return finding{status: OK, found: found}
}

func lookMemlock(get getrlimit) finding {
	var limit unix.Rlimit
	if err := get(unix.RLIMIT_MEMLOCK, &limit); err != nil {
		return unknown(err)
	}
	if limit.Cur == unix.RLIM_INFINITY {
		return finding{status: OK, found: "unlimited"}
	}
	return finding{status: OK, found: fmt.Sprintf("%d KiB", limit.Cur>>10)}
}
