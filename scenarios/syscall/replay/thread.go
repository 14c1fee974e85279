// SPDX-License-Identifier: Apache-2.0

package replay

import (
	"errors"
	"fmt"
	"math"
	"runtime"
	"sync/atomic"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// A mark is what became of an op.
type mark struct {
	took   time.Duration // in the kernel, with the way there
	result int64
	fate   fate
}

type fate byte

const (
	notReached fate = iota
	replayed
	withheld // it would have waited longer than is allowed, or for memory that isn't there
)

// A table is a process's descriptors, from the recording's numbers to the replay's, and its memory.
type table struct {
	live    []atomic.Int32 // one more than the descriptor's number; 0: none
	private bool           // its descriptors have a table of their own in the kernel
	handOn  int            // the end of a socket pair over which its parent hands on descriptors; -1 for none
	threads atomic.Int32   // that have not ended
}

const maxFD = 1 << 16

func (t *table) get(recorded uint64) int {
	if recorded < uint64(len(t.live)) {
		return int(t.live[recorded].Load()) - 1
	}
	return -1
}

func (t *table) set(recorded int64, live int) {
	if recorded >= 0 && recorded < int64(len(t.live)) {
		t.live[recorded].Store(int32(live + 1))
	}
}

// A runner replays the calls of one thread. Only the thread that run locks calls its methods.
type runner struct {
	*pass
	schedule *schedule
	table    *table
	marks    []mark
	begin    chan struct{} // closed when the thread that makes it in the recording got there
	memory   memory
	pad      uintptr        // scratch memory
	scratch  unsafe.Pointer // the same
	data     uintptr        // memory to read into and write from
	dataSize uintptr
	walk     []byte // what thinking goes through
	walked   int
	hand     int    // the end of a socket pair over which the parent of this process hands on descriptors
	pair     [2]int // that pair, as the program has it
	children []*runner
	own      []int  // descriptors of the replay's own
	ended    uint32 // 1: all is replayed; others wait for that
	err      error
}

// Layout of the scratch memory: a piece for each argument, vectors, and a word to wait for with the time.
const (
	padPiece  = 16 << 10
	padVector = 6 * padPiece
	padWord   = padVector + 16<<10
	padTime   = padWord + 64
	padSize   = padTime + 64
	minData   = 256 << 10
)

// work replays on a thread that ends with it: it has a table of descriptors and a root of its own, which nobody else may inherit.
func (r *runner) work() {
	runtime.LockOSThread()
	if unix.Gettid() == unix.Getpid() { // the runtime never ends this one
		done := make(chan struct{})
		go func() {
			defer close(done)
			r.work()
		}()
		<-done
		runtime.UnlockOSThread()
		return
	}
	defer r.release()
	r.err = r.enter()
	if r.err == nil {
		r.err = r.prepare()
	}
	if r.err != nil {
		r.stop.Store(true)
	}
	r.ready.Done()
	<-r.start
	if r.err == nil && r.waitTurn() {
		r.err = r.receive()
		r.run()
	}
	atomic.StoreUint32(&r.ended, 1)
	unix.RawSyscall(unix.SYS_FUTEX, uintptr(unsafe.Pointer(&r.ended)), futexWake|futexPrivate, math.MaxInt32) //nolint:errcheck // it can't fail
}

// waitTurn waits until the thread begins in the recording. It says no if the replay ends before.
func (r *runner) waitTurn() bool {
	if !r.schedule.gated {
		return true
	}
	select {
	case <-r.begin:
		return true
	case <-r.stopped:
		return false
	}
}

// enter makes the thread one of the sandbox.
func (r *runner) enter() error {
	var all unix.Sigset_t
	for i := range all.Val {
		all.Val[i] = ^uint64(0)
	}
	if err := unix.PthreadSigmask(unix.SIG_SETMASK, &all, nil); err != nil { // otherwise the runtime's own would end calls early
		return fmt.Errorf("block signals: %w", err)
	}
	flags := unix.CLONE_FS
	if r.table.private {
		flags |= unix.CLONE_FILES
	}
	if r.peers != nil {
		if err := unix.Setns(r.peers.space, unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("enter the network namespace: %w", err)
		}
	}
	if err := unix.Unshare(flags); err != nil {
		return fmt.Errorf("unshare: %w", err)
	}
	if err := unix.Chroot(r.root); err != nil {
		return fmt.Errorf("chroot to %s: %w; a replay needs root", r.root, err)
	}
	if err := errors.Join(unix.Chdir("/"), unix.Chdir(r.schedule.process.home)); err != nil {
		return fmt.Errorf("chdir to the sandbox: %w", err)
	}
	unix.Umask(0o22)
	unix.Umask(0o22)
	return r.descriptors()
}

// prepare makes the thread's memory.
func (r *runner) prepare() error {
	r.dataSize = minData
	for i := range r.schedule.ops {
		r.dataSize = max(r.dataSize, pages(uintptr(r.schedule.ops[i].length)))
	}
	r.pad, r.data = mapAnonymous(padSize, unix.MAP_POPULATE), mapAnonymous(r.dataSize, unix.MAP_POPULATE)
	r.scratch = pointer(r.pad)
	if r.pad == 0 || r.data == 0 {
		return errors.New("no memory")
	}
	for i := range r.schedule.ops {
		r.bind(&r.schedule.ops[i])
	}
	return nil
}

func (r *runner) release() {
	if r.pad != 0 {
		unmap(r.pad, padSize)
	}
	if r.data != 0 {
		unmap(r.data, r.dataSize)
	}
	r.memory.clear()
	if !r.table.private {
		for _, fd := range r.own {
			closeFD(fd)
		}
	}
	if r.table.threads.Add(-1) == 0 && !r.table.private {
		r.closeAll()
	}
}

func (r *runner) closeAll() {
	for i := range r.table.live {
		if fd := r.table.get(uint64(i)); fd > 2 {
			unix.RawSyscall(unix.SYS_CLOSE, uintptr(fd), 0, 0) //nolint:errcheck // the kernel closes in any case
		}
	}
}

// bind sets the arguments that are this thread's memory.
func (r *runner) bind(o *op) {
	for i, a := range o.spec.arguments {
		switch a {
		case dataArg:
			o.args[i] = r.data
			o.args[i+1] = min(o.args[i+1], r.dataSize)
			if o.wait == forEvents {
				o.args[i+1] = min(o.args[i+1], r.dataSize/eventSize)
			}
		case scratch:
			o.args[i] = r.pad + uintptr(i)*padPiece
		case vectors:
			o.args[i] = r.pad + padVector
			o.args[i+1] = min(max(o.args[i+1], 1), maxVectors)
		case null:
			o.args[i] = 0
		}
	}
	if i, ok := sizes[o.call.Name]; ok {
		o.args[i] = min(o.args[i], padPiece/4)
	}
	switch o.spec.number {
	case unix.SYS_FUTEX:
		r.bindFutex(o)
	case unix.SYS_PSELECT6:
		o.args = [6]uintptr{4: r.pad + padTime}
	}
}

// sizes are the arguments that say how long a piece of scratch memory is, or of how many words.
var sizes = map[string]int{
	"getcwd": 1, "readlink": 2, "readlinkat": 3, "getxattr": 3, "lgetxattr": 3, "listxattr": 2, "llistxattr": 2, "flistxattr": 2,
	"sched_getaffinity": 1, "getgroups": 0, "poll": 1, "ppoll": 1,
}

func (r *runner) bindFutex(o *op) {
	word := r.pad + padWord
	switch {
	case o.wait == forTime:
		o.args = [6]uintptr{word, futexPrivate, 0, r.pad + padTime}
	case o.args[1]&^(futexPrivate|futexRealtime) == futexWake:
		o.args = [6]uintptr{word, futexWake | futexPrivate, o.args[2]}
	default: // a wait that found another value than it was told
		o.args = [6]uintptr{word, futexPrivate, 1}
	}
}

const (
	eventSize     = 12
	maxVectors    = 1024
	futexWait     = 0
	futexWake     = 1
	futexWaitBits = 9
	futexPrivate  = 128
	futexRealtime = 256
)
