// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"
)

// Counts are the TCP and UDP packets that the loss program had. ARP and ICMP are neither counted nor dropped.
type Counts struct {
	Seen    uint64
	Dropped uint64 // of those seen
}

// loss drops packets at random. The zero value has nothing to close.
type loss struct {
	counts  *ebpf.Map
	program *ebpf.Program
	link    link.Link // nil when attached to clsact, which goes with the device
}

// addLoss drops packets that arrive at this end of the cable with a probability of 0 to 1. It must run in the space.
func addLoss(probability float64) (loss, error) {
	l, err := loadLoss(probability)
	if err == nil {
		l.link, err = attachIngress(l.program)
	}
	if err != nil {
		return loss{}, errors.Join(fmt.Errorf("loss program: %w", err), l.close())
	}
	return l, nil
}

// loadLoss makes the program and its counts. What it returns with an error has to be closed too.
func loadLoss(probability float64) (l loss, err error) {
	l.counts, err = ebpf.NewMap(&ebpf.MapSpec{Name: "counts", Type: ebpf.Array, KeySize: 4, ValueSize: 16, MaxEntries: 1})
	if err != nil {
		return l, err
	}
	l.program, err = ebpf.NewProgram(&ebpf.ProgramSpec{
		Name: "loss", Type: ebpf.SchedCLS, License: "Apache-2.0", Instructions: lossCode(l.counts.FD(), probability),
	})
	return l, err
}

// Offsets in an Ethernet frame, and in struct __sk_buff.
const (
	etherHeader     = 14
	ipv4Protocol    = etherHeader + 9
	ipv6NextHeader  = etherHeader + 6
	skbProtocol     = 16
	seenOffset      = 0 // in Counts
	droppedOffset   = 8
	actionOK        = 0
	actionShot      = 2
	etherTypeIPv4   = 0x0800
	etherTypeIPv6   = 0x86dd
	chancesOfRandom = 1 << 32 // of bpf_get_prandom_u32
)

// lossCode counts and drops. r6 is the packet (LoadAbs wants it there; it lets pass what is too short), r7 its Ethernet type, r8 the Counts.
func lossCode(counts int, probability float64) asm.Instructions {
	return asm.Instructions{
		asm.Mov.Reg(asm.R6, asm.R1),
		asm.LoadMem(asm.R7, asm.R6, skbProtocol, asm.Word),
		asm.JEq.Imm(asm.R7, networkOrder(etherTypeIPv4), "ipv4"),
		asm.JNE.Imm(asm.R7, networkOrder(etherTypeIPv6), "pass"),
		asm.LoadAbs(ipv6NextHeader, asm.Byte),
		asm.Ja.Label("transport"),
		asm.LoadAbs(ipv4Protocol, asm.Byte).WithSymbol("ipv4"),
		asm.JEq.Imm(asm.R0, unix.IPPROTO_TCP, "count").WithSymbol("transport"),
		asm.JNE.Imm(asm.R0, unix.IPPROTO_UDP, "pass"),
		asm.LoadMapValue(asm.R8, counts, 0).WithSymbol("count"),
		asm.Mov.Imm(asm.R1, 1),
		asm.AddAtomic.Mem(asm.R8, asm.R1, asm.DWord, seenOffset),
		asm.FnGetPrandomU32.Call(),
		asm.LoadImm(asm.R1, int64(probability*chancesOfRandom), asm.DWord), // as an immediate of 32 bits 0.5 would be negative
		asm.JGE.Reg(asm.R0, asm.R1, "pass"),
		asm.Mov.Imm(asm.R1, 1),
		asm.AddAtomic.Mem(asm.R8, asm.R1, asm.DWord, droppedOffset),
		asm.Mov.Imm(asm.R0, actionShot),
		asm.Return(),
		asm.Mov.Imm(asm.R0, actionOK).WithSymbol("pass"),
		asm.Return(),
	}
}

// networkOrder is a 16-bit number of a packet as a program reads it.
func networkOrder(x uint16) int32 {
	return int32(binary.NativeEndian.Uint16(binary.BigEndian.AppendUint16(nil, x)))
}

// read returns the counts so far.
func (l *loss) read() (Counts, error) {
	var c Counts
	if l.counts == nil {
		return c, nil
	}
	if err := l.counts.Lookup(uint32(0), &c); err != nil {
		return c, fmt.Errorf("read counts of the loss program: %w", err)
	}
	return c, nil
}

// close detaches the program, unless it hangs at clsact, and frees it and its counts.
func (l *loss) close() error {
	return errors.Join(detach(l.link), l.program.Close(), l.counts.Close())
}
