// SPDX-License-Identifier: Apache-2.0

package profiler

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/assaylab/assay/bpf"
	"github.com/assaylab/assay/internal/facts"
)

// Quality says what is known of a stack.
type Quality string

// The qualities, as the facts name them.
const (
	Whole   Quality = "whole"   // down to the first frame of its thread
	Cut     Quality = "cut"     // it has more frames than are kept
	Broken  Quality = "broken"  // it led nowhere
	None    Quality = "none"    // there is none, or it was lost on the way
	Guessed Quality = "guessed" // it looks whole, but not every step is known to be right
)

// stackTimes is for how much time there is what quality of stack, in nanoseconds.
type stackTimes struct {
	by  map[Quality]int64
	why map[verdict]int64 // of broken and guessed
}

// verdict is the quality of a stack; of a broken or guessed one, why and where.
type verdict struct {
	quality Quality
	reason  string
	at      string // the mapping; "": none
}

// verdict judges the stacks of a line.
func (e *emitter) verdict(key countKey) verdict {
	st, ok := e.rec.agg.stacks[key.UserStack]
	kernel, hasKernel := e.rec.agg.stacks[key.KernelStack]
	switch {
	case key.Flags&bpf.KeyGuessed != 0:
		return verdict{quality: Guessed, reason: "other_waits"}
	case key.KernelStack != 0 && !hasKernel, key.UserStack != 0 && !ok:
		return verdict{quality: None} // lost on the way
	case hasKernel && kernel.end == bpf.KernelCut:
		return verdict{quality: Cut}
	case key.Flags&(bpf.KeyKernelThread|bpf.KeyUserGone) != 0 && hasKernel:
		return verdict{quality: Whole}
	case !ok:
		return verdict{quality: None}
	case st.end == bpf.UserCut, e.rec.agg.python.stacks[st.python].end == bpf.PythonCut:
		return verdict{quality: Cut}
	case e.rec.agg.python.stacks[st.python].end == bpf.PythonBroken:
		return verdict{quality: Broken, reason: "python"}
	}
	return e.verdictOfUser(key, st)
}

// verdictOfUser judges a user stack that was walked to some end.
func (e *emitter) verdictOfUser(key countKey, st stack) verdict {
	v := verdict{quality: Broken, reason: st.reason.String()}
	if m := key.mapping(st); m != nil {
		v.at = m.path
	}
	switch {
	case st.end == bpf.User32Bit:
		v.reason = "32_bit"
	case !e.allMapped(key, st):
		v.reason = bpf.UnwindNoMapping.String()
	case st.end == bpf.UserWhole && st.reason == bpf.UnwindByTable:
		return verdict{quality: Whole}
	case st.end == bpf.UserWhole:
		v.quality = Guessed
	case st.reason == bpf.UnwindByTable:
		v.reason = bpf.UnwindByFP.String()
	}
	return v
}

// mapping is that of the frame at fault.
func (k *countKey) mapping(st stack) *timedMapping {
	if k.image == nil || st.fault >= len(st.frames) {
		return nil
	}
	return k.image.find(st.frames[st.fault]-1, maxTime)
}

// add adds time to the quality of its stack.
func (q *stackTimes) add(v verdict, ns int64) {
	q.by[v.quality] += ns
	if v.reason != "" {
		q.why[v] += ns
	}
}

// maxFaults bounds how many mappings at fault the facts name.
const maxFaults = 20

// addTo writes the times as facts.
func (q *stackTimes) addTo(f *facts.Facts) {
	f.AddInt("time_ns.whole", q.by[Whole])
	f.AddInt("time_ns.cut", q.by[Cut])
	f.AddInt("time_ns.broken", q.by[Broken])
	f.AddInt("time_ns.none", q.by[None])
	f.AddInt("time_ns.guessed", q.by[Guessed])
	reasons := map[Quality]map[string]int64{Guessed: {}, Broken: {}}
	places := make([]verdict, 0, len(q.why))
	for w, ns := range q.why {
		reasons[w.quality][w.reason] += ns
		if w.at != "" {
			places = append(places, w)
		}
	}
	for _, reason := range slices.Sorted(maps.Keys(reasons[Guessed])) {
		f.AddInt("guessed_ns."+reason, reasons[Guessed][reason])
	}
	for _, reason := range slices.Sorted(maps.Keys(reasons[Broken])) {
		f.AddInt("broken_ns."+reason, reasons[Broken][reason])
	}
	slices.SortFunc(places, func(a, b verdict) int {
		return cmp.Or(cmp.Compare(q.why[b], q.why[a]), cmp.Compare(a.String(), b.String()))
	})
	for i, w := range places[:min(maxFaults, len(places))] {
		f.Add("unwind_fault."+strconv.Itoa(i), w.String()+" "+time.Duration(q.why[w]).Round(time.Microsecond).String())
	}
}

// String says where and why.
func (v verdict) String() string {
	return v.at + ": " + string(v.quality) + ", " + strings.ReplaceAll(v.reason, "_", " ")
}

// allMapped says whether every frame of a user stack lies in code: a chain of frame pointers that ends well can still
// have gone astray.
func (e *emitter) allMapped(key countKey, st stack) bool {
	if key.image == nil {
		return false
	}
	for _, addr := range st.frames {
		if key.image.find(addr, maxTime) == nil {
			return false
		}
	}
	return true
}

// facts says how the profile was measured. The keys are documented in docs/reference/facts.md.
func (r *Recorder) facts(e *emitter, s *scales) (facts.Facts, error) {
	var f facts.Facts
	f.AddDuration("duration_ns", r.end.Sub(r.start))
	f.AddInt("start_unix_ns", r.start.UnixNano())
	f.Add("modes", joinModes(r.opts.Modes))
	f.Add("targets", r.opts.targets())
	c, err := r.kernel.Counters()
	if err != nil {
		return nil, err
	}
	f.AddInt("ncpu", int64(r.ncpu))
	f.AddInt("processes", int64(e.processes()))
	costs, err := r.kernel.Costs()
	if err != nil {
		return nil, err
	}
	f.AddDuration("steal_ns", r.steal)
	if r.opts.samples() {
		r.sampleFacts(&f, c, costs)
	}
	if r.opts.accounts() {
		r.accountFacts(&f, s)
	} else {
		f.AddInt("threads", int64(r.threads))
	}
	r.lossFacts(&f, c)
	e.quality.addTo(&f)
	f.Add("unwind", string(r.opts.Unwind))
	if r.unwind != nil {
		r.unwind.facts(&f)
		r.agg.copies.facts(&f)
	}
	f.AddInt("stacks", int64(len(r.agg.stacks)))
	if err := r.costFacts(&f, costs); err != nil {
		return nil, err
	}
	for i, text := range r.warnings() {
		f.Add("warning."+strconv.Itoa(i), text)
	}
	for i, text := range slices.Concat(r.degraded, r.agg.python.reasons(), r.agg.golang.reasons()) {
		f.Add("degraded."+strconv.Itoa(i), text)
	}
	var u unix.Utsname
	if err := unix.Uname(&u); err == nil {
		f.Add("kernel", cString(u.Release[:]))
		f.Add("arch", cString(u.Machine[:]))
	}
	return f, nil
}

func joinModes(modes []Mode) string {
	names := make([]string, len(modes))
	for i, m := range modes {
		names[i] = string(m)
	}
	return strings.Join(names, ",")
}

func (o *Options) targets() string {
	switch {
	case len(o.PIDs) > 0:
		what := "pid " + strings.Trim(fmt.Sprint(o.PIDs), "[]")
		if o.Children {
			what += " and children"
		}
		return what
	case o.Comm != "":
		return "comm " + o.Comm
	case o.Cgroup != "":
		return "cgroup " + o.Cgroup
	case len(o.Command) > 0:
		return "command " + strings.Join(o.Command, " ")
	}
	return "whole machine"
}

// processes counts those that have samples.
func (e *emitter) processes() int {
	pids := map[uint32]bool{}
	for k := range e.rec.agg.counts {
		pids[k.Tgid] = true
	}
	return len(pids)
}

func (r *Recorder) sampleFacts(f *facts.Facts, c bpf.Counters, costs []bpf.Cost) {
	onCPU := r.cpuAfter - r.cpuBefore
	expected := int64(onCPU.Seconds()*float64(r.opts.Freq) + 0.5)
	f.Add("event", string(r.sampler.event))
	f.AddInt("freq_hz", int64(r.opts.Freq))
	f.AddInt("samples_expected", expected)
	f.AddInt("samples_taken", int64(c.Samples-c.LostSamples))
	f.AddInt("samples_idle", int64(c.SamplesIdle))
	f.AddDuration("oncpu_ns", onCPU)
	f.AddInt("lost.map_full", int64(c.LostSamples))
	known := c.Samples + c.SamplesOutside
	for _, cost := range costs {
		if cost.Program == bpf.SampleProgramName {
			known += cost.Missed
		}
	}
	// Expected and not taken, by no cause that is counted: the kernel throttles events whose handlers take too long.
	f.AddInt("lost.throttled", max(0, expected-int64(known)))
}

func (r *Recorder) accountFacts(f *facts.Facts, s *scales) {
	var sum bpf.ThreadTime
	var wall, whole, below uint64
	var residual int64
	worst := 0.0
	for _, t := range r.agg.threads {
		addTime(&sum, &t.Time)
		parts := t.Time.Oncpu + t.Time.RunqWoken + t.Time.RunqPreempted + offTotal(&t.Time)
		wall += t.End - t.Begin
		left := int64(t.End-t.Begin) - int64(parts)
		residual += left
		if t.Whole {
			whole++
			if t.End > t.Begin {
				worst = max(worst, abs(float64(left))/float64(t.End-t.Begin))
			}
		}
		below += t.Time.BelowMin
	}
	f.AddInt("threads", int64(len(s.threads)))
	f.AddInt("threads_whole", int64(whole))
	f.AddInt("switches", int64(sum.Switches))
	f.AddInt("waits", int64(sum.Waits))
	f.AddInt("acct.oncpu_ns", int64(sum.Oncpu))
	f.AddInt("acct.runqueue_woken_ns", int64(sum.RunqWoken))
	f.AddInt("acct.runqueue_preempted_ns", int64(sum.RunqPreempted))
	f.AddInt("acct.offcpu_interruptible_ns", int64(sum.Off[bpf.StateInterruptible]))
	f.AddInt("acct.offcpu_uninterruptible_ns", int64(sum.Off[bpf.StateUninterruptible]))
	f.AddInt("acct.offcpu_stopped_ns", int64(sum.Off[bpf.StateStopped]))
	f.AddInt("acct.offcpu_idle_ns", int64(sum.Off[bpf.StateIdle]))
	f.AddInt("acct.wall_ns", int64(wall))
	f.AddInt("acct.residual_ns", residual)
	f.AddFloat("acct.max_thread_residual_ratio", worst)
	if threads, ns := s.unaccounted(); threads > 0 {
		f.AddInt("threads_unaccounted", int64(threads))
		f.AddInt("acct.unaccounted_ns", ns)
	}
	f.AddInt("acct.window_ns", int64(r.window.End-r.window.Start))
	f.AddInt("acct.window_monotonic_ns", int64(r.window.EndMono-r.window.StartMono))
	policy := "every wait"
	if !r.opts.Exact {
		policy = "each wait of 250us or more; shorter ones of threads that switch more often than every 250us by chance, in proportion to time, scaled"
	}
	if r.opts.MinBlock > 0 {
		policy += "; none under " + r.opts.MinBlock.String()
	}
	f.Add("offcpu.stack_policy", policy)
	f.AddInt("offcpu.short_total_ns", int64(sum.Sampled+sum.QueuedSampled+sum.PreemptedSampled))
	f.AddInt("offcpu.below_min_block", int64(below))
}

func abs(f float64) float64 { return max(f, -f) }

// lossFacts names what is not in the profile, or not as it should be.
func (r *Recorder) lossFacts(f *facts.Facts, c bpf.Counters) {
	loss := func(key string, n uint64) {
		if n > 0 {
			f.AddInt(key, int64(n))
		}
	}
	loss("lost.waits_map_full", c.LostWaits)
	loss("lost_ns.waits_map_full", c.LostWaitsNs)
	loss("lost.thread_accounts", c.LostThreads)
	loss("lost_ns.thread_accounts", c.LostThreadsNs)
	loss("lost.thread_storage", c.StorageFull)
	loss("lost.outside_pid_namespace", c.SamplesOutside)
	loss("lost.waits_outside_pid_namespace", c.WaitsOutside)
	loss("switches_mended", c.MissedArrivals)
	loss("lost.switches", c.MissedLeaves)
	loss("clock_backwards", c.ClockBackwards)
	loss("counts_through_ring", c.CountsInRing)
	loss("ring_full_retries", c.RingFullStacks)
	if r.side != nil {
		loss("lost.sideband", r.side.lost)
		loss("lost.sideband_unreadable", r.side.bad)
	}
	loss("processes_unread", r.procs.unread)
	loss("mappings_over_bound", r.procs.truncated)
	loss("lost.python_frames", r.agg.python.lost)
	loss("lost.python_stacks", c.PythonUnreadable)
	loss("lost.goroutines", c.GoroutinesUnreadable)
	loss("lost.go_labels", c.LabelsUnreadable)
	loss("lost.go_label_sets", r.agg.golang.lost)
	loss("go_label_sets_cut", r.agg.golang.cut)
	loss("unwind.copies_unsent", c.CopiesUnsent)
	loss("files_not_held", r.objects.unheld)
}

func (r *Recorder) costFacts(f *facts.Facts, costs []bpf.Cost) error {
	var total time.Duration
	var runs, missed uint64
	for _, c := range costs {
		missed += c.Missed
		if c.Runs == 0 {
			continue
		}
		total += c.PerRun * time.Duration(c.Runs)
		runs += c.Runs
		name := strings.TrimPrefix(c.Program, "assay_")
		f.AddInt("cost."+name+"_runs", int64(c.Runs))
		f.AddDuration("cost."+name+"_ns_per_run", c.PerRun)
	}
	f.AddDuration("cost.bpf_ns", total)
	f.AddInt("cost.bpf_runs", int64(runs))
	f.Add("cost.bpf_method", "a random share of the runs timed by the program itself, less the clock's own price; entry to the program is not in it")
	f.AddInt("lost.recursion", int64(missed))
	f.AddInt("cost.map_bytes", int64(r.kernel.MapBytes()))
	return AddOwnCost(f)
}

// AddOwnCost adds what this process has cost until now: CPU time and peak memory. Who goes on working with the profile calls it
// again at the end.
func AddOwnCost(f *facts.Facts) error {
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		return fmt.Errorf("own cost: %w", err)
	}
	f.AddDuration("cost.agent_cpu_ns", time.Duration(u.Utime.Nano()+u.Stime.Nano()))
	f.AddInt("cost.peak_rss_bytes", u.Maxrss*1024)
	return nil
}
