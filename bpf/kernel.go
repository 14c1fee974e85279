// SPDX-License-Identifier: Apache-2.0

package bpf

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/btf"
	"github.com/cilium/ebpf/link"
	"github.com/cilium/ebpf/ringbuf"
)

// Kernel is a set of loaded programs with their maps. Its methods may be called
// by one goroutine at a time, but for [Kernel.ReadRing], which has its own.
type Kernel struct {
	cache  *btf.Cache // the kernel's types, decoded once for all objects
	config Config
	facts  kernelFacts
	maps   map[string]*ebpf.Map
	progs  map[string]*ebpf.Program
	links  []io.Closer
	ring   *ringbuf.Reader
	slabs  []*ebpf.Map
	tables [2]*ebpf.Map
	active int
	blind  bool // sweeps can't read user memory
}

// family is one object and the programs of it that a configuration needs.
type family struct {
	load     func() (*ebpf.CollectionSpec, error)
	programs []string
	spec     *ebpf.CollectionSpec // of the object, once it is open
}

// families are the objects that a configuration needs. Those of samples and of sweeps have the programs of process.bpf.h: they are
// loaded from the first.
func (c *Config) families() []family {
	var all []family
	if c.CPU {
		all = append(all, family{load: LoadSample, programs: []string{SampleProgramName}})
	}
	if c.OffCPU || !c.CPU {
		all = append(all, family{load: LoadSweep})
	}
	all[0].programs = append(all[0].programs, c.processPrograms()...)
	if c.OffCPU {
		sweep := &all[len(all)-1]
		sweep.programs = append(sweep.programs, "assay_open", "assay_close")
		all = append(all, family{load: LoadSwitch, programs: []string{"assay_switch", "assay_waking"}})
	}
	return all
}

func (c *Config) processPrograms() []string {
	programs := []string{"assay_exec"}
	if c.CPU {
		programs = append(programs, "assay_sum")
	}
	if c.CPU || c.PIDs {
		programs = append(programs, "assay_free")
	}
	if c.PIDs || c.Tables {
		programs = append(programs, "assay_fork")
	}
	return programs
}

// Load loads what config asks for. Nothing is attached yet. It needs CAP_BPF and CAP_PERFMON.
func Load(config Config) (*Kernel, error) {
	cache := btf.NewCache()
	types, err := kernelTypes(cache)
	if err != nil {
		return nil, err
	}
	facts, err := readKernelFacts(types)
	if err != nil {
		return nil, err
	}
	k := &Kernel{cache: cache, config: config, facts: facts, maps: map[string]*ebpf.Map{}, progs: map[string]*ebpf.Program{}}
	if err := k.load(types); err != nil {
		return nil, errors.Join(err, k.Close())
	}
	return k, nil
}

func kernelTypes(cache *btf.Cache) (*btf.Spec, error) {
	types, err := cache.Kernel()
	if errors.Is(err, os.ErrNotExist) || errors.Is(err, ebpf.ErrNotSupported) {
		return nil, errNoBTF
	} else if err != nil {
		return nil, fmt.Errorf("kernel types: %w", err)
	}
	return types, nil
}

// mayLoad loads the smallest program of the kind that needs all our rights, so that their lack is told as such: what the library says of
// a map that was refused depends on the map.
func mayLoad() error {
	p, err := ebpf.NewProgram(&ebpf.ProgramSpec{
		Type: ebpf.PerfEvent, License: "Dual BSD/GPL", Instructions: asm.Instructions{asm.Mov.Imm(asm.R0, 0), asm.Return()},
	})
	if err != nil {
		return plainLoadError(err)
	}
	return p.Close()
}

func (k *Kernel) load(types *btf.Spec) (err error) {
	if err := mayLoad(); err != nil {
		return err
	}
	constants := k.config.constants()
	families := k.config.families()
	for i := range families {
		if err := families[i].open(constants); err != nil {
			return err
		}
		if err := k.facts.fit(families[i].spec); err != nil {
			return err
		}
		if err := k.makeMaps(families[i].spec); err != nil {
			return err
		}
	}
	if err := k.loadAll(families, types); err != nil {
		return err
	}
	k.tables = [2]*ebpf.Map{k.maps["counts_a"], k.maps["counts_b"]}
	if k.ring, err = ringbuf.NewReader(k.maps["records"]); err != nil {
		return fmt.Errorf("ring buffer: %w", err)
	}
	return nil
}

// open reads the object of a family and sets its constants.
func (f *family) open(constants map[string]any) (err error) {
	if f.spec, err = f.load(); err != nil {
		return fmt.Errorf("eBPF object: %w", err)
	}
	if kept, ok := f.spec.Maps["unwind_kept"]; ok && constants["with_tables"] == true {
		cpus, err := ebpf.PossibleCPU()
		if err != nil {
			return fmt.Errorf("number of CPUs: %w", err)
		}
		kept.MaxEntries = uint32(cpus)
	}
	return set(f.spec, constants)
}

// makeMaps makes the maps of an object that no object before it had.
func (k *Kernel) makeMaps(spec *ebpf.CollectionSpec) error {
	missing := maps.Clone(spec.Maps)
	maps.DeleteFunc(missing, func(name string, _ *ebpf.MapSpec) bool { return k.maps[name] != nil || !isShared(name) })
	coll, err := ebpf.NewCollection(&ebpf.CollectionSpec{Maps: missing})
	if err != nil {
		return plainLoadError(err)
	}
	maps.Copy(k.maps, coll.Maps)
	clear(coll.Maps) // they are ours now
	coll.Close()
	return nil
}

// loadAll loads the programs of all families at once: each keeps a verifier busy for a while.
func (k *Kernel) loadAll(families []family, types *btf.Spec) error {
	type loaded struct {
		coll  *ebpf.Collection
		blind bool
		err   error
	}
	results := make([]loaded, len(families))
	var all sync.WaitGroup
	for i, f := range families {
		all.Go(func() {
			r := &results[i]
			r.coll, r.blind, r.err = k.loadFamily(f, types)
		})
	}
	all.Wait()
	var first error // the others mostly say the same
	for _, r := range results {
		if first == nil {
			first = r.err
		}
		k.blind = k.blind || r.blind
		if r.coll == nil {
			continue
		}
		maps.Copy(k.progs, r.coll.Programs)
		clear(r.coll.Programs)
		r.coll.Close()
	}
	return first
}

// loadFamily loads the programs of one object.
func (k *Kernel) loadFamily(f family, types *btf.Spec) (coll *ebpf.Collection, blind bool, err error) {
	coll, err = k.newCollection(f, types)
	if errors.Is(err, ebpf.ErrNotSupported) || isVerifierError(err) {
		if f, blind = blindSweeps(f); blind {
			coll, err = k.newCollection(f, types)
		}
	}
	if err != nil {
		return nil, false, plainLoadError(err)
	}
	return coll, blind, nil
}

func (k *Kernel) newCollection(f family, types *btf.Spec) (*ebpf.Collection, error) {
	spec := *f.spec // what is in it isn't written to
	spec.Programs = maps.Clone(spec.Programs)
	maps.DeleteFunc(spec.Programs, func(name string, _ *ebpf.ProgramSpec) bool { return !slices.Contains(f.programs, name) })
	shared := map[string]*ebpf.Map{}
	for name := range spec.Maps {
		if m, ok := k.maps[name]; ok {
			shared[name] = m
		}
	}
	return ebpf.NewCollectionWithOptions(&spec, ebpf.CollectionOptions{
		Cache:           k.cache,
		Programs:        ebpf.ProgramOptions{KernelTypes: types},
		MapReplacements: shared,
	})
}

// isShared says whether a map is one for all objects; the compiler's own sections (.rodata) are each object's.
func isShared(name string) bool { return !strings.HasPrefix(name, ".") }

// blindSweeps names the programs of f that do without reading user memory.
func blindSweeps(f family) (family, bool) {
	out, changed := family{spec: f.spec}, false
	for _, name := range f.programs {
		if name == "assay_open" || name == "assay_close" {
			name, changed = name+"_blind", true
		}
		out.programs = append(out.programs, name)
	}
	return out, changed
}

func isVerifierError(err error) bool {
	var v *ebpf.VerifierError
	return errors.As(err, &v)
}

func plainLoadError(err error) error {
	if errors.Is(err, os.ErrPermission) && !isVerifierError(err) {
		return fmt.Errorf("the kernel refuses eBPF: run as root, or with CAP_BPF and CAP_PERFMON (`assay doctor` says which is missing): %w", err)
	}
	return err
}

// Attach attaches the programs that hang on tracepoints. CPU sampling is attached by the
// owner of the perf events, with [Kernel.SampleProgram].
func (k *Kernel) Attach() error {
	for _, name := range []string{"assay_free", "assay_fork", "assay_exec", "assay_waking", "assay_switch"} {
		p, ok := k.progs[name]
		if !ok || name == "assay_waking" && k.facts.rqClock && !k.config.Wakers {
			continue
		}
		l, err := link.AttachTracing(link.TracingOptions{Program: p})
		if err != nil {
			return fmt.Errorf("attach %s: %w", name, err)
		}
		k.links = append(k.links, l)
	}
	return nil
}

// Blind says that threads which wait since before the window have no user stack:
// this kernel's iterators can't read user memory (before 6.1).
func (k *Kernel) Blind() bool { return k.blind }

// SampleProgram is the program to set on each perf event.
func (k *Kernel) SampleProgram() *ebpf.Program { return k.progs[SampleProgramName] }

// AddTarget adds a process to what is recorded; its children too, if asked.
func (k *Kernel) AddTarget(pid int, children bool) error {
	var with uint32
	if children {
		with = 1
	}
	if err := k.maps["targets"].Put(uint32(pid), with); err != nil {
		return fmt.Errorf("target %d: %w", pid, err)
	}
	return nil
}

// AddPython has the frames of Python taken with each user stack of a process.
func (k *Kernel) AddPython(pid int, p PythonProcess) error {
	if err := k.maps["python_processes"].Put(uint32(pid), p); err != nil {
		return fmt.Errorf("frames of Python of process %d: %w", pid, err)
	}
	return nil
}

// RemovePython ends what [Kernel.AddPython] began; of a process that was not added it does nothing.
func (k *Kernel) RemovePython(pid int) error {
	if err := k.maps["python_processes"].Delete(uint32(pid)); err != nil && !errors.Is(err, ebpf.ErrKeyNotExist) {
		return fmt.Errorf("frames of Python of process %d: %w", pid, err)
	}
	return nil
}

// AddGo has the goroutine that runs looked at with each user stack of a process.
func (k *Kernel) AddGo(pid int, p GoProcess) error {
	if err := k.maps["go_processes"].Put(uint32(pid), p); err != nil {
		return fmt.Errorf("goroutines of process %d: %w", pid, err)
	}
	return nil
}

// RemoveGo ends what [Kernel.AddGo] began; of a process that was not added it does nothing.
func (k *Kernel) RemoveGo(pid int) error {
	if err := k.maps["go_processes"].Delete(uint32(pid)); err != nil && !errors.Is(err, ebpf.ErrKeyNotExist) {
		return fmt.Errorf("goroutines of process %d: %w", pid, err)
	}
	return nil
}

// Targets are the processes that were added, and the children that came of them.
func (k *Kernel) Targets() []int {
	var pids []int
	var pid, with uint32
	for all := k.maps["targets"].Iterate(); all.Next(&pid, &with); {
		pids = append(pids, int(pid))
	}
	return pids
}

// RingFD is a file descriptor to poll: it is readable when the programs want the ring to be read.
func (k *Kernel) RingFD() int { return k.maps["records"].FD() }

// ReadRing hands the records that are waiting to h.
func (k *Kernel) ReadRing(h Handler) error {
	k.ring.SetDeadline(time.Now())
	var rec ringbuf.Record
	for {
		err := k.ring.ReadInto(&rec)
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, ringbuf.ErrClosed):
			return nil
		case err != nil:
			return fmt.Errorf("ring buffer: %w", err)
		}
		if _, err := parse(rec.RawSample, h); err != nil {
			return fmt.Errorf("ring buffer: %w", err)
		}
	}
}

// Sweep stages.
const (
	SweepOpen  = "assay_open"  // after [Kernel.OpenWindow]
	SweepClose = "assay_close" // after [Kernel.CloseWindow]
	SweepSum   = "assay_sum"   // see [Kernel.CPUTime]
)

// Sweep runs a program over all threads and hands its records to h.
func (k *Kernel) Sweep(stage string, h Handler) error {
	p := k.progs[stage]
	if k.blind && stage != SweepSum {
		p = k.progs[stage+"_blind"]
	}
	it, err := link.AttachIter(link.IterOptions{Program: p})
	if err != nil {
		return fmt.Errorf("sweep over threads: %w", err)
	}
	err = readRecords(it, h)
	return errors.Join(err, it.Close())
}

func readRecords(it *link.Iter, h Handler) error {
	f, err := it.Open()
	if err != nil {
		return fmt.Errorf("sweep over threads: %w", err)
	}
	r := bufio.NewReaderSize(f, 64<<10)
	for {
		b, err := r.Peek(recordBound)
		if len(b) == 0 {
			if errors.Is(err, io.EOF) {
				err = nil
			}
			return errors.Join(err, f.Close())
		}
		n, err := parse(b, h)
		if err == nil {
			_, err = r.Discard(n)
		}
		if err != nil {
			return errors.Join(fmt.Errorf("sweep over threads: %w", err), f.Close())
		}
	}
}

// recordBound is the length of the longest record of a sweep.
const recordBound = max(stackHeader+8*MaxFrames, labelsHeader+labelBytes*MaxLabels)

// Close detaches and frees everything.
func (k *Kernel) Close() error {
	var errs []error
	for _, l := range k.links {
		errs = append(errs, l.Close())
	}
	k.links = nil
	if k.ring != nil {
		errs = append(errs, k.ring.Close())
	}
	for _, p := range k.progs {
		errs = append(errs, p.Close())
	}
	for _, m := range k.maps {
		errs = append(errs, m.Close())
	}
	for _, m := range k.slabs {
		errs = append(errs, m.Close())
	}
	return errors.Join(errs...)
}
