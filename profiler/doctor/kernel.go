// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"fmt"
	"slices"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"
)

const btfPath = "/sys/kernel/btf/vmlinux"

var kernelRows = []row{
	{
		group: "kernel", name: "version", need: Core, look: lookVersion,
		costs: "kernels before " + floor.String() + " are not tried; the checks of programs and maps tell what works",
		fix:   "boot a kernel from " + floor.String() + " on",
	},
	{
		group: "kernel", name: "architecture", need: Core, look: lookArch,
		costs: "Assay's eBPF programs are built for x86_64 and aarch64 only",
		fix:   "use an x86_64 or aarch64 machine",
	},
	{
		group: "kernel", name: "BTF", need: Core, look: lookBTF,
		costs: "Assay's programs can't be fitted to this kernel",
		fix:   "boot a kernel built with CONFIG_DEBUG_INFO_BTF=y",
	},
	{
		group: "kernel", name: "BPF JIT", need: Adds, look: func(h *host) finding { return lookJIT(h, machineCode) },
		costs: "eBPF programs are interpreted, several times slower",
		fix:   "sudo sysctl net.core.bpf_jit_enable=1",
	},
	{
		group: "kernel", name: "lockdown", need: Core, look: func(h *host) finding { return lookLockdown(h, detachedLockdown, readsKernel) },
		costs: "programs may not read kernel memory: only the plainest cpu sampling is left",
		fix:   "boot without lockdown=confidentiality",
	},
}

func lookVersion(h *host) finding {
	v, err := parseRelease(h.release)
	if err != nil {
		return finding{status: Missing, found: words(err)}
	}
	if v.less(floor) {
		return finding{status: Missing, found: h.release + ", older than " + floor.String()}
	}
	return finding{status: OK, found: h.release + ", from " + floor.String() + " on"}
}

func lookArch(h *host) finding {
	if slices.Contains([]string{"x86_64", "aarch64"}, h.machine) {
		return finding{status: OK, found: h.machine}
	}
	return finding{status: Missing, found: h.machine}
}

// lookBTF parses the types and looks for the one that every program of ours
// reads.
func lookBTF(h *host) finding {
	spec, err := btf.LoadSpec(h.path(btfPath))
	if err != nil {
		return finding{status: Missing, found: words(err)}
	}
	var task *btf.Struct
	if err := spec.TypeByName("task_struct", &task); err != nil {
		return finding{status: Missing, found: words(err)}
	}
	return finding{status: OK, found: fmt.Sprintf("%s describes task_struct (%d bytes)", btfPath, task.Size)}
}

// lookJIT believes a loaded program more than the setting, which only root can
// read on many kernels and which a kernel with JIT_ALWAYS_ON does not let
// anyone change.
func lookJIT(h *host, compiled func() (uint32, error)) finding {
	size, err := compiled()
	if err == nil {
		return finding{status: OK, found: fmt.Sprintf("a program became %d bytes of machine code", size)}
	}
	enabled, readErr := h.number("/proc/sys/net/core/bpf_jit_enable")
	switch {
	case readErr != nil:
		return unknown(err)
	case enabled == 0:
		return finding{status: Degraded, found: "net.core.bpf_jit_enable is 0"}
	}
	return finding{status: OK, found: fmt.Sprintf("net.core.bpf_jit_enable is %d", enabled)}
}

// machineCode loads a program and tells how many bytes the JIT made of it.
func machineCode() (uint32, error) {
	program, err := ebpf.NewProgram(doNothing(ebpf.ProgramSpec{Type: ebpf.PerfEvent}))
	if err != nil {
		return 0, err
	}
	defer program.Close()
	info, err := program.Info()
	if err != nil {
		return 0, err
	}
	return info.JitedSize()
}
