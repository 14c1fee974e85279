// SPDX-License-Identifier: Apache-2.0

package bpf

import (
	"errors"
	"fmt"
	"math/bits"
	"math/rand/v2"
	"os"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"
	"golang.org/x/sys/unix"
)

// Target kinds.
const (
	targetAll uint32 = iota
	targetPIDs
	targetComm
	targetCgroup
)

// Config says what the programs record. The zero value records nothing of all threads.
type Config struct {
	CPU    bool // sample what runs
	OffCPU bool // account time at context switches

	PIDs         bool   // only processes given to [Kernel.AddTarget]
	Comm         string // only threads (or processes) of this name
	CgroupID     uint64 // only threads in this cgroup or below: inode of its folder; 0: no such limit
	CgroupSubsys int    // v1: index of the controller among the kernel's; v2: -1

	Exact    bool          // a stack for every wait
	Wakers   bool          // the stack of who ended a wait
	Tables   bool          // walk user stacks by tables, see [Kernel.AddSlab]; otherwise by frame pointers
	GoLabels bool          // labels of goroutines, see [Kernel.AddGo]
	WithCPU  bool          // CPU samples: a count for each CPU
	Stop     bool          // stop whom a sample is taken of, by SIGSTOP
	MinBlock time.Duration // shorter waits get no stack

	PIDNSLevel uint32 // our PID namespace, when it is not the initial one
	PIDNSInum  uint32
}

// kernelFacts are what the programs must know of the running kernel before they are loaded.
type kernelFacts struct {
	rqClock   bool // a task leads to its run queue's clock
	prevState bool // sched_switch passes prev_state (5.18)
	loop      bool // bpf_loop (5.17)
	allocates bool // elements of hash tables may be made one by one, whoever asks (6.1)
}

// errNoBTF is the plain word for a kernel without type information.
var errNoBTF = errors.New("this kernel has no BTF (/sys/kernel/btf/vmlinux): Assay needs a kernel of 5.15 or later built with CONFIG_DEBUG_INFO_BTF")

func readKernelFacts(types *btf.Spec) (kernelFacts, error) {
	var f kernelFacts
	var proto *btf.Typedef
	if err := types.TypeByName("btf_trace_sched_switch", &proto); err != nil {
		return f, fmt.Errorf("tracepoint sched_switch: %w", err)
	}
	if ptr, ok := btf.As[*btf.Pointer](proto.Type); ok {
		if fn, ok := ptr.Target.(*btf.FuncProto); ok {
			f.prevState = len(fn.Params) >= 5 // with the leading void *
		}
	}
	f.rqClock = hasField(types, "sched_entity", "cfs_rq") && hasField(types, "cfs_rq", "rq") &&
		hasField(types, "sched_info", "last_queued")
	f.loop = hasEnum(types, "bpf_func_id", "BPF_FUNC_loop")
	f.allocates = Allocates(types)
	return f, nil
}

// Allocates says whether a kernel with the given types lets all programs use tables whose elements are made one by one, those that can sleep
// and so read user memory, too: since 6.1, which brought the allocator.
func Allocates(types *btf.Spec) bool {
	var allocator *btf.Struct
	return types.TypeByName("bpf_mem_alloc", &allocator) == nil
}

func hasField(types *btf.Spec, structure, field string) bool {
	var s *btf.Struct
	if types.TypeByName(structure, &s) != nil {
		return false
	}
	for _, m := range s.Members {
		if m.Name == field {
			return true
		}
	}
	return false
}

func hasEnum(types *btf.Spec, enum, value string) bool {
	var e *btf.Enum
	if types.TypeByName(enum, &e) != nil {
		return false
	}
	for _, v := range e.Values {
		if v.Name == value {
			return true
		}
	}
	return false
}

// Fit suits an object to a kernel with the given types: what its programs may not do there, and what they needn't.
func Fit(spec *ebpf.CollectionSpec, types *btf.Spec) error {
	f, err := readKernelFacts(types)
	if err != nil {
		return err
	}
	return f.fit(spec)
}

func (f *kernelFacts) fit(spec *ebpf.CollectionSpec) error {
	if !f.allocates {
		for _, m := range spec.Maps {
			preallocate(m)
			preallocate(m.InnerMap)
		}
	}
	return set(spec, map[string]any{"use_rq_clock": f.rqClock, "has_prev_state": f.prevState, "has_loop": f.loop})
}

// preallocate has the elements of a hash table made with it.
func preallocate(m *ebpf.MapSpec) {
	if m != nil && m.Type == ebpf.Hash {
		m.Flags &^= unix.BPF_F_NO_PREALLOC
	}
}

// constants are the settings of the programs, by the names that the C code gives them.
// An object takes those that it declares.
func (c *Config) constants() map[string]any {
	kind := targetAll
	var comm [16]uint8
	switch {
	case c.PIDs:
		kind = targetPIDs
	case c.Comm != "":
		kind = targetComm
		copy(comm[:15], c.Comm)
	case c.CgroupID != 0:
		kind = targetCgroup
	}
	return map[string]any{
		"target_kind":    kind,
		"target_comm":    comm,
		"target_cgroup":  c.CgroupID,
		"target_subsys":  int32(c.CgroupSubsys),
		"pidns_level":    c.PIDNSLevel,
		"pidns_inum":     c.PIDNSInum,
		"hash_seed":      rand.Uint64(),
		"with_cpu":       c.WithCPU,
		"stop_sampled":   c.Stop,
		"with_tables":    c.Tables,
		"with_go_labels": c.GoLabels,
		"page_shift":     uint32(bits.TrailingZeros(uint(os.Getpagesize()))),
		"exact":          c.Exact,
		"with_wakers":    c.Wakers,
		"min_block":      uint64(c.MinBlock),
	}
}

// set writes the constants that spec declares.
func set(spec *ebpf.CollectionSpec, constants map[string]any) error {
	for name, value := range constants {
		v, ok := spec.Variables[name]
		if !ok {
			continue
		}
		if err := v.Set(value); err != nil {
			return fmt.Errorf("constant %s: %w", name, err)
		}
	}
	return nil
}
