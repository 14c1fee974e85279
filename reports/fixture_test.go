// SPDX-License-Identifier: Apache-2.0

package reports

import (
	"bytes"
	"flag"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/pprof/profile"

	"github.com/assaylab/assay/internal/facts"
)

var update = flag.Bool("update", false, "write the golden files anew")

// golden compares what report writes with testdata/name.
func golden(t *testing.T, name string, report func(io.Writer) error) {
	t.Helper()
	var got bytes.Buffer
	if err := report(&got); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, got.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got.String()); diff != "" {
		t.Errorf("%s: %s", path, diff)
	}
}

// A builder makes profiles of stacks that are written down as text.
type builder struct {
	p         *profile.Profile
	locations map[string]*profile.Location
}

func newBuilder(types ...string) *builder {
	p := &profile.Profile{PeriodType: &profile.ValueType{}}
	for _, t := range types {
		name, unit, _ := strings.Cut(t, "/")
		p.SampleType = append(p.SampleType, &profile.ValueType{Type: name, Unit: unit})
	}
	p.Mapping = []*profile.Mapping{
		{ID: 1, Start: 0x400000, Limit: 0x500000, Offset: 0x1000, File: "/usr/lib/libfoo.so"},
		{ID: 2, Start: 0xffffffff80000000, Limit: 0xffffffffffffffff, File: "[kernel.kallsyms]"},
	}
	return &builder{p, map[string]*profile.Location{}}
}

// add adds a sample. A stack is written leaf first; "k:" begins a frame of the kernel, "?" is an unnamed one in libfoo.so, "?k" in the kernel, "?0" in no
// file, and "+" joins inlined frames, the innermost first.
func (b *builder) add(comm string, tid int64, stack []string, values ...int64) *profile.Sample {
	s := &profile.Sample{Value: values, NumLabel: map[string][]int64{"tid": {tid}}}
	if comm != "" {
		s.Label = map[string][]string{"comm": {comm}}
	}
	for _, f := range stack {
		s.Location = append(s.Location, b.location(f))
	}
	b.p.Sample = append(b.p.Sample, s)
	return s
}

func (b *builder) location(text string) *profile.Location {
	if l := b.locations[text]; l != nil {
		return l
	}
	id := uint64(len(b.p.Location) + 1)
	l := &profile.Location{ID: id, Mapping: b.p.Mapping[0], Address: 0x400000 + 16*id}
	names, inKernel := strings.CutPrefix(text, "k:")
	if inKernel || text == "?k" {
		l.Mapping, l.Address = b.p.Mapping[1], 0xffffffff80000000+16*id
	}
	if text == "?0" {
		l.Mapping, l.Address = nil, 0x7f0000000000+16*id
	}
	if !strings.HasPrefix(text, "?") {
		for name := range strings.SplitSeq(names, "+") {
			l.Line = append(l.Line, profile.Line{Function: b.function(name)})
		}
	}
	b.locations[text] = l
	b.p.Location = append(b.p.Location, l)
	return l
}

func (b *builder) function(name string) *profile.Function {
	f := &profile.Function{ID: uint64(len(b.p.Function) + 1), Name: name}
	b.p.Function = append(b.p.Function, f)
	return f
}

// recording returns a profile such as a whole-machine recording of all modes makes, with each fact that is known.
func recording(t testing.TB) *profile.Profile {
	t.Helper()
	b := newBuilder("samples/count", "cpu/nanoseconds", "off_cpu/nanoseconds", "wall/nanoseconds")
	b.p.DefaultSampleType = "cpu"
	const tick = 10_309_278
	cpu := func(comm string, tid, n int64, stack ...string) {
		b.add(comm, tid, stack, n, n*tick, 0, n*tick)
	}
	cpu("burn", 11, 700, "hot", "work", "main")
	cpu("burn", 12, 200, "warm", "work", "main")
	cpu("burn", 12, 60, "leaf+inlined", "work", "work", "main")
	cpu("curl", 20, 25, "k:copy_user", "k:sys_read", "read", "?", "main")
	cpu("curl", 20, 4, "?k", "k:sys_read", "?0")
	cpu("", 0, 1, []string{}...)
	b.add("burn", 12, []string{"k:schedule", "k:futex_wait", "lock;slow path", "main"}, 0, 0, 3_500_000_000, 3_500_000_000)
	b.add("evil\x1b[31m\n", 30, []string{"k:schedule", "</script><script>alert(1)</script>"}, 0, 0, 1_500_000, 1_500_000)
	b.p.Comments = []string{"something else", recordingFacts().Comment()}
	if err := b.p.CheckValid(); err != nil {
		t.Fatal(err)
	}
	return b.p
}

func recordingFacts() facts.Facts {
	var f facts.Facts
	f.AddDuration("duration_ns", 10*time.Second)
	f.AddInt("start_unix_ns", 1_795_000_000_000_000_000)
	f.Add("modes", "cpu,offcpu,wall")
	f.Add("targets", "the whole machine")
	f.Add("event", "cpu-clock")
	f.AddInt("freq_hz", 97)
	f.AddInt("ncpu", 2)
	f.AddInt("steal_ns", 20_000_000)
	f.AddInt("threads", 134)
	f.AddInt("processes", 21)
	f.AddInt("samples_expected", 1000)
	f.AddInt("samples_taken", 990)
	f.AddInt("samples_idle", 940)
	f.AddInt("lost.throttled", 7)
	f.AddInt("lost.hash_collision", 0)
	f.AddInt("lost.map_full", 3)
	f.AddInt("lost_ns.waits_map_full", 1_200_000)
	f.AddInt("time_ns.whole", 9_900_000_000)
	f.AddInt("time_ns.cut", 90_000_000)
	f.AddInt("time_ns.broken", 9_000_000)
	f.AddInt("time_ns.none", 1_000_000)
	f.AddInt("time_ns.guessed", 0)
	f.AddInt("broken_ns.no_mapping", 2_000_000)
	f.AddInt("broken_ns.table_pending", 7_000_000)
	f.Add("unwind_fault.0", "/usr/lib/libplain.so: broken, table pending 7ms")
	f.AddInt("acct.oncpu_ns", 10_206_185_220)
	f.AddInt("acct.runqueue_woken_ns", 210_000_000)
	f.AddInt("acct.runqueue_preempted_ns", 40_000_000)
	f.AddInt("acct.offcpu_interruptible_ns", 1_320_000_000_000)
	f.AddInt("acct.offcpu_uninterruptible_ns", 3_000_000_000)
	f.AddInt("acct.offcpu_stopped_ns", 0)
	f.AddInt("acct.offcpu_idle_ns", 20_000_000_000)
	f.AddInt("acct.wall_ns", 1_353_456_285_221)
	f.AddInt("acct.residual_ns", 100_001)
	f.AddFloat("acct.max_thread_residual_ratio", 0.0012)
	f.Add("offcpu.stack_policy", "all waits over 1ms, shorter ones in proportion to their time")
	f.AddInt("offcpu.short_total_ns", 90_210_000)
	f.AddInt("offcpu.below_min_block", 30)
	f.AddInt("unnamed.no_symbols", 2)
	f.AddInt("unnamed.no_mapping", 1)
	f.Add("unnamed_in.0", "/usr/lib/libplain.so: 2 no symbols (stripped)")
	f.Add("unnamed_in.1", "no mapping: 1 address outside every mapping")
	f.AddInt("cost.bpf_ns", 4_100_000)
	f.AddInt("cost.bpf_runs", 1930)
	f.Add("cost.bpf_method", "timing one run in 16")
	f.AddInt("cost.agent_cpu_ns", 61_000_000)
	f.AddInt("cost.peak_rss_bytes", 47_185_920)
	f.AddInt("cost.map_bytes", 12_582_912)
	f.Add("warning.1", "kernel addresses are hidden, so that its functions have no names: sysctl -w kernel.kptr_restrict=1, or record as root")
	f.Add("degraded.1", "no hardware counters: cpu-clock samples between timer ticks only")
	f.Add("kernel", "6.18.0")
	f.Add("arch", "x86_64")
	f.Add("assay_version", "0.1.0")
	f.Add("future.fact", "tells\nsomething")
	f.Add("samples_late", "12")
	return f
}

// bare returns a profile that another tool made: no facts, no threads, no times.
func bare(t testing.TB) *profile.Profile {
	t.Helper()
	b := newBuilder("alloc_objects/count", "alloc_space/bytes")
	b.add("", 0, []string{"main.grow", "main.main"}, 3, 3<<20)
	b.add("", 0, []string{"main.main"}, 1, 512)
	if err := b.p.CheckValid(); err != nil {
		t.Fatal(err)
	}
	return b.p
}
