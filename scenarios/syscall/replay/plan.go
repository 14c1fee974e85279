// SPDX-License-Identifier: Apache-2.0

package replay

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/assaylab/assay/scenarios/syscall/trace"
)

// An op is a call made ready for a thread.
type op struct {
	call     *trace.Call
	spec     spec
	args     [6]uintptr // of scalars
	path     []byte     // ends in 0; nil for none
	path2    []byte
	class    trace.FDClass // of the first descriptor, as the plan knows it
	wait     waiting
	think    time.Duration // between the thread's call before and this
	stands   bool          // for one that can't be replayed
	only     chore         // not a call, but something to do in its place
	child    *process      // that a fork began, or whose thread it was
	begins   *schedule
	awaits   *schedule // whose end it waits for
	closing  []int32   // descriptors that an execve closed
	length   int64     // of memory that it may need
	address  []byte    // of the Internet, for bind and connect
	blocks   bool      // a wait is part of it
	tries    bool      // it's made before a wait, since it may not have to
	whole    bool      // it waits until all is there that it received in the recording
	listener *listener
	talk     *talk // that it sends to, or begins
}

// A waiting is what a call may have to wait for.
type waiting byte

const (
	noWait    waiting = iota
	forInput          // of its first descriptor
	forRoom           // in it
	forTime           // as long as in the recording
	forEvents         // it waits itself, and has a timeout
)

// A chore is something that happens where the recording has a call that isn't replayed.
type chore byte

const (
	noChore chore = iota
	fork
	execute
)

// A process is a table of descriptors, working folder and memory that threads share.
type process struct {
	id        int32
	threads   int
	home      string          // its working folder in the beginning
	folder    string          // the same, as the plan follows it
	fds       map[int32]*open // the same
	inherited map[int32]*open // that it had when the recording began
	heap      uint64          // where the last brk left its end
	parent    *process        // of which the recording has the fork
}

// An open is an open file description, as the plan follows it.
type open struct {
	class    trace.FDClass
	path     string // "" if it has none
	offset   int64
	listed   int64 // bytes of entries since the beginning
	append   bool
	cloexec  bool // of the descriptor; each descriptor has an open of its own for it
	blocks   bool // without O_NONBLOCK
	file     *open
	talk     *talk // with who is at the other end
	listener *listener
	bound    netip.AddrPort
	guessed  bool // of what it is only that it can be watched is known
}

// shared is the description itself, which duplicates share.
func (o *open) shared() *open {
	if o.file != nil {
		return o.file
	}
	return o
}

// A schedule is the calls of one thread.
type schedule struct {
	id      int32
	process *process
	ops     []op
	gated   bool // it begins where a thread of the recording made it
	forked  bool // and is the first of its process
	end     time.Duration
	woke    time.Duration // when it last came out of a wait for events, as the plan follows it; 0: it had not to wait
}

// A plan is a recording made ready to be replayed.
type plan struct {
	recording *trace.Recording
	threads   []*schedule
	byThread  map[int32]*schedule
	processes map[int32]*process
	world     *world
	left      map[string]int64 // calls left out, by name
	unended   int64            // calls that had not ended
	paths     map[string][]byte
	network   network
}

// homeFolder is where a recording works that doesn't say where it did; deep enough for some "..".
const homeFolder = "/home/of/recording"

func newPlan(r *trace.Recording) *plan {
	p := &plan{
		recording: r, byThread: map[int32]*schedule{}, processes: map[int32]*process{}, world: newWorld(),
		left: map[string]int64{}, paths: map[string][]byte{},
	}
	for i := range r.Calls {
		p.add(&r.Calls[i])
	}
	for _, s := range p.threads {
		s.process.threads++
	}
	p.world.folders()
	p.network.settle()
	return p
}

func (p *plan) process(id int32) *process {
	if known := p.processes[id]; known != nil {
		return known
	}
	folder := p.recording.Header.Folder
	if !strings.HasPrefix(folder, "/") {
		folder = homeFolder
	}
	p.world.need(absolute("/", folder), directory)
	made := &process{id: id, home: absolute("/", folder), folder: absolute("/", folder), fds: map[int32]*open{}, inherited: map[int32]*open{}}
	p.processes[id] = made
	return made
}

func (p *plan) thread(c *trace.Call) *schedule {
	if known := p.byThread[c.Thread]; known != nil {
		return known
	}
	s := &schedule{id: c.Thread, process: p.process(c.Process), end: c.Start}
	p.byThread[c.Thread] = s
	p.threads = append(p.threads, s)
	return s
}

// add makes a call ready, and follows what it changes.
func (p *plan) add(c *trace.Call) {
	s := p.thread(c)
	if c.Duration == trace.Unfinished {
		if !ends(c.Name) {
			p.unended++
		}
		p.left[c.Name]++
		return
	}
	o := op{call: c, think: max(c.Start-s.end, 0)}
	found, known := specs[c.Name]
	if !known {
		found, known = substitutes[c.Name]
		o.stands = true
	}
	o.spec = found
	for i, a := range c.Args {
		o.args[i] = uintptr(a)
	}
	if known {
		known = p.ready(s.process, &o)
	}
	p.follow(s, &o)
	if !known {
		p.left[c.Name]++
	}
	if known || o.only != noChore {
		s.ops = append(s.ops, o)
		s.end = c.Start + c.Duration
	}
}

// ends tells calls that never return.
func ends(name string) bool { return name == "exit" || name == "exit_group" || name == "rt_sigreturn" }

// ready fills in what is particular to some calls. It says no for those that have to be left out.
func (p *plan) ready(proc *process, o *op) bool {
	c := o.call
	if o.spec.arguments[0] == fdArg && !p.described(proc, o) {
		return false
	}
	if strings.ContainsRune(c.Path, 0) || strings.ContainsRune(c.Path2, 0) {
		return false
	}
	o.path, o.path2 = p.zeroEnded(c.Path), p.zeroEnded(c.Path2)
	for i := range 5 {
		if o.spec.arguments[i] == dataArg || o.spec.arguments[i] == vectors {
			o.length = max(o.length, int64(min(c.Args[i+1], maxData)), min(c.Size, maxData))
		}
	}
	if c.Name == "brk" {
		o.brk(proc)
	}
	return o.particular()
}

// described fills in what the first descriptor tells. It says no if it leads to nobody.
func (p *plan) described(proc *process, o *op) bool {
	c := o.call
	d := p.descriptor(proc, int32(c.Args[0]), c)
	if d == nil {
		return true
	}
	d = d.shared()
	o.class = d.class
	o.wait = waits(c, d.class)
	o.blocks = d.blocks
	if c.Name == "bind" || c.Name == "connect" {
		o.address = socketAddress(d.class, c.Path)
	}
	return o.reaches(d)
}

func isInternet(c trace.FDClass) bool {
	switch c {
	case trace.InetStream, trace.InetDatagram, trace.Inet6Stream, trace.Inet6Datagram, trace.Netlink, trace.OtherSocket:
		return true
	}
	return false
}

// brk has a mapping stand for what a heap grows by, and its end for a heap that shrinks: the real one is the replaying program's.
func (o *op) brk(proc *process) {
	before, end := proc.heap, uint64(o.call.Result)
	proc.heap = end
	switch {
	case before == 0 || end == before:
	case end > before && end-before <= maxMapping:
		o.spec = line(unix.SYS_MMAP, "n - - - -", newMemory)
		o.args = [6]uintptr{0, uintptr(end - before), unix.PROT_READ | unix.PROT_WRITE, unix.MAP_PRIVATE | unix.MAP_ANONYMOUS, ^uintptr(0)}
	case end < before && before-end <= maxMapping:
		o.spec = line(unix.SYS_MUNMAP, "a", endMemory)
		o.args = [6]uintptr{0, uintptr(before - end)}
	}
}

// particular does what single calls need.
func (o *op) particular() bool {
	c := o.call
	switch c.Name {
	case "fcntl":
		o.fcntl()
	case "ioctl":
		o.ioctl()
	case "flock":
		o.args[1] |= unix.LOCK_NB
	case "openat", "open":
		const flags = unix.O_NONBLOCK // so that a FIFO can't hold it
		i := 1
		if c.Name == "openat" {
			i = 2
		}
		if c.FD == trace.Pipe {
			o.args[i] |= flags
		}
	case "fallocate":
		return o.args[2] <= maxContent && o.args[3] <= maxContent
	case "copy_file_range":
		o.args[4] = min(o.args[4], maxContent)
	case "sendfile":
		o.args[3] = min(o.args[3], maxContent)
	case "mremap":
		o.args[3] = unix.MREMAP_MAYMOVE // to where there's room
		return c.Args[1] > 0 && c.Args[1] <= maxMapping && c.Args[2] > 0 && c.Args[2] <= maxMapping
	case "mmap":
		return c.Args[1] > 0 && c.Args[1] <= maxMapping
	case "eventfd", "inotify_init":
		o.args[1] = 0
	case "socket":
		o.args[1] |= unix.SOCK_NONBLOCK
		return c.Args[0] == unix.AF_UNIX || c.Args[0] == unix.AF_INET || c.Args[0] == unix.AF_INET6
	case "socketpair":
		o.args[1] |= unix.SOCK_NONBLOCK
	case "pipe", "pipe2":
		o.args[1] |= unix.O_NONBLOCK
	case "accept4":
		o.args[3] |= unix.SOCK_NONBLOCK
	case "accept":
		o.spec.number, o.args[3] = unix.SYS_ACCEPT4, unix.SOCK_NONBLOCK
	case "nanosleep", "clock_nanosleep", "wait4", "waitid", "rt_sigsuspend", "rt_sigtimedwait", "pause":
		o.wait = forTime
	case "select", "pselect6": // without descriptors it's a sleep, which is made as it was
		o.wait = forTime
		o.stands = c.Args[0] != 0
	case "signalfd", "signalfd4":
		o.signalfd()
	case "futex":
		o.futex()
	case "epoll_wait", "epoll_pwait":
		o.wait = forEvents
		o.args[3] = o.timeout()
	case "poll":
		o.wait = forEvents
		o.args[1], o.args[2] = 1, o.timeout()
	case "ppoll":
		o.wait = forEvents
		o.args[1] = 1
	}
	return true
}

// fcntl lets through what asks and what changes only the descriptor, and makes locks not wait.
func (o *op) fcntl() {
	switch o.call.Args[1] {
	case unix.F_DUPFD, unix.F_DUPFD_CLOEXEC:
		o.spec.result = newFD
	case unix.F_SETLK, unix.F_SETLKW, unix.F_GETLK:
		if o.call.Args[1] == unix.F_SETLKW {
			o.args[1], o.stands = unix.F_SETLK, true
		}
		o.spec.arguments[2] = scratch
	case unix.F_SETFL:
		if o.wait != noWait || o.class != trace.Regular && o.class != trace.Directory {
			o.args[2] |= unix.O_NONBLOCK
		}
	case unix.F_GETFD, unix.F_SETFD, unix.F_GETFL:
	default:
		o.args[1], o.stands = unix.F_GETFL, true
	}
}

// timeout is how long a call waits for events that may not come: in milliseconds, as long as in the recording, but not for ever. Events
// that came in the recording may come somewhat later.
func (o *op) timeout() uintptr {
	limit := min(o.call.Duration, maxWait).Milliseconds()
	if o.call.Result > 0 {
		limit += 1 + lateness.Milliseconds()
	}
	return uintptr(limit)
}

// lateness is how much later than in the recording an event may come.
const lateness = 10 * time.Millisecond

// signalfd makes a descriptor of no signals, and which doesn't wait, since those that come are the program's.
func (o *op) signalfd() {
	o.args[3] |= unix.O_NONBLOCK
	if int32(o.call.Args[0]) != -1 { // one that there is gets others
		o.spec.arguments[0], o.spec.result = fdArg, plain
	}
}

const (
	fionbio  = 0x5421
	fioclex  = 0x5451
	fionclex = 0x5450
)

// ioctl lets through what asks; another stands for a terminal's questions.
func (o *op) ioctl() {
	switch o.call.Args[1] {
	case unix.TCGETS, unix.TIOCGWINSZ, unix.TIOCINQ, unix.TIOCGPGRP, fionbio, fioclex, fionclex:
	default:
		o.args[1], o.stands = unix.TCGETS, true
	}
}

// futex makes a wait one of a word of our own, as long as in the recording, and a wake one of a word that nobody waits for.
func (o *op) futex() {
	switch o.call.Args[1] &^ (futexPrivate | futexRealtime) {
	case futexWait, futexWaitBits:
		o.wait = forTime
		if o.call.Result == -int64(unix.EAGAIN) {
			o.wait = noWait
		}
	default:
		o.args = [6]uintptr{0, futexWake | futexPrivate, 1}
	}
}

const (
	maxData    = 16 << 20
	maxMapping = 1 << 30
)

func (p *plan) zeroEnded(name string) []byte {
	b := p.paths[name]
	if b == nil {
		b = append([]byte(name), 0)
		p.paths[name] = b
	}
	return b
}

// waits tells what a call on a descriptor of a class may wait for.
func waits(c *trace.Call, class trace.FDClass) waiting {
	switch class {
	case trace.NoFD, trace.Regular, trace.Directory, trace.Device, trace.TTY, trace.OtherFD, trace.Epoll, trace.SignalFD:
		return noWait
	}
	switch {
	case c.Result == -int64(unix.EAGAIN):
		return noWait
	case slices.Contains([]string{"read", "readv", "recvfrom", "recvmsg", "accept", "accept4"}, c.Name):
		return forInput
	case slices.Contains([]string{"write", "writev", "sendto", "sendmsg"}, c.Name):
		return forRoom
	}
	return noWait
}

// descriptor finds what a recorded descriptor stands for. One that was never opened was there before the recording.
func (p *plan) descriptor(proc *process, fd int32, c *trace.Call) *open {
	if known := proc.fds[fd]; known != nil && !(known.guessed && c.FD != trace.NoFD) {
		return known
	}
	if fd < 0 || c.Result == -int64(unix.EBADF) {
		return nil
	}
	o := &open{class: c.FD, blocks: true}
	switch o.class {
	case trace.Regular:
		o.path = fmt.Sprintf("/inherited/%d-%d", proc.id, fd)
		p.world.need(o.path, regular)
	case trace.NoFD, trace.TTY:
		o.class = trace.Device
	case trace.Directory:
		o.path = "/"
	case trace.InetStream, trace.Inet6Stream:
		p.network.inherited(o)
	}
	proc.inherit(fd, o)
	return o
}

// watched notes that a descriptor can be watched by epoll. One that was never opened is taken for an event's until a call tells.
func (p *plan) watched(proc *process, fd int32) {
	if proc.fds[fd] == nil && fd >= 0 {
		proc.inherit(fd, &open{class: trace.EventFD, blocks: true, guessed: true})
	}
}

// inherit notes a descriptor that was there before the recording: the first of the processes from which this comes had it then.
func (proc *process) inherit(fd int32, o *open) {
	proc.fds[fd] = o
	for proc.parent != nil {
		proc = proc.parent
		if known := proc.fds[fd]; known != nil && !known.guessed {
			return // it's another by now
		}
		proc.fds[fd] = &open{class: o.class, file: o, guessed: o.guessed}
	}
	proc.inherited[fd] = o
}
