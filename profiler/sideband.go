// SPDX-License-Identifier: Apache-2.0

package profiler

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The side band is what the kernel tells of address spaces: fork, exec, mmap and exit, as records of a dummy event on each CPU
// (layouts: uapi/linux/perf_event.h). Each carries its time by CLOCK_MONOTONIC.
type sideband struct {
	rings   map[int]*sideRing
	buildID bool
	pending []spaceEvent
	lost    uint64 // records that the kernel had no room for
	bad     uint64 // records that we could not read
}

type sideRing struct {
	fd   int
	mem  []byte
	meta *unix.PerfEventMmapPage
	data []byte
}

// sideRingPages is the size of a ring: 128 pages of 4 KB, the most that the kernel gives to everyone, take some 5,000 records.
const sideRingPages = 128

const (
	perfBitBuildID        = 1 << 34 // since 5.12
	miscBuildID           = 1 << 14
	miscCommExec          = 1 << 13
	recordHeader          = 8
	timeBytes             = 8
	recLost        uint32 = 2
	recComm        uint32 = 3
	recExit        uint32 = 4
	recFork        uint32 = 7
	recMmap2       uint32 = 10
)

// spaceEvent is one record. A process can move between CPUs, so records of all rings are brought into the order of time
// before they are told: a fork must come before the exec that followed on another CPU.
type spaceEvent struct {
	at   uint64
	pid  int
	tell func(spaceEvents)
}

// spaceEvents takes what the side band tells. Times are CLOCK_MONOTONIC nanoseconds.
type spaceEvents interface {
	mapped(pid int, at uint64, m mapping)
	execed(pid int, at uint64)
	forked(pid, parent int, at uint64)
	spawned(pid int) // a thread
	exited(pid, tid int, at uint64)
}

// newSideband opens a ring on each of the CPUs, which are online.
func newSideband(cpus []int) (*sideband, error) {
	s := &sideband{rings: map[int]*sideRing{}, buildID: true}
	if _, err := s.follow(cpus); err != nil {
		return nil, errors.Join(err, s.close())
	}
	return s, nil
}

func (s *sideband) attr() *unix.PerfEventAttr {
	bits := uint64(unix.PerfBitMmap | unix.PerfBitMmap2 | unix.PerfBitComm | unix.PerfBitCommExec | unix.PerfBitTask |
		unix.PerfBitSampleIDAll | unix.PerfBitUseClockID | unix.PerfBitWatermark)
	if s.buildID {
		bits |= perfBitBuildID
	}
	return &unix.PerfEventAttr{
		Type: unix.PERF_TYPE_SOFTWARE, Config: unix.PERF_COUNT_SW_DUMMY, Size: unix.PERF_ATTR_SIZE_VER5,
		Sample_type: unix.PERF_SAMPLE_TIME, Bits: bits, Clockid: unix.CLOCK_MONOTONIC,
		Wakeup: uint32(sideRingPages * unix.Getpagesize() / 4), // bytes: in quiet times the rings are looked at once a second
	}
}

// follow opens rings for CPUs that came online, whose files it returns, and closes those of CPUs that went, whose events have ended
// with them.
func (s *sideband) follow(online []int) (came []int, err error) {
	for cpu, r := range s.rings {
		if slices.Contains(online, cpu) {
			continue
		}
		s.collect(r)
		delete(s.rings, cpu)
		if err := r.close(); err != nil {
			return came, fmt.Errorf("side-band ring of CPU %d: %w", cpu, err)
		}
	}
	for _, cpu := range online {
		if _, ok := s.rings[cpu]; ok {
			continue
		}
		r, err := s.open(cpu)
		if errors.Is(err, unix.ENODEV) {
			continue
		} else if err != nil {
			return came, plainPerfError(err)
		}
		s.rings[cpu] = r
		came = append(came, r.fd)
	}
	return came, nil
}

func (s *sideband) open(cpu int) (*sideRing, error) {
	fd, err := unix.PerfEventOpen(s.attr(), -1, cpu, -1, unix.PERF_FLAG_FD_CLOEXEC)
	if errors.Is(err, unix.EINVAL) && s.buildID {
		s.buildID = false
		return s.open(cpu)
	}
	if err != nil {
		return nil, fmt.Errorf("side-band event on CPU %d: %w", cpu, err)
	}
	mem, err := unix.Mmap(fd, 0, (1+sideRingPages)*unix.Getpagesize(), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("side-band ring of CPU %d (see kernel.perf_event_mlock_kb): %w", cpu, err), unix.Close(fd))
	}
	return &sideRing{fd: fd, mem: mem, meta: (*unix.PerfEventMmapPage)(unsafe.Pointer(&mem[0])), data: mem[unix.Getpagesize():]}, nil
}

// fds are to be polled: they are readable when a quarter of a ring is full.
func (s *sideband) fds() []int {
	var fds []int
	for _, r := range s.rings {
		fds = append(fds, r.fd)
	}
	return fds
}

// read hands all waiting records to h and returns which processes they tell of.
func (s *sideband) read(h spaceEvents) map[int]bool {
	pids := map[int]bool{}
	for _, r := range s.rings {
		s.collect(r)
	}
	slices.SortStableFunc(s.pending, func(a, b spaceEvent) int { return cmp.Compare(a.at, b.at) })
	for _, e := range s.pending {
		e.tell(h)
		pids[e.pid] = true
	}
	clear(s.pending)
	s.pending = s.pending[:0]
	return pids
}

// collect takes the waiting records out of a ring.
func (s *sideband) collect(r *sideRing) {
	var record []byte
	head := atomic.LoadUint64(&r.meta.Data_head)
	tail := r.meta.Data_tail
	for tail < head {
		record = r.copy(record[:0], tail, recordHeader)
		size := int(binary.NativeEndian.Uint16(record[6:]))
		if size < recordHeader || uint64(size) > head-tail {
			s.bad++
			tail = head
			break
		}
		record = r.copy(record[:0], tail, size)
		s.handle(record)
		tail += uint64(size)
	}
	atomic.StoreUint64(&r.meta.Data_tail, tail)
}

// copy appends n bytes of the ring from position at to b.
func (r *sideRing) copy(b []byte, at uint64, n int) []byte {
	size := len(r.data)
	from := int(at % uint64(size))
	if from+n <= size {
		return append(b, r.data[from:from+n]...)
	}
	b = append(b, r.data[from:]...)
	return append(b, r.data[:n-(size-from)]...)
}

// handle reads one record: u32 type, u16 misc, u16 size, body, u64 time.
func (s *sideband) handle(b []byte) {
	typ, misc := binary.NativeEndian.Uint32(b), binary.NativeEndian.Uint16(b[4:])
	body := b[recordHeader:]
	if len(body) < timeBytes+8 {
		s.bad++
		return
	}
	at := binary.NativeEndian.Uint64(body[len(body)-timeBytes:])
	body = body[:len(body)-timeBytes]
	pid := int(int32(binary.NativeEndian.Uint32(body)))
	tell := func(f func(spaceEvents)) { s.pending = append(s.pending, spaceEvent{at, pid, f}) }
	switch {
	case typ == recLost && len(body) >= 16:
		s.lost += binary.NativeEndian.Uint64(body[8:])
	case pid <= 0: // not of our PID namespace
	case typ == recComm && misc&miscCommExec != 0:
		tell(func(h spaceEvents) { h.execed(pid, at) })
	case typ == recFork && len(body) >= 16:
		// pid, ppid, tid, ptid: a new thread of the same process has pid == ppid
		if parent := int(int32(binary.NativeEndian.Uint32(body[4:]))); parent != pid {
			tell(func(h spaceEvents) { h.forked(pid, parent, at) })
		} else {
			tell(func(h spaceEvents) { h.spawned(pid) })
		}
	case typ == recExit && len(body) >= 16:
		tid := int(int32(binary.NativeEndian.Uint32(body[8:])))
		tell(func(h spaceEvents) { h.exited(pid, tid, at) })
	case typ == recMmap2:
		if m, ok := parseMmap2(body, misc); ok {
			tell(func(h spaceEvents) { h.mapped(pid, at, m) })
		} else {
			s.bad++
		}
	}
}

// parseMmap2 reads pid, tid, addr, len, pgoff, {maj, min, ino, generation | build ID}, prot, flags, file name.
func parseMmap2(b []byte, misc uint16) (mapping, bool) {
	const fixed = 64
	if len(b) < fixed {
		return mapping{}, false
	}
	u64 := func(off int) uint64 { return binary.NativeEndian.Uint64(b[off:]) }
	m := mapping{start: u64(8), end: u64(8) + u64(16), off: u64(24), path: cString(b[fixed:])}
	if misc&miscBuildID != 0 {
		if n := int(b[32]); n <= 20 {
			m.buildID = hex.EncodeToString(b[36 : 36+n])
		}
	} else {
		m.inode = u64(40)
	}
	return m, m.end > m.start
}

func cString(b []byte) string {
	if i := bytes.IndexByte(b, 0); i >= 0 {
		b = b[:i]
	}
	return string(b)
}

func (s *sideband) close() error {
	var errs []error
	for _, r := range s.rings {
		errs = append(errs, r.close())
	}
	s.rings = nil
	return errors.Join(errs...)
}

func (r *sideRing) close() error { return errors.Join(unix.Munmap(r.mem), unix.Close(r.fd)) }
