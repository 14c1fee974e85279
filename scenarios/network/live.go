// SPDX-License-Identifier: Apache-2.0

package network

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"time"
	"unsafe"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"golang.org/x/sys/unix"

	"github.com/assaylab/assay/scenarios/network/lab"
	"github.com/assaylab/assay/scenarios/network/pcap"
)

// live sends the frames of a recording, in their order and over and over, from inside the kernel. BPF_PROG_TEST_RUN in its mode of live frames (kernel
// 5.18, Documentation/bpf/bpf_prog_run.rst) runs an XDP program on frames from a pool of pages; ours writes the next frame of the recording into the page, cuts it to
// its length and redirects it into the cable. No system call, socket or sk_buff is made for a frame until it arrives.
type live struct {
	program *ebpf.Program
	frames  *ebpf.Map // of the recording
	allowed *ebpf.Map // how many frames may be sent
	cursor  *ebpf.Map // where the program is
	longest int       // bytes in a frame
}

// Bounds of what can be sent so.
const (
	// maxLiveFrame bounds the program's look into the recording. How long a frame may be is the kernel's to say: a page has to hold what belongs to it too.
	maxLiveFrame = 4096
	// maxLiveBytes bounds the copy of the recording, which is in the kernel and can't be swapped out.
	maxLiveBytes = 256 << 20
	// perRun is how many frames go with one system call. Its set-up takes some 30 ms; what is left of it when the time is over is run through idly, within 0.1 s.
	perRun = 1 << 22
)

// Offsets in the cursor map, which only the program writes while it runs. One thread at a time runs it.
const (
	cursorSent  = 0  // frames
	cursorAt    = 8  // of the next frame, in the frames map
	cursorFirst = 16 // when the first was sent, nanoseconds of CLOCK_MONOTONIC
	cursorSize  = 24
)

// frameAlign is what each frame's length, and after it its bytes, begin at a multiple of.
const frameAlign = 8

// newLive makes what sends a recording out of the sender's end of the cable, and has the receiver's end take it. An error says why that can't be.
func newLive(recording *pcap.Recording, cable *lab.Lab) (*live, error) {
	if recording.Longest > maxLiveFrame {
		return nil, fmt.Errorf("a frame of %d bytes is longer than a page", recording.Longest)
	}
	index, err := cable.Sender.Index()
	if err != nil {
		return nil, err
	}
	l := &live{longest: recording.Longest}
	err = l.load(recording, index)
	if err == nil {
		err = cable.Sender.Do(func() error { return l.run(1) }) // nothing may be sent yet, so this only tries
	}
	if err == nil {
		err = cable.TakeXDP()
	}
	if err != nil {
		return nil, errors.Join(err, l.close())
	}
	return l, nil
}

// load makes the maps and the program.
func (l *live) load(recording *pcap.Recording, device int) (err error) {
	packed, err := pack(recording)
	if err != nil {
		return err
	}
	if l.frames, err = newValue("frames", len(packed)+frameAlign+maxLiveFrame, unix.BPF_F_MMAPABLE); err != nil { // with room behind, for the verifier
		return err
	}
	memory, err := l.frames.Memory()
	if err == nil {
		_, err = memory.WriteAt(packed, 0)
	}
	if err != nil {
		return err
	}
	if l.allowed, err = newValue("allowed", 8, 0); err != nil {
		return err
	}
	if l.cursor, err = newValue("cursor", cursorSize, 0); err != nil {
		return err
	}
	l.program, err = ebpf.NewProgram(&ebpf.ProgramSpec{Name: "replay", Type: ebpf.XDP, License: "Apache-2.0", Instructions: l.code(len(packed), device)})
	return err
}

// newValue makes a map of one value.
func newValue(name string, size int, flags uint32) (*ebpf.Map, error) {
	return ebpf.NewMap(&ebpf.MapSpec{Name: name, Type: ebpf.Array, KeySize: 4, ValueSize: uint32(size), MaxEntries: 1, Flags: flags})
}

// pack returns all frames: of each the length, in 8 bytes, then what it has, filled up to a multiple of frameAlign.
func pack(recording *pcap.Recording) ([]byte, error) {
	if most := recording.Bytes() + recording.Len()*2*frameAlign; most > maxLiveBytes {
		return nil, fmt.Errorf("the recording has more than %d MiB", maxLiveBytes>>20)
	}
	var packed []byte
	for i := range recording.Len() {
		frame := recording.Frame(i)
		packed = binary.NativeEndian.AppendUint64(packed, uint64(len(frame)))
		packed = append(packed, frame...)
		packed = append(packed, make([]byte, -len(packed)&(frameAlign-1))...)
	}
	return packed, nil
}

const xdpDrop = 1 // enum xdp_action

// code makes a page that is as long as the longest frame into the next frame, and redirects it to a device; when all that may be sent were, it drops the page.
// size is that of all frames as packed. r6 is the page (struct xdp_md), r7 the cursor, r8 the frame in its map, r9 its length.
func (l *live) code(size, device int) asm.Instructions {
	return asm.Instructions{
		asm.Mov.Reg(asm.R6, asm.R1),
		asm.LoadMapValue(asm.R7, l.cursor.FD(), 0),
		asm.LoadMapValue(asm.R1, l.allowed.FD(), 0),
		asm.LoadMem(asm.R1, asm.R1, 0, asm.DWord),
		asm.LoadMem(asm.R2, asm.R7, cursorSent, asm.DWord),
		asm.JGE.Reg(asm.R2, asm.R1, "drop"),

		asm.LoadMem(asm.R1, asm.R7, cursorAt, asm.DWord),
		asm.JGE.Imm(asm.R1, int32(size), "drop"), // which can't be, but the verifier doesn't know; nor below
		asm.LoadMapValue(asm.R8, l.frames.FD(), 0),
		asm.Add.Reg(asm.R8, asm.R1),
		asm.LoadMem(asm.R9, asm.R8, 0, asm.DWord),
		asm.Add.Imm(asm.R8, frameAlign),
		asm.JGT.Imm(asm.R9, maxLiveFrame, "drop"),
		asm.JLT.Imm(asm.R9, pcap.MinFrame, "drop"),

		asm.Mov.Reg(asm.R1, asm.R6),
		asm.Mov.Reg(asm.R2, asm.R9),
		asm.Sub.Imm(asm.R2, int32(l.longest)),
		asm.FnXdpAdjustTail.Call(),
		asm.JNE.Imm(asm.R0, 0, "drop"),
		asm.Mov.Reg(asm.R1, asm.R6),
		asm.Mov.Imm(asm.R2, 0),
		asm.Mov.Reg(asm.R3, asm.R8),
		asm.Mov.Reg(asm.R4, asm.R9),
		asm.FnXdpStoreBytes.Call(),
		asm.JNE.Imm(asm.R0, 0, "drop"),

		asm.LoadMem(asm.R1, asm.R7, cursorSent, asm.DWord),
		asm.JNE.Imm(asm.R1, 0, "count"),
		asm.FnKtimeGetNs.Call(),
		asm.StoreMem(asm.R7, cursorFirst, asm.R0, asm.DWord),
		asm.LoadMem(asm.R1, asm.R7, cursorSent, asm.DWord).WithSymbol("count"),
		asm.Add.Imm(asm.R1, 1),
		asm.StoreMem(asm.R7, cursorSent, asm.R1, asm.DWord),
		asm.LoadMem(asm.R1, asm.R7, cursorAt, asm.DWord),
		asm.Add.Reg(asm.R1, asm.R9),
		asm.Add.Imm(asm.R1, 2*frameAlign-1),
		asm.And.Imm(asm.R1, -frameAlign),
		asm.JLT.Imm(asm.R1, int32(size), "next"),
		asm.Mov.Imm(asm.R1, 0),
		asm.StoreMem(asm.R7, cursorAt, asm.R1, asm.DWord).WithSymbol("next"),
		asm.Mov.Imm(asm.R1, int32(device)),
		asm.Mov.Imm(asm.R2, 0),
		asm.FnRedirect.Call(),
		asm.Return(),

		asm.Mov.Imm(asm.R0, xdpDrop).WithSymbol("drop"),
		asm.Return(),
	}
}

// run sends frames, fewer if fewer are allowed. It must run in the sender's space. A signal has the call made again, from where it was, and so more frames be sent.
func (l *live) run(frames uint32) error {
	_, err := l.program.Run(&ebpf.RunOptions{
		Data: make([]byte, l.longest), Repeat: frames, Flags: unix.BPF_F_TEST_XDP_LIVE_FRAMES, BatchSize: maxBatch,
	})
	switch {
	case errors.Is(err, unix.EINVAL):
		return fmt.Errorf("this kernel takes no live frames of %d bytes (before 5.18 it takes none): %w", l.longest, err)
	case err != nil:
		return fmt.Errorf("live frames of XDP: %w", err)
	}
	return nil
}

// begin allows any number of frames, from the first of the recording.
func (l *live) begin() error {
	return errors.Join(l.cursor.Put(uint32(0), make([]byte, cursorSize)), l.allow(math.MaxUint64))
}

// allow says how many frames may be sent in all since begin. It may be called while they are.
func (l *live) allow(frames uint64) error { return l.allowed.Put(uint32(0), frames) }

// sent returns how many were since begin, and when the first was, on CLOCK_MONOTONIC.
func (l *live) sent() (frames int64, first time.Duration, err error) {
	var cursor [cursorSize / 8]int64
	err = l.cursor.Lookup(uint32(0), &cursor)
	return cursor[cursorSent/8], time.Duration(cursor[cursorFirst/8]), err
}

func (l *live) close() error {
	return errors.Join(l.program.Close(), l.frames.Close(), l.allowed.Close(), l.cursor.Close())
}

// sendLive has the kernel send until the time is over, and a batch at least. What it takes the kernel to begin is not in the time that is told.
func (s *sending) sendLive(ctx context.Context, d time.Duration) (err error) {
	l := s.r.live
	if err := cmp.Or(stay(), l.begin()); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	var end time.Duration
	stopped := make(chan error, 1)
	context.AfterFunc(ctx, func() {
		var err error
		end, err = monotonic()
		stopped <- errors.Join(err, l.allow(maxBatch))
	})
	for err = l.run(perRun); err == nil && ctx.Err() == nil; {
		err = l.run(perRun)
	}
	cancel()
	if err = errors.Join(err, <-stopped); err != nil {
		return err
	}
	sent, first, err := l.sent()
	if err == nil && sent <= maxBatch { // which may have been after the end
		end, err = monotonic()
	}
	s.sent, s.elapsed = sent, end-first
	n := int64(s.r.recording.Len())
	s.passes = (s.sent + n - 1) / n
	s.bytes = s.sent / n * int64(s.r.recording.Bytes())
	for i := range s.sent % n {
		s.bytes += int64(len(s.r.recording.Frame(int(i))))
	}
	return err
}

// stay keeps this thread on the CPU on which it is. The kernel receives where it was sent from first, and on two CPUs it would be too slow for the sender.
func stay() error {
	var cpu uint32
	if _, _, errno := unix.RawSyscall(unix.SYS_GETCPU, uintptr(unsafe.Pointer(&cpu)), 0, 0); errno != 0 {
		return fmt.Errorf("getcpu: %w", errno)
	}
	var here unix.CPUSet
	here.Set(int(cpu))
	if err := unix.SchedSetaffinity(0, &here); err != nil {
		return fmt.Errorf("stay on CPU %d: %w", cpu, err)
	}
	return nil
}
