// SPDX-License-Identifier: Apache-2.0

package syscalls

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"github.com/assaylab/assay/bpf"
	"github.com/assaylab/assay/profiler/internal/target"
)

// recorder is a recording that is going on.
type recorder struct {
	opts    Options
	each    func(*Call) error
	kernel  *bpf.Calls
	plans   *[bpf.CallPlans]plan
	call    Call
	paths   numbers // nil: as they are
	own     int     // our own process
	began   uint64  // CLOCK_MONOTONIC
	counts  [bpf.CallPlans]int64
	unended string // what calls without an end lack now
	command *exec.Cmd
	rec     Recording
}

// Record hands each call to each, in the order in which they end, until the duration is over, the command has ended or ctx is done,
// whichever comes first: all three are good ends. An error of each ends it too. The call must not be kept.
func Record(ctx context.Context, opts Options, each func(*Call) error) (*Recording, error) {
	if err := opts.check(); err != nil {
		return nil, err
	}
	r := &recorder{opts: opts, each: each, plans: plans(), own: os.Getpid(), unended: PartialEnded}
	r.rec.Partial = map[string]int64{}
	if opts.NoPaths {
		r.paths = numbers{}
	}
	if err := r.open(); err != nil {
		return nil, errors.Join(err, r.close())
	}
	err := r.run(ctx)
	if err == nil {
		err = r.finish()
	}
	return &r.rec, errors.Join(err, r.close())
}

// open loads and attaches the programs, and starts the command.
func (r *recorder) open() error {
	config := &bpf.CallsConfig{}
	for nr := range r.plans {
		config.Plans[nr] = r.plans[nr].CallPlan
	}
	if r.opts.Cgroup != "" {
		t, err := target.FindCgroup(r.opts.Cgroup)
		if err != nil {
			return err
		}
		config.CgroupID, config.CgroupSubsys = t.ID, t.Subsys
	}
	for _, pid := range r.opts.PIDs {
		if _, err := target.ThreadGroup(pid); err != nil {
			return err
		}
	}
	var err error
	if config.PIDNSLevel, config.PIDNSInum, err = target.PIDNamespace(); err != nil {
		return err
	}
	if r.kernel, err = bpf.LoadCalls(config); err != nil {
		return err
	}
	if err := r.kernel.Attach(); err != nil {
		return err
	}
	if r.rec.Empty, err = r.measureEmpty(); err != nil {
		return err
	}
	r.rec.Began, r.began = time.Now(), monotonic()
	if err := r.opts.Started(r.rec.Began, r.rec.Empty); err != nil {
		return err
	}
	if err := r.follow(); err != nil {
		return err
	}
	return r.start()
}

// emptyCalls is how many calls measureEmpty makes.
const emptyCalls = 1001

// measureEmpty records calls of our own that do next to nothing, and returns what the tenth part of them that took the least took no longer
// than: on a machine with neighbours the median is now that of a quick spell and now that of a slow one.
func (r *recorder) measureEmpty() (time.Duration, error) {
	if err := r.kernel.Follow(r.own); err != nil {
		return 0, err
	}
	made := make(chan int)
	go func() {
		runtime.LockOSThread() // without an end: the thread ends with the goroutine
		for range emptyCalls {
			unix.Getppid()
		}
		made <- unix.Gettid()
	}()
	tid := <-made
	if err := r.kernel.Forget(r.own); err != nil {
		return 0, err
	}
	var durations []uint64
	err := r.kernel.Drain(func(record *bpf.CallRecord) error {
		if int(record.Tid) == tid && record.Nr == unix.SYS_GETPPID {
			durations = append(durations, record.Duration)
		}
		return nil
	})
	if err != nil || len(durations) == 0 {
		return 0, err
	}
	slices.Sort(durations)
	return time.Duration(durations[len(durations)/10]), nil
}

func monotonic() uint64 {
	var ts unix.Timespec
	if unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts) != nil {
		return 0
	}
	return uint64(ts.Nano())
}

// follow adds the processes that are there. Children that they get meanwhile are followed by the kernel side.
func (r *recorder) follow() error {
	for _, pid := range r.opts.PIDs {
		pid, err := target.ThreadGroup(pid)
		if err != nil {
			return err
		}
		if err := r.kernel.Follow(pid); err != nil {
			return err
		}
		children, err := target.Descendants(pid)
		if err != nil {
			return err
		}
		for _, child := range children {
			if err := r.kernel.Follow(child); err != nil {
				return err
			}
		}
	}
	return nil
}

// start starts the command, whose first recorded call is its execve.
func (r *recorder) start() error {
	if len(r.opts.Command) == 0 {
		return nil
	}
	if err := r.kernel.FollowBirths(r.own); err != nil {
		return err
	}
	r.command = exec.Command(r.opts.Command[0], r.opts.Command[1:]...)
	r.command.Stdin, r.command.Stdout, r.command.Stderr = os.Stdin, os.Stdout, os.Stderr
	err := r.command.Start()
	if err != nil {
		return errors.Join(fmt.Errorf("start command: %w", err), r.kernel.Forget(r.own))
	}
	r.rec.process = r.command.Process
	r.rec.ended = make(chan struct{})
	go func() {
		defer close(r.rec.ended)
		err := r.command.Wait()
		r.rec.code = target.ExitCode(r.command.ProcessState)
		var exit *exec.ExitError
		if !errors.As(err, &exit) {
			r.rec.err = err
		}
	}()
	return r.kernel.Forget(r.own)
}

const (
	lookPeriod     = 50 * time.Millisecond // the ring is emptied, and the end looked for
	progressPeriod = time.Second
)

// run records until the end.
func (r *recorder) run(ctx context.Context) error {
	if r.opts.Duration > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, r.rec.Began.Add(r.opts.Duration))
		defer cancel()
	}
	shown := r.rec.Began
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-r.rec.ended:
			return nil
		default:
		}
		now := time.Now()
		if err := r.kernel.Read(now.Add(lookPeriod), r.take); err != nil {
			return err
		}
		if r.opts.Progress != nil && now.Sub(shown) >= progressPeriod {
			shown = now
			if err := r.show(now); err != nil {
				return err
			}
		}
	}
}

func (r *recorder) show(now time.Time) error {
	c, _, err := r.kernel.Counters()
	if err != nil {
		return err
	}
	r.opts.Progress(Progress{Elapsed: now.Sub(r.rec.Began), Calls: r.rec.Calls, Lost: int64(c.RingFull + c.NoRoom)})
	return nil
}

// take hands a record on.
func (r *recorder) take(record *bpf.CallRecord) error {
	if record.Nr < 0 || record.Nr >= bpf.CallPlans {
		return fmt.Errorf("ring buffer: system call %d", record.Nr)
	}
	if record.Tgid == uint32(r.own) {
		return nil // it was going on while we measured ourselves
	}
	p := &r.plans[record.Nr]
	c := &r.call
	c.fill(record, p, r.began)
	c.Path, c.Path2 = p.paths(record)
	if r.paths != nil {
		c.Path, c.Path2 = r.paths.of(c.Path), r.paths.of(c.Path2)
	}
	r.counts[record.Nr]++
	r.rec.add(record, r.unended)
	return r.each(c)
}

// finish ends the recording, reads what is left and sums up.
func (r *recorder) finish() error {
	if err := r.kernel.Detach(); err != nil {
		return err
	}
	r.rec.Elapsed = time.Since(r.rec.Began)
	if err := r.kernel.Drain(r.take); err != nil {
		return err
	}
	r.unended = PartialGoingOn
	if err := r.kernel.Sweep(); err != nil {
		return err
	}
	if err := r.kernel.Drain(r.take); err != nil {
		return err
	}
	return r.sumUp()
}

func (r *recorder) sumUp() error {
	c, nested, err := r.kernel.Counters()
	if err != nil {
		return err
	}
	r.rec.Names = map[string]int64{}
	for nr, n := range r.counts {
		if n > 0 {
			r.rec.Names[r.plans[nr].name] = n
		}
	}
	r.rec.Lost = map[string]int64{
		LostRing: int64(c.RingFull), LostRoom: int64(c.NoRoom), LostNested: int64(nested), LostForeign: int64(c.Foreign),
		LostOutside: int64(c.Outside),
		// A call whose begin found no room ends without one.
		LostBefore: int64(c.NoBegin - min(c.NoBegin, c.NoRoom)),
	}
	maps.DeleteFunc(r.rec.Lost, func(_ string, n int64) bool { return n == 0 })
	r.rec.Unfollowed = int64(c.Unfollowed)
	return nil
}

func (r *recorder) close() error {
	if r.kernel == nil {
		return nil
	}
	return r.kernel.Close()
}
