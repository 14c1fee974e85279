// SPDX-License-Identifier: Apache-2.0

package replay

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"sync"
	"sync/atomic"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/assaylab/assay/scenarios"
	"github.com/assaylab/assay/scenarios/syscall/trace"
)

// Options say how a recording is replayed.
type Options struct {
	Folder string  // in which the sandbox is made; it should be on a file system like the recording's
	Speed  float64 // of the time between calls: 1 as recorded, 2 half of it, 0 none
}

// A Replay is a recording that can be replayed again and again. Its methods are called by one goroutine at a time.
type Replay struct {
	plan    *plan
	options Options
	sandbox string // what Prepare made
	passes  int
}

// MaxThreads is how many threads a recording may have.
const MaxThreads = 512

// New makes a recording ready. It touches nothing.
func New(r *trace.Recording, o Options) (*Replay, error) {
	if arch := r.Header.Arch; arch != runtime.GOARCH {
		return nil, fmt.Errorf("recorded on %s, which has other calls and flags: replay it on such a machine, not on %s", arch, runtime.GOARCH)
	}
	p := newPlan(r)
	if n := len(p.threads); n > MaxThreads {
		return nil, fmt.Errorf("recording of %d threads: want up to %d", n, MaxThreads)
	}
	if err := errors.Join(p.world.checkSize(), p.network.checkSize()); err != nil {
		return nil, err
	}
	return &Replay{plan: p, options: o}, nil
}

// Prepare makes the folder of the sandbox.
func (r *Replay) Prepare(context.Context) error {
	sandbox, err := os.MkdirTemp(r.options.Folder, "assay-replay-")
	r.sandbox = sandbox
	return err
}

// Close removes it.
func (r *Replay) Close() error {
	if r.sandbox == "" {
		return nil
	}
	err := os.RemoveAll(r.sandbox)
	if err == nil {
		r.sandbox = ""
	}
	return err
}

// A pass is one replay, from a fresh sandbox.
type pass struct {
	root, null string
	speed      float64
	epoch      time.Time
	overshoot  time.Duration // of a timed wait
	runners    map[*schedule]*runner
	ready      sync.WaitGroup
	start      chan struct{}
	peers      *peers
	stop       atomic.Bool
	stopped    chan struct{} // closed when stop is set
}

// Run replays the recording once and says how that compares. It ends early if the context is done, or if the replay takes much longer than
// the recording did, and says so.
func (r *Replay) Run(ctx context.Context) (*Fidelity, error) {
	r.passes++
	root := filepath.Join(r.sandbox, fmt.Sprint(r.passes))
	if err := r.plan.world.build(ctx, root); err != nil {
		return nil, err
	}
	if err := settle(root); err != nil {
		return nil, err
	}
	p := &pass{
		root: root, null: "/.null", speed: r.options.Speed, epoch: time.Now(), runners: map[*schedule]*runner{},
		start: make(chan struct{}), stopped: make(chan struct{}),
	}
	if err := makeDevice(filepath.Join(root, p.null), "/dev/null"); err != nil {
		return nil, fmt.Errorf("make a device in the sandbox: %w; a replay needs root", err)
	}
	all, err := r.runners(p)
	if err != nil {
		return nil, err
	}
	if p.peers, err = startPeers(&r.plan.network, p); err != nil {
		return nil, err
	}
	elapsed, cut, err := r.pass(ctx, p, all)
	if err = errors.Join(err, p.peers.close()); err != nil {
		return nil, err
	}
	f := r.plan.compare(all, elapsed, p.measureEmpty(), cut)
	return f, os.RemoveAll(root)
}

// settle writes out what the sandbox has been made with, so that the replay's own syncs have not to.
func settle(root string) error {
	fd, err := unix.Open(root, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	return errors.Join(unix.Syncfs(fd), unix.Close(fd))
}

// runners makes a runner for each thread. Processes of one thread have their own table of descriptors.
func (r *Replay) runners(p *pass) ([]*runner, error) {
	tables := map[*process]*table{}
	var all []*runner
	for _, s := range r.plan.threads {
		t := tables[s.process]
		if t == nil {
			t = &table{live: make([]atomic.Int32, maxFD), private: s.process.threads == 1, handOn: -1}
			tables[s.process] = t
		}
		t.threads.Add(1)
		one := &runner{
			pass: p, schedule: s, table: t, marks: make([]mark, len(s.ops)), begin: make(chan struct{}), hand: -1,
			walk: make([]byte, walkSize),
		}
		p.runners[s] = one
		all = append(all, one)
	}
	for _, parent := range all {
		for i := range parent.schedule.ops {
			o := &parent.schedule.ops[i]
			if o.only != fork || !o.begins.forked {
				continue
			}
			pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
			if err != nil {
				return nil, err
			}
			child := p.runners[o.begins]
			child.hand, child.table.handOn = pair[0], pair[1]
			child.pair = pair
			parent.children = append(parent.children, child)
		}
	}
	return all, nil
}

// walkSize is the memory that thinking goes through; a power of two.
const walkSize = 1 << 18

// pass lets all threads replay, and a watchdog end them.
func (r *Replay) pass(ctx context.Context, p *pass, all []*runner) (elapsed time.Duration, cut bool, err error) {
	defer scenarios.UseThreads(2*len(all) + runtime.NumCPU())() // threads in a raw call keep their processor
	runtime.GC()
	defer debug.SetGCPercent(debug.SetGCPercent(-1)) // it would stop threads, and wait for those in a call
	p.overshoot = p.measureOvershoot()
	var once sync.Once
	end := func() { once.Do(func() { p.stop.Store(true); close(p.stopped) }) }
	defer context.AfterFunc(ctx, end)()
	p.ready.Add(len(all))
	var ended sync.WaitGroup
	for _, one := range all {
		ended.Go(one.work)
	}
	p.ready.Wait()
	for _, one := range all {
		if one.pair[1] > 0 {
			err = errors.Join(err, unix.Close(one.pair[0]), unix.Close(one.pair[1]))
		}
	}
	if p.stop.Load() {
		end()
	}
	begin := time.Now()
	watchdog := time.AfterFunc(r.limit(), func() { cut = true; end() })
	close(p.start)
	ended.Wait()
	if watchdog.Stop() {
		cut = false
	}
	for _, one := range all {
		if one.err != nil {
			err = errors.Join(err, fmt.Errorf("thread %d of the recording: %w", one.schedule.id, one.err))
		}
	}
	return time.Since(begin), cut, err
}

// limit is how long a pass may take.
func (r *Replay) limit() time.Duration {
	span := r.plan.span()
	if r.options.Speed > 0 && r.options.Speed < 1 {
		span = time.Duration(float64(span) / r.options.Speed)
	}
	return 2*span + 10*time.Second
}

// measureOvershoot says how much longer a timed wait takes than it was to.
func (p *pass) measureOvershoot() time.Duration {
	const n, wait = 21, 200 * time.Microsecond
	var word uint32
	var took [n]time.Duration
	t := unix.NsecToTimespec(wait.Nanoseconds())
	for i := range took {
		begin := time.Now()
		unix.RawSyscall6(unix.SYS_FUTEX, uintptr(unsafe.Pointer(&word)), futexPrivate, 0, uintptr(unsafe.Pointer(&t)), 0, 0) //nolint:errcheck // it times out
		took[i] = time.Since(begin) - wait
	}
	slices.Sort(took[:])
	return max(took[n/2], 0)
}

// measureEmpty says how long the replay's own way says that a call takes which does next to nothing: the tenth part of calls that took the
// least took no longer, as in the recorder, for what disturbs some of them is no part of it. With a pace there is some work before each, as
// in the replay: the way into the kernel and the clock take longer when other code has run since.
func (p *pass) measureEmpty() time.Duration {
	const n = 2001
	took := make([]time.Duration, n)
	r := &runner{pass: p, walk: make([]byte, walkSize)}
	for i := range took {
		r.think(emptyThink)
		begin := time.Since(p.epoch)
		unix.RawSyscall6(unix.SYS_GETPID, 0, 0, 0, 0, 0, 0) //nolint:errcheck // it can't fail
		took[i] = time.Since(p.epoch) - begin
	}
	slices.Sort(took)
	return took[n/10]
}

// emptyThink is the time between the calls of measureEmpty, as many programs have it between theirs.
const emptyThink = 2 * time.Microsecond

// span is how long the recording took.
func (p *plan) span() time.Duration {
	first, last := time.Duration(math.MaxInt64), time.Duration(0)
	for i := range p.recording.Calls {
		c := &p.recording.Calls[i]
		first, last = min(first, c.Start), max(last, c.Start+max(c.Duration, 0))
	}
	return max(last-first, 0)
}
