// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"fmt"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/btf"
	"github.com/cilium/ebpf/features"
	"golang.org/x/sys/unix"

	"github.com/assaylab/assay/internal/caps"
)

// The maps on which modes of recording rest.
const (
	nameHash        = "hash map"
	nameArray       = "array map"
	nameRing        = "ring buffer"
	nameTaskStorage = "task storage"
)

func mapRows() []row {
	number := &btf.Int{Name: "int", Size: 4, Encoding: btf.Signed}
	list := []row{
		mapRow(nameHash, "no recording", ebpf.MapSpec{Type: ebpf.Hash, KeySize: 4, ValueSize: 4, MaxEntries: 1}),
		mapRow(nameArray, "no recording", ebpf.MapSpec{Type: ebpf.PerCPUArray, KeySize: 4, ValueSize: 4, MaxEntries: 1}),
		mapRow(nameRing, "no recording", ebpf.MapSpec{Type: ebpf.RingBuf, MaxEntries: 1 << 16}),
		mapRow(nameTaskStorage, "no offcpu mode", ebpf.MapSpec{
			Type: ebpf.TaskStorage, KeySize: 4, ValueSize: 4, Flags: unix.BPF_F_NO_PREALLOC, Key: number, Value: number,
		}),
	}
	return append(list,
		row{group: "maps and calls", name: "bpf_loop", need: Unused, costs: unneeded, look: func(*host) finding {
			return tried("allowed in perf_event programs", features.HaveProgramHelper(ebpf.PerfEvent, asm.FnLoop))
		}},
		row{group: "maps and calls", name: "kfuncs", need: Unused, costs: unneeded, look: func(*host) finding {
			return tried("a program that calls bpf_rcu_read_lock loads", callKfuncs())
		}},
	)
}

func mapRow(name, costs string, spec ebpf.MapSpec) row {
	return row{
		group: "maps and calls", name: name, need: Core, costs: costs, wants: caps.BPF, fix: refused,
		look: func(*host) finding { return tried(spec.Type.String()+" made", makeMap(spec)) },
	}
}

func makeMap(spec ebpf.MapSpec) error {
	spec.Name = "assay_doctor"
	m, err := ebpf.NewMap(&spec)
	return detach(m, err)
}

// callKfuncs loads a program that calls two functions of the kernel by their
// numbers in its BTF: the pair that takes and leaves an RCU read lock (6.2+).
func callKfuncs() error {
	lock, err := kfunc("bpf_rcu_read_lock")
	if err != nil {
		return err
	}
	unlock, err := kfunc("bpf_rcu_read_unlock")
	if err != nil {
		return err
	}
	spec := doNothing(tracing(ebpf.AttachTraceRawTp, "sched_switch", 0))
	spec.Instructions = append(asm.Instructions{lock, unlock}, spec.Instructions...)
	p, err := ebpf.NewProgram(spec)
	return detach(p, err)
}

func kfunc(name string) (asm.Instruction, error) {
	types, err := btf.LoadKernelSpec()
	if err != nil {
		return asm.Instruction{}, err
	}
	var function *btf.Func
	if err := types.TypeByName(name, &function); err != nil {
		return asm.Instruction{}, err
	}
	id, err := types.TypeID(function)
	if err != nil {
		return asm.Instruction{}, fmt.Errorf("%s: %w", name, err)
	}
	return asm.Instruction{
		OpCode: asm.OpCode(asm.JumpClass).SetJumpOp(asm.Call), Src: asm.PseudoKfuncCall, Constant: int64(id),
	}, nil
}
