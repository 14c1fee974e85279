// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"
)

// Arrivals are the times at which frames reached the receiver's stack, those that were sent by sockets and in their order. Reading is for one goroutine.
type Arrivals struct {
	times   *ebpf.Map // nanoseconds of CLOCK_MONOTONIC, or 0 where a frame is still to come
	memory  *ebpf.Memory
	count   *ebpf.Map
	program *ebpf.Program
	link    link.Link // nil when attached to clsact
	read    int64
}

// MaxArrivals is how many frames may have arrived that [Arrivals.Next] was not asked for; with more, times are wrong.
const MaxArrivals = 1 << 16

// TimeArrivals has the times noted from now on. Close it before the lab.
func (l *Lab) TimeArrivals() (*Arrivals, error) {
	a := &Arrivals{}
	err := a.load()
	if err == nil {
		err = l.Receiver.Do(func() error {
			a.link, err = attachIngress(a.program)
			return err
		})
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("times of arrival: %w", err), a.Close())
	}
	return a, nil
}

func (a *Arrivals) load() (err error) {
	a.times, err = ebpf.NewMap(&ebpf.MapSpec{
		Name: "times", Type: ebpf.Array, KeySize: 4, ValueSize: 8 * MaxArrivals, MaxEntries: 1, Flags: unix.BPF_F_MMAPABLE,
	})
	if err != nil {
		return err
	}
	if a.memory, err = a.times.Memory(); err != nil {
		return err
	}
	if a.count, err = ebpf.NewMap(&ebpf.MapSpec{Name: "count", Type: ebpf.Array, KeySize: 4, ValueSize: 8, MaxEntries: 1}); err != nil {
		return err
	}
	a.program, err = ebpf.NewProgram(&ebpf.ProgramSpec{
		Name: "arrivals", Type: ebpf.SchedCLS, License: "Apache-2.0", Instructions: arrivalsCode(a.times.FD(), a.count.FD()),
	})
	return err
}

const bpfFetch = 1 // BPF_FETCH

// arrivalsCode notes the time in the next place.
func arrivalsCode(times, count int) asm.Instructions {
	takePlace := asm.FetchAdd.Mem(asm.R1, asm.R2, asm.DWord, 0)
	takePlace.Constant = bpfFetch // which cilium/ebpf 0.22 forgets, so that nothing would be fetched
	return asm.Instructions{
		asm.FnKtimeGetNs.Call(),
		asm.LoadMapValue(asm.R1, count, 0),
		asm.Mov.Imm(asm.R2, 1),
		takePlace,
		asm.And.Imm(asm.R2, MaxArrivals-1),
		asm.LSh.Imm(asm.R2, 3), // 8 bytes each
		asm.LoadMapValue(asm.R1, times, 0),
		asm.Add.Reg(asm.R1, asm.R2),
		asm.StoreMem(asm.R1, 0, asm.R0, asm.DWord),
		asm.Mov.Imm(asm.R0, actionOK),
		asm.Return(),
	}
}

// Next returns when the next frame arrived, on CLOCK_MONOTONIC; 0 if it didn't yet.
func (a *Arrivals) Next() (time.Duration, error) {
	var stamp [8]byte
	place := a.read % MaxArrivals * int64(len(stamp))
	if _, err := a.memory.ReadAt(stamp[:], place); err != nil {
		return 0, fmt.Errorf("times of arrival: %w", err)
	}
	at := binary.NativeEndian.Uint64(stamp[:])
	if at == 0 {
		return 0, nil
	}
	if _, err := a.memory.WriteAt(make([]byte, len(stamp)), place); err != nil {
		return 0, fmt.Errorf("times of arrival: %w", err)
	}
	a.read++
	return time.Duration(at), nil
}

// Close ends it.
func (a *Arrivals) Close() error {
	return errors.Join(detach(a.link), a.program.Close(), a.count.Close(), a.times.Close())
}
