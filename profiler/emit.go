// SPDX-License-Identifier: Apache-2.0

package profiler

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/google/pprof/profile"

	"github.com/assaylab/assay/bpf"
	"github.com/assaylab/assay/profiler/annotate"
	"github.com/assaylab/assay/profiler/internal/sysno"
	"github.com/assaylab/assay/profiler/python"
)

// Recording is what [Record] gives: the profile, and the files behind its mappings, which are held open for
// who wants to name its frames.
type Recording struct {
	Profile *profile.Profile
	Stops   []Stop // with Options.Stop, in the order in which they came

	command   *command
	objects   *objects
	behind    map[*profile.Mapping]*object
	closeRest func() error
}

// Stop is a sample that stopped its thread.
type Stop struct {
	At      uint64 // CLOCK_MONOTONIC, ns
	Sample  *profile.Sample
	Quality Quality // of its stack
	Reason  string  // why it is broken or guessed
}

// Object opens the file that a mapping of the profile shows.
func (r *Recording) Object(m *profile.Mapping) (*OpenFile, error) {
	o := r.behind[m]
	if o == nil {
		return nil, fmt.Errorf("%s: %w", m.File, os.ErrNotExist)
	}
	return o.content()
}

// PerfMap opens the perf map of the process behind a mapping of anonymous memory: /tmp/perf-PID.map in the file system and
// by the PID that the process itself sees.
func (r *Recording) PerfMap(m *profile.Mapping) (*os.File, error) {
	o := r.behind[m]
	if o == nil || o.root == nil {
		return nil, fmt.Errorf("%s: %w", m.File, os.ErrNotExist)
	}
	return o.openPerfMap()
}

// JITDump opens the jitdump of the process behind a mapping of anonymous memory, of which that process tells by mapping it as code.
func (r *Recording) JITDump(m *profile.Mapping) (io.ReadCloser, error) {
	o := r.behind[m]
	if o == nil || o.dump == nil || o.dump.file == nil {
		return nil, fmt.Errorf("%s: %w", m.File, os.ErrNotExist)
	}
	st, err := o.dump.file.Stat()
	if err != nil {
		return nil, err
	}
	return io.NopCloser(io.NewSectionReader(o.dump.file, 0, st.Size())), nil
}

// Wait waits for the end of the command, which may outlive the recording, and returns its exit status as a shell would
// tell it. Without a command it is 0.
func (r *Recording) Wait() (exitCode int, err error) {
	if r.command == nil {
		return 0, nil
	}
	<-r.command.done
	return r.command.code, r.command.err
}

// Signal sends a signal to the command, if there is one that still runs.
func (r *Recording) Signal(s os.Signal) error {
	if r.command == nil {
		return nil
	}
	err := r.command.cmd.Process.Signal(s)
	if errors.Is(err, os.ErrProcessDone) {
		return nil
	}
	return err
}

// Close closes the files behind the mappings.
func (r *Recording) Close() error { return r.closeRest() }

// The sample types of each mode, in the order of the values of a sample.
var sampleTypes = []struct {
	mode Mode
	typ  profile.ValueType
}{
	{CPU, profile.ValueType{Type: "samples", Unit: "count"}},
	{CPU, profile.ValueType{Type: "cpu", Unit: "nanoseconds"}},
	{OffCPU, profile.ValueType{Type: "off_cpu_events", Unit: "count"}},
	{OffCPU, profile.ValueType{Type: "off_cpu", Unit: "nanoseconds"}},
	{OffCPU, profile.ValueType{Type: "runqueue", Unit: "nanoseconds"}},
	{Wall, profile.ValueType{Type: "wall", Unit: "nanoseconds"}},
}

// values are all numbers of a sample, before those of modes not asked for are left out.
type values struct {
	samples, cpu, events, off, runq, wall int64
}

func (v values) pick(modes []Mode) []int64 {
	all := []int64{v.samples, v.cpu, v.events, v.off, v.runq, v.wall}
	var out []int64
	for i, t := range sampleTypes {
		if slices.Contains(modes, t.mode) {
			out = append(out, all[i])
		}
	}
	return out
}

// emitter builds the profile.
type emitter struct {
	rec       *Recorder
	p         *profile.Profile
	behind    map[*profile.Mapping]*object
	mappings  map[mappingKey]*profile.Mapping
	locations map[locationKey]*profile.Location
	functions map[string]*profile.Location // frames that we make up
	modules   []module

	pythonFunctions map[pythonFrame]*profile.Function // by all but the line
	pythonLines     map[pythonFrame]*profile.Location

	quality stackTimes
	stops   []Stop
}

type mappingKey struct {
	path, buildID string
	start         uint64
	pid           int // of memory that is each process' own
}

type locationKey struct {
	m    *profile.Mapping
	addr uint64
}

func (r *Recorder) emit() (*Recording, error) {
	modules, err := readModules()
	if err != nil {
		r.degraded = append(r.degraded, err.Error())
	}
	e := &emitter{
		rec: r, modules: modules,
		p:        &profile.Profile{TimeNanos: r.start.UnixNano(), DurationNanos: r.end.Sub(r.start).Nanoseconds()},
		behind:   map[*profile.Mapping]*object{},
		mappings: map[mappingKey]*profile.Mapping{}, locations: map[locationKey]*profile.Location{},
		functions: map[string]*profile.Location{}, quality: stackTimes{by: map[Quality]int64{}, why: map[verdict]int64{}},
		pythonFunctions: map[pythonFrame]*profile.Function{}, pythonLines: map[pythonFrame]*profile.Location{},
	}
	e.setTypes()
	scales := newScales(r.agg.threads, r.agg.counts)
	r.agg.imputeUserStacks()
	for _, key := range sortedKeys(r.agg.counts) {
		e.add(key, r.agg.counts[key], scales)
	}
	if r.opts.accounts() {
		e.addRests(scales)
	}
	facts, err := r.facts(e, scales)
	if err != nil {
		return nil, err
	}
	e.p.Comments = []string{facts.Comment()}
	slices.SortFunc(e.stops, func(a, b Stop) int { return cmp.Compare(a.At, b.At) })
	rec := &Recording{Profile: e.p, Stops: e.stops, objects: r.objects, behind: e.behind, command: r.command}
	objects, maps := r.objects, r.javaMaps
	rec.closeRest, r.objects, r.javaMaps = func() error { return errors.Join(maps.remove(), objects.close()) }, nil, nil
	return rec, r.close()
}

func (e *emitter) setTypes() {
	modes := e.rec.opts.Modes
	for _, t := range sampleTypes {
		if slices.Contains(modes, t.mode) {
			e.p.SampleType = append(e.p.SampleType, &profile.ValueType{Type: t.typ.Type, Unit: t.typ.Unit})
		}
	}
	e.p.PeriodType, e.p.Period = &profile.ValueType{Type: "cpu", Unit: "nanoseconds"}, e.rec.period()
	if !e.rec.opts.samples() {
		e.p.PeriodType, e.p.Period = &profile.ValueType{Type: "off_cpu", Unit: "nanoseconds"}, 1
	}
	e.p.DefaultSampleType = e.p.SampleType[len(e.p.SampleType)-1].Type
	for _, want := range []string{"cpu", "off_cpu", "wall"} {
		if slices.ContainsFunc(e.p.SampleType, func(t *profile.ValueType) bool { return t.Type == want }) {
			e.p.DefaultSampleType = want
			break
		}
	}
}

// period is the CPU time that one sample stands for, in nanoseconds.
func (r *Recorder) period() int64 { return int64(time.Second) / int64(r.opts.Freq) }

// sortedKeys gives the keys in an order that does not depend on the map.
func sortedKeys(counts map[countKey]*bpf.CountValue) []countKey {
	keys := make([]countKey, 0, len(counts))
	for k := range counts {
		keys = append(keys, k)
	}
	slices.SortFunc(keys, func(a, b countKey) int {
		return cmp.Or(cmp.Compare(a.Tgid, b.Tgid), cmp.Compare(a.Tid, b.Tid), cmp.Compare(a.Kind, b.Kind),
			cmp.Compare(counts[a].FirstNs, counts[b].FirstNs), cmp.Compare(a.UserStack, b.UserStack),
			cmp.Compare(a.KernelStack, b.KernelStack))
	})
	return keys
}

// add turns one line of counts into samples.
func (e *emitter) add(key countKey, v *bpf.CountValue, scales *scales) {
	locs := e.stackOf(key, v.FirstNs)
	s := scales.of(key)
	switch key.Kind {
	case bpf.KindCPU:
		cpu := int64(v.Count) * e.rec.period()
		verdict := e.verdict(key)
		e.quality.add(verdict, cpu)
		e.sample(key, locs, values{samples: int64(v.Count), cpu: cpu, wall: round(float64(v.Count) * s.perSample)}, labels{state: "running"})
		if e.rec.opts.Stop {
			e.stops = append(e.stops, Stop{At: v.FirstNs, Sample: e.p.Sample[len(e.p.Sample)-1], Quality: verdict.quality, Reason: verdict.reason})
		}
	case bpf.KindBlocked, bpf.KindSampled:
		scale, queued := 1.0, 1.0
		if key.Kind == bpf.KindSampled {
			scale, queued = s.off, s.queued
		}
		off, runq := round(float64(v.Ns)*scale), round(float64(v.RunqNs)*queued)
		e.quality.add(e.verdict(key), off+runq)
		e.sample(key, locs, values{events: int64(v.Weight), off: off, wall: off}, labels{state: bpf.StateName(key.State), waiting: true})
		if runq > 0 {
			e.sample(key, locs, values{runq: runq, wall: runq}, labels{state: "runnable", runqueue: "woken"})
		}
	case bpf.KindPreempted, bpf.KindPreemptedSampled:
		scale := 1.0
		if key.Kind == bpf.KindPreemptedSampled {
			scale = s.preempted
		}
		runq := round(float64(v.Ns) * scale)
		e.quality.add(e.verdict(key), runq)
		e.sample(key, locs, values{runq: runq, wall: runq}, labels{state: "runnable", runqueue: "preempted"})
	}
}

func round(f float64) int64 { return int64(f + 0.5) }

// labels are those that depend on the kind of time.
type labels struct {
	state, runqueue string
	waiting         bool
}

func (e *emitter) sample(key countKey, locs []*profile.Location, v values, l labels) {
	vals := v.pick(e.rec.opts.Modes)
	if !slices.ContainsFunc(vals, func(n int64) bool { return n != 0 }) {
		return
	}
	if e.rec.opts.has(Wall) {
		name := fmt.Sprintf("thread %s (%d)", bpf.CommString(key.Comm), key.Tid)
		locs = append(slices.Clip(locs), e.made(name))
	}
	s := &profile.Sample{Location: locs, Value: vals, Label: map[string][]string{}, NumLabel: map[string][]int64{}, NumUnit: map[string][]string{}}
	s.NumLabel["pid"], s.NumLabel["tid"] = []int64{int64(key.Tgid)}, []int64{int64(key.Tid)}
	set := func(name, value string) {
		if value != "" {
			s.Label[name] = []string{value}
		}
	}
	set("comm", bpf.CommString(key.Comm))
	if p := e.rec.procs.table[int(key.Tgid)]; p != nil {
		set("cgroup", p.cgroup)
		set("container_id", containerOf(p.cgroup))
	}
	if key.Kind != bpf.KindCPU || e.rec.opts.accounts() {
		set("thread_state", l.state)
	}
	set("runqueue", l.runqueue)
	if l.waiting {
		set("syscall", syscallName(key.Syscall))
		if key.Syscall == bpf.NoSyscall && key.Flags&bpf.KeyKernelThread == 0 {
			set("syscall", "none")
		}
	}
	if key.Cpu != bpf.NoCPU {
		s.NumLabel["cpu"], s.NumUnit["cpu"] = []int64{int64(key.Cpu)}, []string{"cpu"}
	}
	e.rec.agg.golang.addTo(s, key.Labels)
	e.p.Sample = append(e.p.Sample, s)
}

// stackOf is the whole stack of a line, leaf first: with --wakers who woke it, then kernel, then user frames.
func (e *emitter) stackOf(key countKey, at uint64) []*profile.Location {
	var locs []*profile.Location
	if key.WakerTid != 0 {
		// The waker's stack stands on its head, so that the waits meet at their own roots.
		waker := append(e.kernelFrames(key.WakerKernelStack, false), e.userFrames(e.rec.procs.imageAt(int(key.WakerTgid), at), key.WakerUserStack, at, true)...)
		slices.Reverse(waker)
		locs = append(locs, waker...)
		locs = append(locs, e.made(annotate.WokenBy+bpf.CommString(key.WakerComm)+"]"))
	}
	locs = append(locs, e.kernelFrames(key.KernelStack, key.Kind == bpf.KindCPU)...)
	if key.Flags&bpf.KeyKernelThread != 0 {
		return locs
	}
	// In a system call the thread's PC is the address to return to; in an interrupt or a fault, it is where it was.
	user := e.userFrames(key.image, key.UserStack, at, key.Syscall != bpf.NoSyscall)
	if len(user) == 0 && key.Flags&bpf.KeyNoUserStack != 0 {
		user = []*profile.Location{e.made("[user stack not taken]")}
	}
	if len(locs)+len(user) == 0 {
		return []*profile.Location{e.made("[no stack]")}
	}
	return append(locs, user...)
}

// kernelFrames are the frames of a kernel stack. All but the leaf of an interrupted thread are return addresses: the
// call is the instruction before.
func (e *emitter) kernelFrames(id uint64, leafIsExact bool) []*profile.Location {
	st, ok := e.rec.agg.stacks[id]
	if !ok {
		return e.missing(id)
	}
	locs := make([]*profile.Location, 0, len(st.frames)+8)
	for i, addr := range st.frames {
		if i > 0 || !leafIsExact {
			addr--
		}
		locs = append(locs, e.location(e.kernelMapping(addr), addr))
	}
	return locs
}

// withPython puts the frames of Python that a stack runs into it.
func (e *emitter) withPython(native []userFrame, st stack) []userFrame {
	if st.python == 0 {
		return native
	}
	py, ok := e.rec.agg.python.stacks[st.python]
	if !ok {
		return append([]userFrame{{loc: e.made("[Python stack lost]")}}, native...)
	}
	frames := make([]userFrame, len(py.frames))
	for i, f := range py.frames {
		frames[i] = userFrame{loc: e.pythonLocation(*f), entry: f.entry}
	}
	return python.Merge(native, func(f userFrame) bool { return f.loop }, st.end == bpf.UserWhole && py.end == bpf.PythonWhole,
		frames, func(f userFrame) bool { return f.entry })
}

// pythonLocation is a line of a function of Python. It has no address.
func (e *emitter) pythonLocation(f pythonFrame) *profile.Location {
	if f.function == "" {
		return e.made("[Python function lost]")
	}
	f.entry = false
	l := e.pythonLines[f]
	if l != nil {
		return l
	}
	function := pythonFrame{function: f.function, file: f.file, firstLine: f.firstLine}
	fn := e.pythonFunctions[function]
	if fn == nil {
		// A system name of its own keeps pprof from demangling names like <module>, which it takes for C++ and leaves nothing of.
		fn = &profile.Function{
			ID: uint64(len(e.p.Function) + 1), Name: f.function, SystemName: f.file + ":" + f.function,
			Filename: f.file, StartLine: int64(f.firstLine),
		}
		e.p.Function = append(e.p.Function, fn)
		e.pythonFunctions[function] = fn
	}
	l = &profile.Location{ID: uint64(len(e.p.Location) + 1), Line: []profile.Line{{Function: fn, Line: int64(f.line)}}}
	e.p.Location = append(e.p.Location, l)
	e.pythonLines[f] = l
	return l
}

// missing stands for a stack that user space never got.
func (e *emitter) missing(id uint64) []*profile.Location {
	if id == 0 {
		return nil
	}
	return []*profile.Location{e.made("[stack lost]")}
}

func (e *emitter) userFrames(im *image, id, at uint64, leafReturns bool) []*profile.Location {
	st, ok := e.rec.agg.stacks[id]
	if !ok {
		return e.missing(id)
	}
	var frames []userFrame
	for i, addr := range st.frames {
		if i > 0 || leafReturns {
			addr--
		}
		f, mapped := e.userLocation(im, addr, at)
		frames = append(frames, f)
		if !mapped && im != nil {
			break // what follows a frame outside all code is noise
		}
	}
	return locationsOf(e.withPython(frames, st))
}

// userFrame is a frame of a user stack: a native one, or one of Python.
type userFrame struct {
	loc   *profile.Location
	loop  bool // native: it runs frames of Python
	entry bool // of Python: the outermost that one native frame runs
}

func locationsOf(frames []userFrame) []*profile.Location {
	locs := make([]*profile.Location, len(frames))
	for i, f := range frames {
		locs[i] = f.loc
	}
	return locs
}

// userLocation is an address of a process, in terms of the file behind it where there is one.
func (e *emitter) userLocation(im *image, addr, at uint64) (f userFrame, mapped bool) {
	var m *timedMapping
	if im != nil {
		m = im.find(addr, at)
	}
	if m == nil {
		return userFrame{loc: e.location(nil, addr)}, false
	}
	if m.obj == nil {
		m.obj = e.rec.objects.of(im.pid, &m.mapping)
	}
	pm, base := e.userMapping(im, m, addr)
	f.loc = e.location(pm, addr-base)
	if l := e.rec.agg.python.known[m.obj].library; l != nil {
		f.loop = l.InLoop(addr - base)
	}
	return f, true
}

// userMapping is the profile's mapping for one of a process, and what to subtract from addresses in it. A file that could be read gets
// one mapping at the addresses that the file itself names (as symbolizers and disassemblers want), whatever
// place it has in each process; else the mapping is the process' own.
func (e *emitter) userMapping(im *image, m *timedMapping, addr uint64) (pm *profile.Mapping, base uint64) {
	o := m.obj
	key := mappingKey{path: m.path, buildID: o.buildID, start: m.start, pid: im.pid}
	pm = &profile.Mapping{Start: m.start, Limit: m.end, Offset: m.off, File: m.path, BuildID: o.buildID}
	switch {
	case o.anon:
		o.dump = im.dump
		pm.File = fmt.Sprintf("[anon pid %d]", im.pid)
	case m.path == vdsoName:
		base = m.start
		key = mappingKey{path: m.path}
		pm.Start, pm.Limit, pm.Offset = 0, m.end-m.start, 0
	case len(o.loads) > 0:
		if seg, ok := o.segment(addr - m.start + m.off); ok {
			page := seg.Off & 0xfff
			pm.Start, pm.Limit, pm.Offset = seg.Vaddr-page, seg.Vaddr+seg.Memsz, seg.Off-page
			base = m.start - m.off + seg.Off - seg.Vaddr
			key = mappingKey{path: m.path, buildID: o.buildID, start: pm.Start}
		}
	}
	if old := e.mappings[key]; old != nil {
		return old, base
	}
	pm.File = strings.TrimSuffix(pm.File, " (deleted)")
	e.addMapping(key, pm)
	e.behind[pm] = o
	return pm, base
}

func (e *emitter) addMapping(key mappingKey, m *profile.Mapping) {
	m.ID = uint64(len(e.p.Mapping) + 1)
	e.mappings[key] = m
	e.p.Mapping = append(e.p.Mapping, m)
}

func (e *emitter) kernelMapping(addr uint64) *profile.Mapping {
	m := findModule(e.modules, addr)
	key := mappingKey{path: m.name, start: m.start}
	pm := e.mappings[key]
	if pm == nil {
		pm = &profile.Mapping{Start: m.start, Limit: m.end, Offset: m.start, File: m.name}
		if m.name == kernelName {
			pm.BuildID = kernelBuildID()
		}
		e.addMapping(key, pm)
	}
	return pm
}

func (e *emitter) location(m *profile.Mapping, addr uint64) *profile.Location {
	key := locationKey{m, addr}
	l := e.locations[key]
	if l == nil {
		l = &profile.Location{ID: uint64(len(e.p.Location) + 1), Mapping: m, Address: addr}
		e.locations[key] = l
		e.p.Location = append(e.p.Location, l)
	}
	return l
}

// made is a frame that stands for something other than code; its name has brackets.
func (e *emitter) made(name string) *profile.Location {
	l := e.functions[name]
	if l == nil {
		f := &profile.Function{ID: uint64(len(e.p.Function) + 1), Name: name, SystemName: name}
		e.p.Function = append(e.p.Function, f)
		l = &profile.Location{ID: uint64(len(e.p.Location) + 1), Line: []profile.Line{{Function: f}}}
		e.p.Location = append(e.p.Location, l)
		e.functions[name] = l
	}
	return l
}

// syscallName is the name of a system call, "" for none.
func syscallName(nr int32) string {
	if nr < 0 {
		return ""
	}
	return sysno.Name(nr)
}
