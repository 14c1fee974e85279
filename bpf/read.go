// SPDX-License-Identifier: Apache-2.0

package bpf

import (
	"errors"
	"fmt"
	"maps"
	"runtime"
	"slices"
	"time"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
)

// Phases of a window (enum phase).
const (
	phaseArmed   = 1
	phaseOn      = 2
	phaseClosing = 3
	phaseClosed  = 4
)

// Window is when time was accounted: by the clock of the switches, and by CLOCK_MONOTONIC.
type Window struct {
	Start, End         uint64
	StartMono, EndMono uint64
}

// OpenWindow starts the time accounting at the next context switch, which it waits for.
func (k *Kernel) OpenWindow() error { return k.turn(phaseArmed, phaseOn) }

// CloseWindow ends the time accounting at the next context switch, which it waits for.
func (k *Kernel) CloseWindow() error { return k.turn(phaseClosing, phaseClosed) }

func (k *Kernel) turn(ask, until uint32) error {
	w := k.maps["window"]
	var c SweepControl
	if err := w.Lookup(uint32(0), &c); err != nil {
		return fmt.Errorf("window: %w", err)
	}
	c.Phase = ask
	if err := w.Put(uint32(0), c); err != nil {
		return fmt.Errorf("window: %w", err)
	}
	for range 1000 {
		time.Sleep(50 * time.Microsecond) // a context switch of our own
		if err := w.Lookup(uint32(0), &c); err != nil {
			return fmt.Errorf("window: %w", err)
		}
		if c.Phase == until {
			return nil
		}
	}
	return errors.New("window: no context switch was seen")
}

// Window returns the times of the window that was closed.
func (k *Kernel) Window() (Window, error) {
	var c SweepControl
	if err := k.maps["window"].Lookup(uint32(0), &c); err != nil {
		return Window{}, fmt.Errorf("window: %w", err)
	}
	return Window{c.Start, c.End, c.StartMono, c.EndMono}, nil
}

// Swap puts the empty table of counts in place of the full one and hands the lines of that
// to each. When it returns, the old table is empty.
func (k *Kernel) Swap(each func(Count)) error {
	old := k.tables[k.active]
	k.active = 1 - k.active
	if err := k.maps["counts_active"].Put(uint32(0), k.tables[k.active]); err != nil {
		return fmt.Errorf("swap tables: %w", err)
	}
	if err := k.maps["counts_fill"].Put(uint32(0), uint64(0)); err != nil {
		return fmt.Errorf("swap tables: %w", err)
	}
	keys, values := make([]CountKey, 512), make([]CountValue, 512)
	var cursor ebpf.MapBatchCursor
	for {
		n, err := old.BatchLookupAndDelete(&cursor, keys, values, nil)
		for i := range n {
			each(Count{keys[i], values[i]})
		}
		switch {
		case errors.Is(err, ebpf.ErrKeyNotExist):
			return nil
		case errors.Is(err, unix.ENOSPC):
			// One bucket holds more than the batch: only with a crowd of collisions.
			keys, values = make([]CountKey, 2*len(keys)), make([]CountValue, 2*len(values))
		case err != nil:
			return fmt.Errorf("read counts: %w", err)
		}
	}
}

// Fill is the number of lines of the active table, and Capacity that of a full one.
func (k *Kernel) Fill() (uint64, error) {
	var n uint64
	if err := k.maps["counts_fill"].Lookup(uint32(0), &n); err != nil {
		return 0, fmt.Errorf("fill of the table: %w", err)
	}
	return n, nil
}

// Capacity is the number of lines of a table of counts.
func (k *Kernel) Capacity() uint64 { return uint64(k.tables[0].MaxEntries()) }

// Counters returns what the programs counted, summed over all CPUs.
func (k *Kernel) Counters() (Counters, error) {
	var sum Counters
	lines := make([]Counters, 0, runtime.NumCPU())
	if err := k.maps["events"].Lookup(uint32(0), &lines); err != nil {
		return sum, fmt.Errorf("counters: %w", err)
	}
	for _, c := range lines {
		sum.Samples += c.Samples
		sum.SamplesIdle += c.SamplesIdle
		sum.SamplesOther += c.SamplesOther
		sum.SamplesOutside += c.SamplesOutside
		sum.WaitsOutside += c.WaitsOutside
		sum.Switches += c.Switches
		sum.StacksSent += c.StacksSent
		sum.RingFullStacks += c.RingFullStacks
		sum.CountsInRing += c.CountsInRing
		sum.LostSamples += c.LostSamples
		sum.LostWaits += c.LostWaits
		sum.LostWaitsNs += c.LostWaitsNs
		sum.LostThreads += c.LostThreads
		sum.LostThreadsNs += c.LostThreadsNs
		sum.StorageFull += c.StorageFull
		sum.MissedArrivals += c.MissedArrivals
		sum.MissedLeaves += c.MissedLeaves
		sum.PythonUnreadable += c.PythonUnreadable
		sum.CopiesUnsent += c.CopiesUnsent
		sum.GoroutinesUnreadable += c.GoroutinesUnreadable
		sum.LabelsUnreadable += c.LabelsUnreadable
		sum.ClockBackwards += c.ClockBackwards
	}
	return sum, nil
}

// Cost is what the runs of one program cost.
type Cost struct {
	Program string
	Runs    uint64
	Timed   uint64        // runs that were timed
	PerRun  time.Duration // mean of the timed ones, less the reading of the clock
	Missed  uint64        // runs that the kernel left out because one was going on (recursion)
}

// SampleProgramName is the name of the program that takes CPU samples.
const SampleProgramName = "assay_sample"

// Costs returns the cost of each loaded program, as a random share of its runs has timed itself.
func (k *Kernel) Costs() ([]Cost, error) {
	var all []Cost
	for slot, name := range []string{SampleProgramName, "assay_switch", "assay_waking"} {
		p, ok := k.progs[name]
		if !ok {
			continue
		}
		var lines []SweepCost
		if err := k.maps["costs"].Lookup(uint32(slot), &lines); err != nil {
			return nil, fmt.Errorf("costs: %w", err)
		}
		c := Cost{Program: name}
		var ns, clock uint64
		for _, l := range lines {
			c.Runs += l.Runs
			c.Timed += l.Timed
			ns += l.TimedNs
			clock += l.ClockNs
		}
		if c.Timed > 0 {
			c.PerRun = time.Duration((ns - min(ns, clock)) / c.Timed)
		}
		if stats, err := p.Stats(); err == nil {
			c.Missed = stats.RecursionMisses
		}
		all = append(all, c)
	}
	return all, nil
}

// CPUTime is the CPU time so far of all wanted threads that are alive or have ended since
// the programs were attached, and their number.
func (k *Kernel) CPUTime() (time.Duration, uint64, error) {
	t := k.maps["cpu_times"]
	if err := t.Put(uint32(0), SweepCpuTime{}); err != nil {
		return 0, 0, fmt.Errorf("CPU time: %w", err)
	}
	if err := k.Sweep(SweepSum, nil); err != nil {
		return 0, 0, err
	}
	var alive, ended SweepCpuTime
	if err := errors.Join(t.Lookup(uint32(0), &alive), t.Lookup(uint32(1), &ended)); err != nil {
		return 0, 0, fmt.Errorf("CPU time: %w", err)
	}
	return time.Duration(alive.Ns + ended.Ns), alive.Threads + ended.Threads, nil
}

// MapBytes is the memory that the kernel charges for our maps.
func (k *Kernel) MapBytes() uint64 {
	var sum uint64
	for _, m := range slices.AppendSeq(slices.Clone(k.slabs), maps.Values(k.maps)) {
		if info, err := m.Info(); err == nil {
			if n, ok := info.Memlock(); ok {
				sum += n
			}
		}
	}
	return sum
}
