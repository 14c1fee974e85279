// SPDX-License-Identifier: Apache-2.0

package syscalls

import (
	"strings"

	"github.com/assaylab/assay/bpf"
	"github.com/assaylab/assay/profiler/internal/sysno"
)

// A plan is what is recorded of one system call.
type plan struct {
	name string // on amd64
	args string // a letter each, see signatures
	bpf.CallPlan
}

// memories are what the letters of a signature ask the kernel side for.
var memories = map[byte]uint8{
	'v': bpf.MemoryIovec, 'm': bpf.MemoryMsghdr, 'n': bpf.MemoryInt, 'l': bpf.MemoryLong, '2': bpf.MemoryPair, 'h': bpf.MemoryHow,
	'k': bpf.MemoryFlock, 'o': bpf.MemoryOption, 'c': bpf.MemoryIoctl, '@': bpf.MemoryAddress,
}

var ends = map[string]uint8{"": 0, "f": bpf.PlanReturnsFD, "t": bpf.PlanForks, "x": bpf.PlanExecs}

// amd64Names are the calls that have another name on other architectures.
var amd64Names = map[string]string{"fstatat": "newfstatat"}

// plans are the plans by number.
func plans() *[bpf.CallPlans]plan {
	all := &[bpf.CallPlans]plan{}
	for nr := range all {
		all[nr] = newPlan(sysno.Name(int32(nr)), "")
	}
	byName := map[string]string{}
	for signature, names := range signatures {
		for name := range strings.FieldsSeq(names) {
			byName[name] = signature
		}
	}
	for nr, name := range sysno.All() {
		if other, ok := amd64Names[name]; ok {
			name = other
		}
		all[nr] = newPlan(name, byName[name])
	}
	return all
}

func newPlan(name, signature string) plan {
	args, end, _ := strings.Cut(signature, ">")
	p := plan{name: name, args: args, CallPlan: bpf.CallPlan{
		FdArg: bpf.NoArg, PathArg: [2]uint8{bpf.NoArg, bpf.NoArg}, MemoryArg: bpf.NoArg, Flags: ends[end],
	}}
	paths := 0
	for i, letter := range []byte(args) {
		switch letter {
		case 'f':
			if p.FdArg == bpf.NoArg {
				p.FdArg = uint8(i)
			}
		case 's':
			p.PathArg[paths] = uint8(i)
			paths++
		}
		if m, ok := memories[letter]; ok {
			p.MemoryArg, p.Memory = uint8(i), m
		}
	}
	return p
}

// lowestAddress is the lowest that a process can map by default (vm.mmap_min_addr): what is smaller is a number.
const lowestAddress = 64 << 10

// keep is the part of an argument that may leave the recorder; taken says that the kernel side has put what was pointed to in its place.
func (p *plan) keep(i int, args *[6]uint64, taken bool) uint64 {
	if i >= len(p.args) {
		return 0
	}
	a := args[i]
	switch p.args[i] {
	case 'i', 'a', 'f':
		return a
	case 'n', 'l', '2', 'h', 'o':
		if taken {
			return a
		}
	case 'k':
		if taken && isLock(args[1]) || a < lowestAddress {
			return a
		}
	case 'c':
		if taken && uint32(args[1]) == fionbio || a < lowestAddress {
			return a
		}
	case 'u':
		if a < lowestAddress {
			return a
		}
	}
	return 0
}
