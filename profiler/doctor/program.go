// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"fmt"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"golang.org/x/sys/unix"

	"github.com/assaylab/assay/internal/caps"
)

// The programs on which modes of recording rest.
const (
	namePerfEvent = "perf_event"
	nameBTFSwitch = "tp_btf/sched_switch"
	nameBTFWaking = "tp_btf/sched_waking"
	nameBTFFree   = "tp_btf/sched_process_free"
	nameTaskIter  = "iter/task"
)

// program is a type of eBPF program, tried with one that only returns.
type program struct {
	name   string
	need   Need
	costs  string
	spec   ebpf.ProgramSpec
	attach func(*ebpf.Program) error // attaches and detaches; nil where that might disturb
}

var (
	perfEvent = program{
		name: namePerfEvent, need: Core, costs: "no cpu mode",
		spec: ebpf.ProgramSpec{Type: ebpf.PerfEvent}, attach: attachEvent,
	}
	btfSwitch = program{
		name: nameBTFSwitch, need: Core, costs: "no offcpu mode",
		spec: tracing(ebpf.AttachTraceRawTp, "sched_switch", 0), attach: attachTracing,
	}
	tellNames = program{
		name: "syscall", need: Adds, costs: "kernel frames are named from /proc/kallsyms, slower and only where that shows addresses",
		spec: ebpf.ProgramSpec{
			Type: ebpf.Syscall, Flags: unix.BPF_F_SLEEPABLE,
			// A helper that wants CAP_PERFMON, as the one does that prints names.
			Instructions: asm.Instructions{asm.FnGetCurrentTask.Call(), asm.Mov.Imm(asm.R0, 0), asm.Return()},
		},
	}
)

// unneeded is what a program that Assay does not use costs to be without.
const unneeded = "nothing: Assay does not need it"

// refused is what is left to do where a capability is not the reason.
const refused = "sudo dmesg # the log says which security module refuses, if one does"

// rare is a kernel function that is never called while the machine is up, so
// probes on it run never.
const rare = "orderly_poweroff"

var programs = []program{
	perfEvent,
	btfSwitch,
	{
		name: nameBTFWaking, need: Core, costs: "no offcpu mode",
		spec: tracing(ebpf.AttachTraceRawTp, "sched_waking", 0), attach: attachTracing,
	},
	{
		name: nameBTFFree, need: Core, costs: "no cpu mode",
		spec: tracing(ebpf.AttachTraceRawTp, "sched_process_free", 0), attach: attachTracing,
	},
	{
		name: "tp_btf/sched_process_fork", need: Adds, costs: "no recording of chosen processes (--pid)",
		spec: tracing(ebpf.AttachTraceRawTp, "sched_process_fork", 0), attach: attachTracing,
	},
	{
		name: nameTaskIter, need: Core, costs: "no recording",
		spec: tracing(ebpf.AttachTraceIter, "task", 0), attach: attachIter,
	},
	{
		name: "iter.s/task", need: Adds, costs: "threads that wait since before the start have no user stack, which takes a kernel from 6.1 on",
		spec: tracing(ebpf.AttachTraceIter, "task", unix.BPF_F_SLEEPABLE), attach: attachIter,
	},
	tellNames,
	{
		name: "raw_tp/sched_process_exec", need: Unused, costs: unneeded,
		spec: ebpf.ProgramSpec{Type: ebpf.RawTracepoint}, attach: attachRaw,
	},
	{
		name: "tp_btf/sched_process_exec", need: Unused, costs: unneeded,
		spec: tracing(ebpf.AttachTraceRawTp, "sched_process_exec", 0), attach: attachTracing,
	},
	{
		name: "fentry", need: Unused, costs: unneeded,
		spec: tracing(ebpf.AttachTraceFEntry, rare, 0), attach: attachTracing,
	},
	{
		name: "kprobe", need: Unused, costs: unneeded,
		spec: probeType(), attach: attachKprobe,
	},
	{
		name: "uprobe", need: Unused, costs: unneeded,
		spec: probeType(), attach: attachUprobe,
	},
	{
		name: "tracepoint", need: Unused, costs: unneeded,
		spec: ebpf.ProgramSpec{Type: ebpf.TracePoint},
	},
	{
		name: "lsm", need: Unused, costs: unneeded,
		spec: ebpf.ProgramSpec{Type: ebpf.LSM, AttachType: ebpf.AttachLSMMac, AttachTo: "settime"},
	},
}

func tracing(attach ebpf.AttachType, to string, flags uint32) ebpf.ProgramSpec {
	return ebpf.ProgramSpec{Type: ebpf.Tracing, AttachType: attach, AttachTo: to, Flags: flags}
}

// probeType is the type of kprobes and uprobes. The kernel has ignored the
// version since 5.0, yet with none given the library looks for it in
// /proc/self/mem, which is closed to a program with file capabilities.
func probeType() ebpf.ProgramSpec {
	return ebpf.ProgramSpec{Type: ebpf.Kprobe, KernelVersion: 1}
}

// doNothing completes a spec, with a body that returns 0 if it has none.
func doNothing(spec ebpf.ProgramSpec) *ebpf.ProgramSpec {
	spec.Name = "assay_doctor"
	spec.License = "Dual BSD/GPL"
	if spec.Instructions == nil {
		spec.Instructions = asm.Instructions{asm.Mov.Imm(asm.R0, 0), asm.Return()}
	}
	return &spec
}

// load loads the program, attaches it for an instant where that is harmless,
// and takes it away again.
func (p program) load() error {
	loaded, err := ebpf.NewProgram(doNothing(p.spec))
	if err != nil {
		return err
	}
	defer loaded.Close()
	if p.attach == nil {
		return nil
	}
	if err := p.attach(loaded); err != nil {
		return fmt.Errorf("loads; attach: %w", err)
	}
	return nil
}

func (p program) look(*host) finding {
	if p.attach == nil {
		return tried("loads", p.load())
	}
	return tried("loads and attaches", p.load())
}

func programRows() []row {
	list := make([]row, 0, len(programs))
	for _, p := range programs {
		list = append(list, row{
			group: "programs", name: p.name, need: p.need, costs: p.costs, look: p.look,
			wants: caps.Of(caps.BPF, caps.Perfmon), fix: refused,
		})
	}
	return list
}
