// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"fmt"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/btf"
	"github.com/cilium/ebpf/features"

	"github.com/assaylab/assay/internal/caps"
)

// The maps on which modes of recording rest.
const (
	nameHash        = "hash map"
	nameArray       = "array map"
	nameTables      = "map of maps"
	nameRing        = "ring buffer"
	nameTaskStorage = "task storage"
)

// mapTypes are the types that Assay's programs have maps of.
var mapTypes = []struct {
	name, costs string
	kind        ebpf.MapType
}{
	{nameHash, "no recording", ebpf.Hash},
	{nameArray, "no recording", ebpf.PerCPUArray},
	{nameTables, "no recording", ebpf.ArrayOfMaps},
	{nameRing, "no recording", ebpf.RingBuf},
	{nameTaskStorage, "no offcpu mode", ebpf.TaskStorage},
}

func mapRows() []row {
	var list []row
	for _, m := range mapTypes {
		list = append(list, row{
			group: "maps and calls", name: m.name, need: Core, costs: m.costs, wants: caps.Of(caps.BPF), fix: refused,
			look: func(*host) finding { return tried("made", features.HaveMapType(m.kind)) },
		})
	}
	return append(list,
		row{
			group: "maps and calls", name: "bpf_loop", need: Adds, wants: caps.Of(caps.BPF), fix: "boot a kernel from 5.17 on",
			costs: "offcpu mode walks stacks that it has seen before anew, so it slows switches down more",
			look: func(*host) finding {
				return tried("allowed in perf_event programs", features.HaveProgramHelper(ebpf.PerfEvent, asm.FnLoop))
			},
		},
		row{
			group: "maps and calls", name: "kfuncs", need: Unused, costs: unneeded,
			look: func(*host) finding { return tried("a program that calls bpf_rcu_read_lock loads", callKfuncs()) },
		},
	)
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
