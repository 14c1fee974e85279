// SPDX-License-Identifier: Apache-2.0

package reports

import (
	"cmp"
	"errors"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/google/pprof/profile"

	"github.com/assaylab/assay/internal/facts"
)

// TopFunctions is how many functions a summary has for each sample type.
const TopFunctions = 10

// TopUnnamed is how many mappings with unnamed frames a summary has.
const TopUnnamed = 5

// TopFaults is how many files at fault a summary has.
const TopFaults = 5

// A Record is what SummaryJSON writes: all that a profile says of a recording. Keys stay as they are once released; new ones may come. What a
// profile doesn't say is absent, so that 0 is a measured zero. Times are nanoseconds, sizes bytes.
type Record struct {
	// File is where the profile was written.
	File string `json:"file,omitempty"`
	// DurationNS is how long was recorded.
	DurationNS *int64 `json:"duration_ns,omitempty"`
	// StartUnixNS is when the recording began, since 1970 UTC.
	StartUnixNS *int64 `json:"start_unix_ns,omitempty"`
	// Modes are what was recorded: cpu, offcpu, wall.
	Modes []string `json:"modes,omitempty"`
	// Targets says whose profile this is.
	Targets *string `json:"targets,omitempty"`
	// Event is what the CPU samples were taken by: "cpu-clock" (a timer) or "cycles" (hardware).
	Event *string `json:"event,omitempty"`
	// FreqHz is how often a CPU was to be sampled, a second.
	FreqHz *int64 `json:"freq_hz,omitempty"`
	// NCPU is the number of CPUs that were online, the most at a time, and StealNS the time that the host of a virtual machine took from them.
	NCPU    *int64 `json:"ncpu,omitempty"`
	StealNS *int64 `json:"steal_ns,omitempty"`
	// Threads and Processes count what was seen.
	Threads   *int64 `json:"threads,omitempty"`
	Processes *int64 `json:"processes,omitempty"`

	// SampleTypes are in the order of the profile.
	SampleTypes []SampleType `json:"sample_types"`
	Samples     Samples      `json:"samples,omitzero"`
	// Lost counts what is missing from the profile, by cause, and LostNS its time.
	Lost      map[string]int64 `json:"lost,omitempty"`
	LostNS    map[string]int64 `json:"lost_ns,omitempty"`
	StackTime StackTime        `json:"stack_time_ns,omitzero"`
	// GuessedNS and BrokenNS say why stacks are guessed and broken, by reason.
	GuessedNS map[string]int64 `json:"guessed_ns,omitempty"`
	BrokenNS  map[string]int64 `json:"broken_ns,omitempty"`
	// UnwindFaults are the files where most of that time is, a line each.
	UnwindFaults []string   `json:"unwind_faults,omitempty"`
	Accounting   Accounting `json:"accounting,omitzero"`
	OffCPU       OffCPU     `json:"offcpu_stacks,omitzero"`
	// Unnamed counts locations without a name, by reason.
	Unnamed map[string]int64 `json:"unnamed,omitempty"`
	// UnnamedIn says where they are: a line for each mapping, those with most of them first.
	UnnamedIn []string `json:"unnamed_in,omitempty"`
	// Lineless counts places whose lines or inlined calls are missing although the file has debug information.
	Lineless map[string]int64 `json:"lineless,omitempty"`
	Cost     Cost             `json:"cost,omitzero"`
	// Certified are what this way to record was measured to cost workloads on this machine: a line for each workload of the certificate.
	Certified []string `json:"certified,omitempty"`

	// Warnings are what to know before believing the numbers, with the cure.
	Warnings []string `json:"warnings,omitempty"`
	// Degraded are what this machine doesn't allow and what was done instead.
	Degraded []string `json:"degraded,omitempty"`
	// Kernel, Arch and AssayVersion are of the machine and program that recorded.
	Kernel       *string `json:"kernel,omitempty"`
	Arch         *string `json:"arch,omitempty"`
	AssayVersion *string `json:"assay_version,omitempty"`
	// More are facts that this version doesn't know.
	More map[string]string `json:"more,omitempty"`
}

// A SampleType is one kind of value that the profile has.
type SampleType struct {
	Type string `json:"type"`
	Unit string `json:"unit"`
	// Total is the sum over all samples.
	Total int64 `json:"total"`
	// Top are the functions with the largest flat values.
	Top []Function `json:"top"`
}

// A Function is one function's share of a sample type.
type Function struct {
	Name string `json:"name"`
	// Kernel says that the function runs in the kernel.
	Kernel bool `json:"kernel"`
	// Named is false where the name is a file and an offset, or an address.
	Named bool `json:"named"`
	// Flat is the value of the samples with this function as leaf, Cum of those that have it anywhere.
	Flat int64 `json:"flat"`
	Cum  int64 `json:"cum"`
}

// Samples count the samples of on-CPU time.
type Samples struct {
	// Expected is the frequency times the on-CPU time.
	Expected *int64 `json:"expected,omitempty"`
	Taken    *int64 `json:"taken,omitempty"`
	// Idle are samples of an idle CPU, which the profile leaves out.
	Idle *int64 `json:"idle,omitempty"`
}

// StackTime is the recorded time by what is known of the stacks.
type StackTime struct {
	// Whole stacks reach the entry of the thread.
	Whole *int64 `json:"whole,omitempty"`
	// Cut stacks have more frames than are kept.
	Cut *int64 `json:"cut,omitempty"`
	// Broken stacks end at a frame that can't be followed.
	Broken *int64 `json:"broken,omitempty"`
	// None is time without a stack.
	None *int64 `json:"none,omitempty"`
	// Guessed stacks have frames that may be wrong.
	Guessed *int64 `json:"guessed,omitempty"`
}

// Accounting divides the wall time of the threads that were seen.
type Accounting struct {
	WallNS  *int64 `json:"wall_ns,omitempty"`
	OnCPUNS *int64 `json:"oncpu_ns,omitempty"`
	// Run-queue time is spent runnable and not running, after a wake-up or after being preempted.
	RunqueueWokenNS     *int64 `json:"runqueue_woken_ns,omitempty"`
	RunqueuePreemptedNS *int64 `json:"runqueue_preempted_ns,omitempty"`
	// Off-CPU time is spent blocked, by the state of the thread.
	OffCPUInterruptibleNS   *int64 `json:"offcpu_interruptible_ns,omitempty"`
	OffCPUUninterruptibleNS *int64 `json:"offcpu_uninterruptible_ns,omitempty"`
	OffCPUStoppedNS         *int64 `json:"offcpu_stopped_ns,omitempty"`
	// OffCPUIdleNS is that of kernel threads that wait for work.
	OffCPUIdleNS *int64 `json:"offcpu_idle_ns,omitempty"`
	// ResidualNS is wall time less all of the above.
	ResidualNS *int64 `json:"residual_ns,omitempty"`
	// MaxThreadResidualRatio is the largest residual of one thread, as a share of its wall time.
	MaxThreadResidualRatio *float64 `json:"max_thread_residual_ratio,omitempty"`
}

// OffCPU says which waits have a stack.
type OffCPU struct {
	StackPolicy *string `json:"stack_policy,omitempty"`
	// ShortTotalNS is the time of the short waits that a part of them gave its stacks for.
	ShortTotalNS *int64 `json:"short_total_ns,omitempty"`
	// BelowMinBlock counts waits that were too short for a stack.
	BelowMinBlock *int64 `json:"below_min_block,omitempty"`
}

// Cost is what the recording took from the machine.
type Cost struct {
	// BPFNS is the time in eBPF programs, BPFRuns how often they ran, BPFMethod how that was measured.
	BPFNS     *int64  `json:"bpf_ns,omitempty"`
	BPFRuns   *int64  `json:"bpf_runs,omitempty"`
	BPFMethod *string `json:"bpf_method,omitempty"`
	// AgentCPUNS is the CPU time of the recording process, PeakRSSBytes its largest resident size.
	AgentCPUNS   *int64 `json:"agent_cpu_ns,omitempty"`
	PeakRSSBytes *int64 `json:"peak_rss_bytes,omitempty"`
	// MapBytes is the size of the eBPF maps.
	MapBytes *int64 `json:"map_bytes,omitempty"`
}

// newRecord collects what p says. Facts that can't be read become a warning: the samples are still worth showing.
func newRecord(p *profile.Profile, file string) *Record {
	r := &Record{File: file, SampleTypes: sampleTypes(p)}
	known, err := facts.Parse(p.Comments)
	switch {
	case errors.Is(err, facts.ErrMerged):
		r.Warnings = append(r.Warnings, "merged from several recordings: what each says of its completeness and cost is left out")
	case err != nil:
		r.Warnings = append(r.Warnings, err.Error())
	}
	r.fill(known)
	if r.DurationNS == nil && p.DurationNanos != 0 {
		r.DurationNS = &p.DurationNanos
	}
	if r.StartUnixNS == nil && p.TimeNanos != 0 {
		r.StartUnixNS = &p.TimeNanos
	}
	return r
}

func sampleTypes(p *profile.Profile) []SampleType {
	types := make([]SampleType, len(p.SampleType))
	for i, t := range p.SampleType {
		functions := topFunctions(p, i)
		top := make([]Function, 0, TopFunctions)
		for _, f := range functions[:min(TopFunctions, len(functions))] {
			top = append(top, Function{f.name, f.inKernel(), f.kind == user || f.kind == kernel, f.flat, f.cum})
		}
		types[i] = SampleType{printable(t.Type), printable(t.Unit), totalOf(p, i), top}
	}
	return types
}

// fill puts each fact in its field. What has no field, or not the type of its field, goes to More.
func (r *Record) fill(known facts.Facts) {
	fields := r.fields()
	for _, f := range known {
		if !set(fields[f.Key], f.Value) && !r.setGrouped(f.Key, f.Value) {
			if r.More == nil {
				r.More = map[string]string{}
			}
			r.More[f.Key] = f.Value
		}
	}
}

// fields returns the place of each fact that is known by its whole key.
func (r *Record) fields() map[string]any {
	return map[string]any{
		"duration_ns":                    &r.DurationNS,
		"start_unix_ns":                  &r.StartUnixNS,
		"modes":                          &r.Modes,
		"targets":                        &r.Targets,
		"event":                          &r.Event,
		"freq_hz":                        &r.FreqHz,
		"ncpu":                           &r.NCPU,
		"steal_ns":                       &r.StealNS,
		"threads":                        &r.Threads,
		"processes":                      &r.Processes,
		"samples_expected":               &r.Samples.Expected,
		"samples_taken":                  &r.Samples.Taken,
		"samples_idle":                   &r.Samples.Idle,
		"time_ns.whole":                  &r.StackTime.Whole,
		"time_ns.cut":                    &r.StackTime.Cut,
		"time_ns.broken":                 &r.StackTime.Broken,
		"time_ns.none":                   &r.StackTime.None,
		"time_ns.guessed":                &r.StackTime.Guessed,
		"acct.wall_ns":                   &r.Accounting.WallNS,
		"acct.oncpu_ns":                  &r.Accounting.OnCPUNS,
		"acct.runqueue_woken_ns":         &r.Accounting.RunqueueWokenNS,
		"acct.runqueue_preempted_ns":     &r.Accounting.RunqueuePreemptedNS,
		"acct.offcpu_interruptible_ns":   &r.Accounting.OffCPUInterruptibleNS,
		"acct.offcpu_uninterruptible_ns": &r.Accounting.OffCPUUninterruptibleNS,
		"acct.offcpu_stopped_ns":         &r.Accounting.OffCPUStoppedNS,
		"acct.offcpu_idle_ns":            &r.Accounting.OffCPUIdleNS,
		"acct.residual_ns":               &r.Accounting.ResidualNS,
		"acct.max_thread_residual_ratio": &r.Accounting.MaxThreadResidualRatio,
		"offcpu.stack_policy":            &r.OffCPU.StackPolicy,
		"offcpu.short_total_ns":          &r.OffCPU.ShortTotalNS,
		"offcpu.below_min_block":         &r.OffCPU.BelowMinBlock,
		"cost.bpf_ns":                    &r.Cost.BPFNS,
		"cost.bpf_runs":                  &r.Cost.BPFRuns,
		"cost.bpf_method":                &r.Cost.BPFMethod,
		"cost.agent_cpu_ns":              &r.Cost.AgentCPUNS,
		"cost.peak_rss_bytes":            &r.Cost.PeakRSSBytes,
		"cost.map_bytes":                 &r.Cost.MapBytes,
		"kernel":                         &r.Kernel,
		"arch":                           &r.Arch,
		"assay_version":                  &r.AssayVersion,
	}
}

// set parses value into field, and tells whether there is a field and value fits it.
func set(field any, value string) bool {
	fact := facts.Facts{{Value: value}}
	ok := true
	switch field := field.(type) {
	case **string:
		*field = &value
	case *[]string:
		*field = strings.Split(value, ",")
	case **int64:
		var n int64
		if n, ok = fact.Int(""); ok {
			*field = &n
		}
	case **float64:
		var x float64
		if x, ok = fact.Float(""); ok {
			*field = &x
		}
	default:
		ok = false
	}
	return ok
}

// setGrouped takes the facts of which there is one for each cause, reason or message.
func (r *Record) setGrouped(key, value string) bool {
	group, name, _ := strings.Cut(key, ".")
	counts := map[string]*map[string]int64{"lost": &r.Lost, "lost_ns": &r.LostNS, "unnamed": &r.Unnamed, "guessed_ns": &r.GuessedNS, "broken_ns": &r.BrokenNS, "lineless": &r.Lineless}[group]
	lines := map[string]*[]string{"warning": &r.Warnings, "degraded": &r.Degraded, "unnamed_in": &r.UnnamedIn, "unwind_fault": &r.UnwindFaults, "certified": &r.Certified}[group]
	switch {
	case name == "":
		return false
	case lines != nil:
		*lines = append(*lines, value)
		return true
	case counts != nil:
		return setCount(counts, name, value)
	}
	return false
}

func setCount(counts *map[string]int64, name, value string) bool {
	n, err := strconv.ParseInt(value, 10, 64)
	if err != nil {
		return false
	}
	if *counts == nil {
		*counts = map[string]int64{}
	}
	(*counts)[name] = n
	return true
}

// byCount returns the names of counts, the largest count first.
func byCount(counts map[string]int64) []string {
	names := slices.Sorted(maps.Keys(counts))
	slices.SortStableFunc(names, func(a, b string) int { return cmp.Compare(counts[b], counts[a]) })
	return names
}
