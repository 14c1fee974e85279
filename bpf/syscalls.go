// SPDX-License-Identifier: Apache-2.0

package bpf

import (
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"time"
	"unsafe"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"
	"github.com/cilium/ebpf/link"
	"github.com/cilium/ebpf/ringbuf"
)

// The shared structs of syscalls.h, as bpf2go reads them from the object.
type (
	CallPlan     = SyscallsCallPlan
	CallRecord   = SyscallsCallRecord
	CallCounters = SyscallsCallCounters
	FileClass    = SyscallsFileClass
)

// What a plan takes of the memory that a call is about (enum call_memory).
const (
	MemoryNone uint8 = iota
	MemoryIovec
	MemoryMsghdr
	MemoryInt
	MemoryLong
	MemoryPair
	MemoryHow
	MemoryFlock
	MemoryOption
	MemoryIoctl
	MemoryAddress
)

// Flags of a plan.
const (
	PlanReturnsFD uint8 = 1 << iota
	PlanForks
	PlanExecs
)

// Flags of a record.
const (
	CallPathUnread uint16 = 1 << iota
	CallMemoryUnread
	CallPathCut
)

const (
	// CallPlans is the number of plans: one for each number of a system call.
	CallPlans = 512
	// NoArg is the argument of a plan that there is none.
	NoArg = 0xff
	// CallNotEnded is the duration of a call that did not end.
	CallNotEnded = ^uint64(0)
	// MaxCallPath is the length at which paths are cut.
	MaxCallPath = 255
)

// What the table of targets says of a process.
const (
	follow      = 1 + iota
	followExec  // children of a followBirth
	followBirth // not itself
)

// CallsConfig says whose system calls are recorded, and what of each.
type CallsConfig struct {
	CgroupID     uint64 // threads in this cgroup or below: inode of its folder; 0: processes given to Follow
	CgroupSubsys int    // v1: index of the controller among the kernel's; v2: -1
	PIDNSLevel   uint32 // our PID namespace, when it is not the initial one
	PIDNSInum    uint32
	Plans        [CallPlans]CallPlan
}

// Calls is the recorder of system calls in the kernel. Its methods may be called by one goroutine at a time.
type Calls struct {
	objects struct {
		Enter   *ebpf.Program `ebpf:"assay_enter"`
		Exit    *ebpf.Program `ebpf:"assay_exit"`
		End     *ebpf.Program `ebpf:"assay_end"`
		Child   *ebpf.Program `ebpf:"assay_child"`
		Gone    *ebpf.Program `ebpf:"assay_gone"`
		Unended *ebpf.Program `ebpf:"assay_unended"`
		Ring    *ebpf.Map     `ebpf:"calls_ring"`
		Events  *ebpf.Map     `ebpf:"call_events"`
		Targets *ebpf.Map     `ebpf:"targets"`
		Calls   *ebpf.Map     `ebpf:"calls"`
	}
	links  []io.Closer // in the order in which they are closed
	ring   *ringbuf.Reader
	raw    ringbuf.Record
	record CallRecord
}

// LoadCalls loads the programs. Nothing is attached yet. It needs CAP_BPF and CAP_PERFMON.
func LoadCalls(config *CallsConfig) (*Calls, error) {
	if err := mayLoad(); err != nil {
		return nil, err
	}
	cache := btf.NewCache()
	types, err := kernelTypes(cache)
	if err != nil {
		return nil, err
	}
	spec, err := LoadSyscalls()
	if err != nil {
		return nil, fmt.Errorf("eBPF object: %w", err)
	}
	if err := Fit(spec, types); err != nil {
		return nil, err
	}
	whose := Config{
		PIDs: config.CgroupID == 0, CgroupID: config.CgroupID, CgroupSubsys: config.CgroupSubsys,
		PIDNSLevel: config.PIDNSLevel, PIDNSInum: config.PIDNSInum,
	}
	constants := whose.constants()
	constants["plans"] = config.Plans
	constants["own_tgid"] = uint32(os.Getpid())
	if err := set(spec, constants); err != nil {
		return nil, err
	}
	c := &Calls{}
	opts := ebpf.CollectionOptions{Cache: cache, Programs: ebpf.ProgramOptions{KernelTypes: types}}
	if err := spec.LoadAndAssign(&c.objects, &opts); err != nil {
		return nil, plainLoadError(err)
	}
	if c.ring, err = ringbuf.NewReader(c.objects.Ring); err != nil {
		return nil, errors.Join(fmt.Errorf("ring buffer: %w", err), c.Close())
	}
	return c, nil
}

// Attach starts the recording. The end of a call is heard before the begin of one, so that none seems to have no end.
func (c *Calls) Attach() error {
	o := &c.objects
	for _, p := range []*ebpf.Program{o.Gone, o.Child, o.End, o.Exit, o.Enter} {
		l, err := link.AttachTracing(link.TracingOptions{Program: p})
		if err != nil {
			return fmt.Errorf("attach to tracepoint: %w", err)
		}
		c.links = append([]io.Closer{l}, c.links...)
	}
	return nil
}

// Detach ends the recording.
func (c *Calls) Detach() error {
	var errs []error
	for _, l := range c.links {
		errs = append(errs, l.Close())
	}
	c.links = nil
	return errors.Join(errs...)
}

// Sweep sends the calls that go on. It comes after Detach.
func (c *Calls) Sweep() error {
	it, err := link.AttachIter(link.IterOptions{Program: c.objects.Unended})
	if err != nil {
		return fmt.Errorf("sweep over threads: %w", err)
	}
	f, err := it.Open()
	if err == nil {
		_, err = io.Copy(io.Discard, f)
		err = errors.Join(err, f.Close())
	}
	return errors.Join(err, it.Close())
}

// Follow adds a process and the children that it will have.
func (c *Calls) Follow(pid int) error { return c.target(pid, follow) }

// FollowBirths adds the children that a process will have, each from its first successful execve on, with the
// execve itself. Forget ends it.
func (c *Calls) FollowBirths(pid int) error { return c.target(pid, followBirth) }

// Forget takes a process away; the children that it has had stay.
func (c *Calls) Forget(pid int) error {
	if err := c.objects.Targets.Delete(uint32(pid)); err != nil {
		return fmt.Errorf("target %d: %w", pid, err)
	}
	return nil
}

func (c *Calls) target(pid int, how uint32) error {
	if err := c.objects.Targets.Put(uint32(pid), how); err != nil {
		return fmt.Errorf("target %d: %w", pid, err)
	}
	return nil
}

// timeCheck is after how many records Read looks at the clock.
const timeCheck = 1024

// Read hands the records that come until a time to each, which must not keep them.
func (c *Calls) Read(until time.Time, each func(*CallRecord) error) error {
	c.ring.SetDeadline(until)
	for n := 1; n%timeCheck != 0 || time.Now().Before(until); n++ {
		if more, err := c.next(each); err != nil || !more {
			return err
		}
	}
	return nil
}

// Drain hands all records that are waiting to each.
func (c *Calls) Drain(each func(*CallRecord) error) error {
	c.ring.SetDeadline(time.Now())
	for {
		if more, err := c.next(each); err != nil || !more {
			return err
		}
	}
}

// next waits for a record; there is none more when the ring's deadline has passed and it is empty.
func (c *Calls) next(each func(*CallRecord) error) (more bool, err error) {
	err = c.ring.ReadInto(&c.raw)
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		return false, nil
	case err != nil:
		return false, fmt.Errorf("ring buffer: %w", err)
	}
	if err := parseCall(&c.record, c.raw.RawSample); err != nil {
		return false, fmt.Errorf("ring buffer: %w", err)
	}
	return true, each(&c.record)
}

// parseCall copies a raw record, which is only as long as its paths need.
func parseCall(r *CallRecord, b []byte) error {
	const head = int(unsafe.Offsetof(r.Paths))
	if len(b) < head || len(b) > int(unsafe.Sizeof(*r)) {
		return errShort
	}
	copy(unsafe.Slice((*byte)(unsafe.Pointer(r)), unsafe.Sizeof(*r)), b)
	if int(r.PathLen[0])+int(r.PathLen[1]) > len(b)-head {
		return errShort
	}
	return nil
}

// RecordPaths are the two paths of a record, without NULs; valid until the next.
func RecordPaths(r *CallRecord) (first, second []byte) {
	a := int(r.PathLen[0])
	b := a + int(r.PathLen[1])
	return r.Paths[:a], r.Paths[a:b]
}

// Counters returns what the programs counted, summed over all CPUs, and the runs that the kernel left out because one was going on.
func (c *Calls) Counters() (sum CallCounters, nested uint64, err error) {
	lines := make([]CallCounters, 0, runtime.NumCPU())
	if err := c.objects.Events.Lookup(uint32(0), &lines); err != nil {
		return sum, 0, fmt.Errorf("counters: %w", err)
	}
	for _, l := range lines {
		sum.Calls += l.Calls
		sum.RingFull += l.RingFull
		sum.NoRoom += l.NoRoom
		sum.NoBegin += l.NoBegin
		sum.Foreign += l.Foreign
		sum.Unfollowed += l.Unfollowed
		sum.Outside += l.Outside
	}
	for _, p := range []*ebpf.Program{c.objects.Enter, c.objects.Exit, c.objects.End} {
		stats, err := p.Stats()
		if err != nil {
			return sum, 0, fmt.Errorf("counters: %w", err)
		}
		nested += stats.RecursionMisses
	}
	return sum, nested, nil
}

// Close detaches and frees everything.
func (c *Calls) Close() error {
	errs := []error{c.Detach()}
	if c.ring != nil {
		errs = append(errs, c.ring.Close())
	}
	o := &c.objects
	for _, p := range []*ebpf.Program{o.Enter, o.Exit, o.End, o.Child, o.Gone, o.Unended} {
		errs = append(errs, p.Close())
	}
	for _, m := range []*ebpf.Map{o.Ring, o.Events, o.Targets, o.Calls} {
		errs = append(errs, m.Close())
	}
	return errors.Join(errs...)
}
