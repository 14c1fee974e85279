// SPDX-License-Identifier: Apache-2.0

package replay

import (
	"slices"
	"sync/atomic"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/assaylab/assay/scenarios/syscall/trace"
)

// run makes the calls. It allocates nothing but for a fork, and reads the clock right before and after each.
func (r *runner) run() {
	for i := range r.schedule.ops {
		o := &r.schedule.ops[i]
		r.think(o.think)
		if r.stop.Load() {
			return
		}
		if o.only != noChore {
			r.chore(o)
			continue
		}
		r.one(o, &r.marks[i])
	}
}

// think spends the time between two calls, working, since a program that calls as often mostly works too.
func (r *runner) think(d time.Duration) {
	if r.speed == 0 || d <= 0 {
		return
	}
	d = time.Duration(float64(d) / r.speed)
	end := time.Since(r.epoch) + d
	for d > maxBusy && !r.stop.Load() {
		pause(min(d-maxBusy/2, slice))
		d = end - time.Since(r.epoch)
	}
	for time.Since(r.epoch) < end {
		r.touch()
	}
}

const (
	maxBusy = 20 * time.Millisecond // of thinking without sleep
	slice   = 50 * time.Millisecond // of waiting, between two looks at whether to stop
)

// touch reads and writes a few lines of memory, as programs do.
func (r *runner) touch() {
	for range 8 {
		r.walk[r.walked]++
		r.walked = (r.walked + 64) & (len(r.walk) - 1)
	}
}

// pause sleeps in the kernel, without the runtime.
func pause(d time.Duration) {
	t := unix.NsecToTimespec(d.Nanoseconds())
	unix.RawSyscall(unix.SYS_NANOSLEEP, uintptr(unsafe.Pointer(&t)), 0, 0) //nolint:errcheck // too short a sleep is seen by the caller
}

// one replays a call.
func (r *runner) one(o *op, m *mark) {
	if o.awaits != nil {
		r.awaitEnd(o, m)
		return
	}
	a := o.args
	number := o.spec.number
	if !r.arguments(o, &a, &number) {
		m.fate = withheld
		return
	}
	begin := time.Since(r.epoch)
	waited := time.Duration(0)
	if (o.wait == forInput || o.wait == forRoom) && !o.tries {
		if !r.await(o, int(a[0])) {
			m.fate = withheld
			return
		}
		if o.whole {
			r.gather(int(a[0]), o.call.Result)
		}
		waited = time.Since(r.epoch) - begin
	}
	r.speaks(o, true)
	r.call(m, number, &a)
	r.speaks(o, false)
	if o.tries && m.result == -int64(unix.EAGAIN) {
		if !r.await(o, int(a[0])) {
			m.fate = withheld
			return
		}
		waited = time.Since(r.epoch) - begin
		r.call(m, number, &a)
		r.speaks(o, false)
	}
	if o.blocks && waited > shortWait {
		m.took += waited
	}
	r.after(o, &a, m)
}

// awaitEnd waits until a process has ended here that the recording waited for, unless that is much later.
func (r *runner) awaitEnd(o *op, m *mark) {
	ended := &r.runners[o.awaits].ended
	begin := time.Since(r.epoch)
	for atomic.LoadUint32(ended) == 0 && !r.stop.Load() && time.Since(r.epoch)-begin < o.call.Duration+maxWait {
		unix.RawSyscall6(unix.SYS_FUTEX, uintptr(unsafe.Pointer(ended)), futexWait|futexPrivate, 0, uintptr(unsafe.Pointer(&sliceTime)), 0, 0) //nolint:errcheck // the word tells
	}
	m.took, m.result, m.fate = time.Since(r.epoch)-begin, o.call.Result, replayed
}

// speaks tells the peer when it is spoken to, and when that has ended.
func (r *runner) speaks(o *op, begins bool) {
	if o.talk == nil {
		return
	}
	now := int64(time.Since(r.epoch))
	if begins {
		now = -now
	}
	r.peers.sent[o.talk.index].Store(now)
}

// shortWait is less than a wait takes that really waits.
const shortWait = 4 * time.Microsecond

// call makes a call and notes how long it took.
func (r *runner) call(m *mark, number uintptr, a *[6]uintptr) {
	begin := time.Since(r.epoch)
	result, _, errno := unix.RawSyscall6(number, a[0], a[1], a[2], a[3], a[4], a[5])
	m.took = time.Since(r.epoch) - begin
	m.result = int64(result)
	if errno != 0 {
		m.result = -int64(errno)
	}
	m.fate = replayed
}

// await waits until a descriptor is ready, so that the call won't wait for one that never is. It says no after a limit.
func (r *runner) await(o *op, fd int) bool {
	events := int16(unix.POLLIN)
	if o.wait == forRoom {
		events = unix.POLLOUT
	}
	limit := maxWait
	for begin := time.Since(r.epoch); ; {
		p := unix.PollFd{Fd: int32(fd), Events: events}
		n, _, errno := unix.RawSyscall6(unix.SYS_PPOLL, uintptr(unsafe.Pointer(&p)), 1, uintptr(unsafe.Pointer(&sliceTime)), 0, 0, 0)
		if errno == 0 && n > 0 {
			return true
		}
		if r.stop.Load() || time.Since(r.epoch)-begin > limit {
			return false
		}
	}
}

// gather waits until so many bytes have come, but not longer than they may be late: more than a window of TCP doesn't come before
// some of it is read.
func (r *runner) gather(fd int, bytes int64) {
	var there int32
	for begin := time.Since(r.epoch); time.Since(r.epoch)-begin < lateness && !r.stop.Load(); pause(lateness / 200) {
		unix.RawSyscall(unix.SYS_IOCTL, uintptr(fd), unix.TIOCINQ, uintptr(unsafe.Pointer(&there))) //nolint:errcheck // of no socket, as the call will tell
		if int64(there) >= bytes {
			return
		}
	}
}

// maxWait is how long a call may wait for another thread.
const maxWait = time.Second

var sliceTime = unix.NsecToTimespec(slice.Nanoseconds())

// arguments fills in what only now is known. It says no if the call can't be made.
func (r *runner) arguments(o *op, a *[6]uintptr, number *uintptr) bool {
	for i, kind := range o.spec.arguments {
		switch kind {
		case fdArg:
			a[i] = uintptr(r.table.get(uint64(uint32(o.call.Args[i]))))
		case folderFD:
			if int32(o.call.Args[i]) != unix.AT_FDCWD {
				a[i] = uintptr(r.table.get(uint64(uint32(o.call.Args[i]))))
			} else {
				a[i] = here
			}
		case pathArg:
			a[i] = r.path(i, o.path)
		case path2Arg:
			a[i] = r.path(i, o.path2)
		case mapped:
			if !r.address(o, a) {
				return false
			}
		case vectors:
			r.vectors(o, int(a[i+1]))
		}
	}
	return r.details(o, a, number)
}

var here = func() uintptr { at := unix.AT_FDCWD; return uintptr(at) }()

// path writes a path where a call's argument may point to, as a program has mostly just done: a path that the processor's caches don't have
// takes longer to look up.
func (r *runner) path(argument int, name []byte) uintptr {
	at := uintptr(argument) * padPiece
	copy(unsafe.Slice((*byte)(unsafe.Add(r.scratch, at)), padPiece), name)
	return r.pad + at
}

// vectors divides a call's size among its vectors.
func (r *runner) vectors(o *op, n int) {
	left := min(uintptr(o.call.Size), r.dataSize)
	each := left/uintptr(n) + 1
	for i := range n {
		length := min(each, left)
		r.put(padVector+16*uintptr(i), uint64(r.data))
		r.put(padVector+16*uintptr(i)+8, uint64(length))
		left -= length
	}
}

// put writes a word to scratch memory.
func (r *runner) put(at uintptr, v uint64) { *(*uint64)(unsafe.Add(r.scratch, at)) = v }

func (r *runner) put32(at uintptr, v uint32) { *(*uint32)(unsafe.Add(r.scratch, at)) = v }

func (r *runner) get32(at uintptr) int32 { return *(*int32)(unsafe.Add(r.scratch, at)) }

// details fills scratch memory for the calls that read from it.
func (r *runner) details(o *op, a *[6]uintptr, number *uintptr) bool {
	c := o.call
	switch c.Name {
	case "fcntl":
		if o.spec.arguments[2] == scratch {
			r.lock(c)
		}
	case "ioctl":
		r.put32(2*padPiece, uint32(c.Args[2]))
	case "epoll_ctl":
		r.put32(3*padPiece, uint32(c.Args[3]))
		r.put(3*padPiece+4, c.Args[2])
	case "poll", "ppoll":
		r.put32(0, uint32(r.table.get(c.Args[0]&0xffffffff)))
		r.put32(4, uint32(c.Args[0]>>32)&0xffff)
	case "connect", "bind":
		a[2] = r.socketAddress(o, int(a[0]))
	case "sendmsg", "recvmsg":
		r.message(o)
	case "signalfd", "signalfd4":
		r.put(padPiece, 0)
	case "dup2", "dup3":
		return r.duplicateTo(o, a, number)
	case "setsockopt":
		r.put(3*padPiece, c.Args[3])
	case "getsockopt":
		r.put32(4*padPiece, 128)
	case "getsockname", "getpeername":
		r.put32(2*padPiece, 128)
	}
	if o.wait == forTime {
		t := unix.NsecToTimespec(max(c.Duration-r.overshoot, 0).Nanoseconds())
		*(*unix.Timespec)(unsafe.Add(r.scratch, uintptr(padTime))) = t
	}
	return true
}

// socketAddress writes a socket's address and returns its length. A connect that waited has a socket that waits, for a bounded time.
func (r *runner) socketAddress(o *op, fd int) uintptr {
	if o.address == nil {
		return r.localAddress(o.call.Path)
	}
	copy(unsafe.Slice((*byte)(unsafe.Add(r.scratch, uintptr(padPiece))), len(o.address)), o.address)
	if o.call.Name == "connect" && o.call.Result == 0 {
		unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_SNDTIMEO, &patience) //nolint:errcheck // of no socket, as the connect will tell
		block(fd, true)
	}
	return uintptr(len(o.address))
}

// block says whether calls on a descriptor wait.
func block(fd int, wait bool) {
	unix.SetNonblock(fd, !wait) //nolint:errcheck // of no descriptor, as the next call on it will tell
}

// message writes a struct msghdr with one vector of the call's size.
func (r *runner) message(o *op) {
	size := uint64(o.call.Size)
	if o.call.Name == "recvmsg" && o.call.Result > 0 {
		size = uint64(o.call.Result)
	}
	r.put(padVector, uint64(r.data))
	r.put(padVector+8, min(size, uint64(r.dataSize)))
	header := (*unix.Msghdr)(unsafe.Add(r.scratch, uintptr(padPiece)))
	*header = unix.Msghdr{Iov: (*unix.Iovec)(unsafe.Add(r.scratch, uintptr(padVector))), Iovlen: 1}
}

// localAddress writes a UNIX socket's address, which is a path in the sandbox, and returns its length. The abstract ones, which aren't
// files, are the whole machine's, so they are left empty.
func (r *runner) localAddress(name string) uintptr {
	address := (*unix.RawSockaddrUnix)(unsafe.Add(r.scratch, uintptr(padPiece)))
	*address = unix.RawSockaddrUnix{Family: unix.AF_UNIX}
	if len(name) >= len(address.Path) || len(name) == 0 || name[0] == '@' {
		return 2
	}
	for i := range len(name) {
		address.Path[i] = int8(name[i])
	}
	return uintptr(2 + len(name) + 1)
}

func (r *runner) lock(c *trace.Call) {
	lock := (*unix.Flock_t)(unsafe.Add(r.scratch, uintptr(2*padPiece)))
	*lock = unix.Flock_t{Type: int16(c.Args[2]), Start: int64(c.Args[3]), Len: int64(c.Args[4])}
}

// duplicateTo chooses the number for a dup2: the recording's in a table of our own, else any: the number may be the program's.
func (r *runner) duplicateTo(o *op, a *[6]uintptr, number *uintptr) bool {
	target := uint64(uint32(o.call.Args[1]))
	a[1] = uintptr(target)
	switch live := r.table.get(target); {
	case live >= 0:
		a[1] = uintptr(live)
	case !r.table.private || target >= reserved:
		*number = unix.SYS_DUP
	}
	if o.call.Name == "dup2" {
		a[2] = 0
	}
	return true
}

// reserved are descriptors of the replay's own.
const reserved = 800

// recorded is the address of the memory that a call is about, in the recording.
func (o *op) recorded() uintptr {
	if o.call.Name == "brk" {
		return uintptr(o.call.Result) // the new end, above which it gives back
	}
	return uintptr(o.call.Args[0])
}

// address finds where a recorded address is; memory that the recording didn't map is mapped now.
func (r *runner) address(o *op, a *[6]uintptr) bool {
	recorded, length := o.recorded(), pages(a[1])
	m := &r.memory
	if length == 0 || length > maxMapping {
		return o.call.Name != "mmap"
	}
	if o.call.Name == "mmap" {
		if m.total+length > 4*maxMapping {
			return false
		}
		a[3] &^= unix.MAP_LOCKED | unix.MAP_HUGETLB
		live, ok := m.find(recorded, length)
		if a[0] = live; !ok || a[3]&(unix.MAP_FIXED|unix.MAP_FIXED_NOREPLACE) == 0 {
			a[0] = 0
			a[3] &^= unix.MAP_FIXED | unix.MAP_FIXED_NOREPLACE
		}
		return true
	}
	live, ok := m.find(recorded, length)
	if !ok {
		if live = mapAnonymous(length, 0); live == 0 {
			return false
		}
		m.add(region{recorded, length, live})
	}
	a[0] = live
	if o.spec.result == movedMemory && m.total+pages(a[2]) > 4*maxMapping {
		return false
	}
	if o.used() {
		populate(live, min(length, uintptr(o.call.Duration/perPage)*uintptr(unix.Getpagesize())))
	}
	return true
}

// used tells calls whose time depends on how much of the memory that they are about has been used.
func (o *op) used() bool {
	switch o.call.Name {
	case "munmap", "mremap", "mprotect":
		return true
	case "madvise":
		return o.call.Args[2] == unix.MADV_DONTNEED || o.call.Args[2] == unix.MADV_FREE
	}
	return false
}

// perPage is about the least that the kernel needs for a used page, so that a call's recorded time bounds how many there were.
const perPage = 100 * time.Nanosecond

// after does what follows from a call: numbers and addresses that the next ones are about.
func (r *runner) after(o *op, a *[6]uintptr, m *mark) {
	if o.listener != nil && m.result >= 0 {
		r.peers.wanted[o.listener.index].Add(1)
	}
	if o.address != nil && o.call.Name == "connect" && o.call.Result == 0 {
		block(int(a[0]), false)
	}
	switch o.spec.result {
	case newFD:
		if m.result >= 0 {
			r.opened(o, int(m.result))
		}
	case endFD:
		r.table.set(int64(uint32(o.call.Args[0])), -1)
	case newPair:
		if m.result >= 0 {
			r.openedPair(o)
		}
	case newMemory:
		if m.result > 0 || m.result < -4095 {
			r.placed(o, a, uintptr(m.result))
		}
	case endMemory:
		if m.result == 0 {
			r.memory.remove(o.recorded(), pages(a[1]))
		}
	case movedMemory:
		if m.result > 0 || m.result < -4095 {
			r.memory.remove(o.recorded(), pages(a[1]))
			a[1], a[3] = a[2], 0
			r.placed(o, a, uintptr(m.result))
		}
	}
	if m.result >= 0 && o.wait != forTime {
		return
	}
	if o.wait == forTime && (m.result == -int64(unix.ETIMEDOUT) || m.result == -int64(unix.EAGAIN)) {
		m.result = o.call.Result
	}
}

// placed notes mapped memory; what can't be noted is unmapped.
func (r *runner) placed(o *op, a *[6]uintptr, live uintptr) {
	recorded := uintptr(o.call.Result)
	length := pages(a[1])
	if o.call.Name == "brk" {
		recorded -= length
	}
	if o.call.Result < 0 && o.call.Result >= -4095 || recorded+length < recorded {
		unmap(live, length)
		return
	}
	if a[3]&unix.MAP_FIXED == 0 { // what is at its recorded address has lost its name
		for _, piece := range r.memory.remove(recorded, length) {
			unmap(piece.live, piece.length)
		}
	}
	r.memory.add(region{recorded, length, live})
	if o.call.Name == "brk" {
		populate(live, length)
	}
}

func (r *runner) opened(o *op, live int) {
	if o.call.Result < 0 || o.call.Result >= int64(len(r.table.live)) {
		if o.spec.number != unix.SYS_DUP3 {
			closeFD(live)
		}
		return
	}
	if old := r.table.get(uint64(o.call.Result)); old >= 0 && old != live {
		closeFD(old)
	}
	r.table.set(o.call.Result, live)
}

func (r *runner) openedPair(o *op) {
	i := slices.Index(o.spec.arguments[:], scratch)
	at := uintptr(i) * padPiece
	first, second := r.get32(at), r.get32(at+4)
	if o.call.Result < 0 {
		closeFD(int(first))
		closeFD(int(second))
		return
	}
	both := o.call.Args[i]
	r.table.set(int64(uint32(both)), int(first))
	r.table.set(int64(both>>32), int(second))
}

func closeFD(fd int) {
	unix.RawSyscall(unix.SYS_CLOSE, uintptr(fd), 0, 0) //nolint:errcheck // the kernel closes in any case
}
