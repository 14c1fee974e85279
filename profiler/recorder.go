// SPDX-License-Identifier: Apache-2.0

package profiler

import (
	"context"
	"errors"
	"time"

	"golang.org/x/sys/unix"

	"github.com/assaylab/assay/bpf"
	"github.com/assaylab/assay/profiler/internal/target"
)

// Recorder is a recording that is going on.
type Recorder struct {
	opts    Options
	kernel  *bpf.Kernel
	sampler *sampler
	side    *sideband
	objects *objects
	procs   *processes
	agg     *aggregate
	command *command
	unwind  *unwinder // nil: user stacks by frame pointers

	window     bpf.Window // of time accounting
	start, end time.Time
	swapped    uint64 // CLOCK_MONOTONIC of the last swap
	cpuBefore  time.Duration
	cpuAfter   time.Duration
	threads    uint64
	watcher    *watcher
	cpus       *onlineCPUs
	ncpu       int
	steal      time.Duration // by the host, until begin, then in the recording
	javaMaps   javaMaps      // that we asked for
	degraded   []string
}

// Record records what opts asks for, until the duration is over, the command has ended or ctx is done,
// whichever comes first: all three are good ends.
func Record(ctx context.Context, opts Options) (*Recording, error) {
	r := &Recorder{opts: opts}
	if err := r.opts.complete(); err != nil {
		return nil, err
	}
	if err := r.open(); err != nil {
		return nil, errors.Join(err, r.close())
	}
	if r.opts.Started != nil {
		r.opts.Started()
	}
	err := r.run(ctx)
	if err != nil {
		return nil, errors.Join(err, r.close())
	}
	return r.finish()
}

// open loads and attaches everything, and starts the command.
func (r *Recorder) open() error {
	config, err := r.opts.configure()
	if err != nil {
		return err
	}
	for _, pid := range r.opts.PIDs {
		if _, err := target.ThreadGroup(pid); err != nil {
			return err
		}
	}
	if r.cpus, err = openOnlineCPUs(); err != nil {
		return err
	}
	cpus, err := r.cpus.list()
	if err != nil {
		return err
	}
	r.ncpu = len(cpus)
	if r.kernel, err = bpf.Load(config); err != nil {
		return err
	}
	r.objects = newObjects()
	r.procs = newProcesses(r.objects)
	pythons := newPythons(r.objects, r.kernel)
	golangs := newGolangs(r.objects, r.kernel)
	r.procs.buried = func(pid int) {
		pythons.forget(pid, nil)
		golangs.forget(pid, nil)
	}
	r.agg = newAggregate(r.procs, pythons, golangs)
	if r.side, err = newSideband(cpus); err != nil {
		// Without it, processes that come and go are seen only when they are caught alive.
		r.degraded = append(r.degraded, "no side band, so short-lived processes may stay unnamed: "+err.Error())
		r.side = nil
	}
	if r.side != nil {
		r.agg.catchUp = r.readEvents
	}
	if r.opts.Unwind == ByTables {
		r.unwind = newUnwinder(r.kernel, &r.opts)
		r.agg.unwind = r.unwind
	}
	if err := r.kernel.Attach(); err != nil {
		return err
	}
	if err := addTargets(r.kernel, &r.opts); err != nil {
		return err
	}
	if r.kernel.Blind() {
		r.degraded = append(r.degraded, "this kernel's iterators can't read user memory: waits from before the window have no user stack")
	}
	if r.watcher, err = startWatcher(r.watched(), r.readAll); err != nil {
		return err
	}
	if len(r.opts.Command) > 0 {
		return r.startWithCommand()
	}
	return r.begin()
}

func (r *Recorder) startWithCommand() (err error) {
	r.command, err = startCommand(r.opts.Command, func(pid int) error {
		if err := r.kernel.AddTarget(pid, true); err != nil {
			return err
		}
		return r.begin()
	})
	return err
}

// maxPrepare is how long the begin of a recording waits for unwind tables. A command stands still meanwhile.
const maxPrepare = 500 * time.Millisecond

// prepare has the tables made of what the targets have mapped already, and finds their interpreters. Of a whole machine's processes all are
// looked at if their waits are recorded: each has some.
func (r *Recorder) prepare() (err error) {
	pids := r.kernel.Targets()
	if r.opts.accounts() && r.opts.wholeMachine() {
		if pids, err = target.Processes(); err != nil {
			return err
		}
	}
	r.agg.mu.Lock()
	for _, pid := range pids {
		im := r.procs.imageAt(pid, maxTime)
		if im == nil {
			continue
		}
		if r.unwind != nil {
			r.unwind.follow(pid, im, r.objects)
			if len(r.opts.Command) > 0 {
				r.unwind.foresee(pid, im, r.objects)
			}
		}
		r.agg.look(im)
	}
	r.agg.mu.Unlock()
	if r.unwind != nil {
		r.unwind.await(maxPrepare)
	}
	return nil
}

// begin opens the window.
func (r *Recorder) begin() (err error) {
	if err := r.prepare(); err != nil {
		return err
	}
	r.steal = stealTime()
	r.start = time.Now()
	if r.opts.accounts() {
		if err := r.kernel.OpenWindow(); err != nil {
			return err
		}
	}
	if r.opts.samples() {
		cpus, err := r.cpus.list()
		if err != nil {
			return err
		}
		if r.sampler, err = newSampler(r.opts.Freq, r.kernel.SampleProgram().FD(), cpus); err != nil {
			return err
		}
		if r.cpuBefore, _, err = r.kernel.CPUTime(); err != nil {
			return err
		}
	}
	if r.opts.accounts() {
		return r.kernel.Sweep(bpf.SweepOpen, r.agg)
	}
	return nil
}

func monotonic() uint64 {
	var ts unix.Timespec
	if unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts) != nil {
		return 0
	}
	return uint64(ts.Nano())
}

const (
	lookPeriod = time.Second      // tables are looked at, and CPUs; each look costs a wake-up
	swapPeriod = 30 * time.Second // the table of counts is swapped at least,
	swapAt     = 4                // when a quarter of it is full,
	swapGraves = 1024             // or when so many processes have ended that may have counts in it
)

// watched are the files that are readable when there is something for readAll.
func (r *Recorder) watched() []int {
	fds := []int{r.kernel.RingFD()}
	if r.side != nil {
		fds = append(fds, r.side.fds()...)
	}
	return fds
}

// readAll reads the side band and the ring.
func (r *Recorder) readAll() error {
	r.readSide()
	return r.kernel.ReadRing(r.agg)
}

// run waits for the end, and keeps tables and rings from filling up meanwhile.
func (r *Recorder) run(ctx context.Context) error {
	if r.opts.Duration > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, r.opts.Duration-time.Since(r.start))
		defer cancel()
	}
	var ended chan struct{}
	if r.command != nil {
		ended = r.command.done
	}
	lastSwap := r.start
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ended:
			return nil
		case <-r.watcher.done:
			return r.watcher.err
		case <-r.agg.flush:
			if err := r.swap(); err != nil {
				return err
			}
			lastSwap = time.Now()
		case now := <-r.watcher.ticks:
			due, err := r.swapIfDue(now, lastSwap)
			if err != nil {
				return err
			}
			if due {
				lastSwap = now
			}
			if err := r.look(); err != nil {
				return err
			}
		}
	}
}

// swapIfDue swaps tables when it is time.
func (r *Recorder) swapIfDue(now, lastSwap time.Time) (swapped bool, err error) {
	fill, err := r.kernel.Fill()
	if err != nil {
		return false, err
	}
	if fill < r.kernel.Capacity()/swapAt && r.graves() < swapGraves && now.Sub(lastSwap) < swapPeriod {
		return false, nil
	}
	return true, r.swap()
}

func (r *Recorder) followSide(cpus []int) error {
	if r.side == nil {
		return nil
	}
	r.agg.mu.Lock()
	defer r.agg.mu.Unlock()
	came, err := r.side.follow(cpus)
	for _, fd := range came {
		err = errors.Join(err, r.watcher.add(fd))
	}
	return err
}

func (r *Recorder) readSide() {
	if r.side == nil {
		return
	}
	r.agg.mu.Lock()
	defer r.agg.mu.Unlock()
	r.readEvents()
}

// readEvents reads the side band; the caller holds the lock of the aggregate.
func (r *Recorder) readEvents() {
	pids := r.side.read(r.procs)
	if r.unwind != nil {
		r.unwind.changed(pids, r.procs)
	}
}

// graves is the number of ended processes that are not forgotten yet.
func (r *Recorder) graves() int {
	r.agg.mu.Lock()
	defer r.agg.mu.Unlock()
	return len(r.procs.graveyard)
}

// swap reads the counts until now. Processes that had ended at the swap before have none left, nor has the ring any stack of theirs.
func (r *Recorder) swap() error {
	r.readSide()
	now := monotonic()
	if err := r.kernel.Swap(r.agg.Count); err != nil {
		return err
	}
	r.agg.mu.Lock()
	defer r.agg.mu.Unlock()
	r.procs.bury(r.swapped)
	r.swapped = now
	return nil
}

// look is done once a second: CPUs may have come, and somebody may watch.
func (r *Recorder) look() error {
	cpus, err := r.cpus.list()
	if err != nil {
		return err
	}
	if err := r.followSide(cpus); err != nil {
		return err
	}
	if r.sampler != nil {
		if err := r.sampler.follow(cpus); err != nil {
			return err
		}
	}
	r.ncpu = max(r.ncpu, len(cpus))
	if r.unwind != nil {
		r.unwind.tick(time.Now())
		r.agg.walkAgain(false)
	}
	if r.opts.Progress == nil {
		return nil
	}
	c, err := r.kernel.Counters()
	if err != nil {
		return err
	}
	r.agg.mu.Lock()
	stacks := len(r.agg.stacks)
	r.agg.mu.Unlock()
	r.opts.Progress(Progress{Elapsed: time.Since(r.start), Samples: c.Samples, Waits: c.Switches, Stacks: stacks})
	return nil
}

// finish closes the window, reads what is left and makes the profile.
func (r *Recorder) finish() (*Recording, error) {
	rec, err := r.collect()
	if err != nil {
		return nil, errors.Join(err, r.close())
	}
	return rec, nil
}

func (r *Recorder) collect() (*Recording, error) {
	if err := r.closeWindow(); err != nil {
		return nil, err
	}
	r.end = time.Now()
	r.steal = max(0, stealTime()-r.steal)
	err := r.watcher.stop()
	r.watcher = nil
	if err != nil {
		return nil, err
	}
	if err := r.readAll(); err != nil {
		return nil, err
	}
	if r.unwind != nil {
		r.agg.finishCopies()
		r.unwind.stop()
	}
	if err := r.swap(); err != nil {
		return nil, err
	}
	if r.opts.JavaMaps {
		r.askForJavaMaps()
	}
	return r.emit()
}

func (r *Recorder) closeWindow() (err error) {
	if r.sampler != nil {
		if r.cpuAfter, r.threads, err = r.sumTime(); err != nil {
			return err
		}
		err, r.sampler.fds = r.sampler.close(), nil
		if err != nil {
			return err
		}
	}
	if !r.opts.accounts() {
		return nil
	}
	if err := r.kernel.CloseWindow(); err != nil {
		return err
	}
	r.readSide()
	if err := r.kernel.Sweep(bpf.SweepClose, r.agg); err != nil {
		return err
	}
	r.window, err = r.kernel.Window()
	return err
}

// maxFree is how long the end of a recording waits for the kernel to free the threads of a command.
const maxFree = 500 * time.Millisecond

// sumTime is the CPU time of all wanted threads, and their number. Those of a command that has ended are in the sum when the kernel has freed
// them, after an RCU grace period: tens of milliseconds, and more on a busy machine. How much there must be at least is known from wait4.
func (r *Recorder) sumTime() (sum time.Duration, threads uint64, err error) {
	least := r.command.time()
	for end := time.Now().Add(maxFree); ; time.Sleep(10 * time.Millisecond) {
		sum, threads, err = r.kernel.CPUTime()
		if err != nil || sum >= least || time.Now().After(end) {
			return sum, threads, err
		}
	}
}

// close frees everything that open took; it may be called at any stage.
func (r *Recorder) close() error {
	var errs []error
	if r.watcher != nil {
		errs = append(errs, r.watcher.stop())
		r.watcher = nil
	}
	if r.unwind != nil {
		r.unwind.stop()
	}
	if r.sampler != nil {
		errs = append(errs, r.sampler.close())
	}
	if r.side != nil {
		errs = append(errs, r.side.close())
	}
	if r.kernel != nil {
		errs = append(errs, r.kernel.Close())
	}
	errs = append(errs, r.javaMaps.remove())
	if r.cpus != nil {
		errs = append(errs, r.cpus.close())
	}
	if r.objects != nil {
		errs = append(errs, r.objects.close())
	}
	return errors.Join(errs...)
}
