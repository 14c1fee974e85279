// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"strings"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/link"
)

// kernelRelease says which kernel runs.
func kernelRelease() (observation, error) {
	release, err := os.ReadFile("/proc/sys/kernel/osrelease")
	return observation{detail: strings.TrimSpace(string(release)) + " " + runtime.GOARCH}, err
}

// countSwitches attaches a program to sched_switch through BTF that counts in an array, without any code of assay.
func countSwitches() (seen observation, err error) {
	counts, err := ebpf.NewMap(&ebpf.MapSpec{Type: ebpf.Array, KeySize: 4, ValueSize: 8, MaxEntries: 1})
	if err != nil {
		return seen, err
	}
	defer func() { err = errors.Join(err, counts.Close()) }()
	program, err := ebpf.NewProgram(switchCounter(counts))
	if err != nil {
		return seen, err
	}
	defer func() { err = errors.Join(err, program.Close()) }()
	attached, err := link.AttachTracing(link.TracingOptions{Program: program})
	if err != nil {
		return seen, err
	}
	time.Sleep(100 * time.Millisecond)
	if err := attached.Close(); err != nil {
		return seen, err
	}
	var count uint64
	if err := counts.Lookup(uint32(0), &count); err != nil {
		return seen, err
	}
	if count == 0 {
		return seen, errors.New("no switch was counted while this process slept")
	}
	return observation{detail: fmt.Sprintf("%d switches", count)}, nil
}

// switchCounter is a program that adds one to the only value of an array at each switch.
func switchCounter(counts *ebpf.Map) *ebpf.ProgramSpec {
	return &ebpf.ProgramSpec{
		Type:       ebpf.Tracing,
		AttachType: ebpf.AttachTraceRawTp,
		AttachTo:   "sched_switch",
		License:    "Dual BSD/GPL",
		Instructions: asm.Instructions{
			asm.LoadMapValue(asm.R1, counts.FD(), 0),
			asm.Mov.Imm(asm.R2, 1),
			asm.StoreXAdd(asm.R1, asm.R2, asm.DWord),
			asm.Mov.Imm(asm.R0, 0),
			asm.Return(),
		},
	}
}
