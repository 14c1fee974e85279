// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/perf"
	"github.com/cilium/ebpf/ringbuf"
	"golang.org/x/sys/unix"
)

const (
	producerNS   = "eBPF ns/record"
	producerCPU  = "producer µs/record"
	consumerCPU  = "consumer µs/record"
	records      = 2000
	recordPause  = time.Millisecond
	minRecord    = 200
	maxRecord    = 1000
	bufferBytes  = 1 << 20 // in all: the ring, or the buffers of all CPUs together
	lookPeriod   = 100 * time.Millisecond
	noWakeup     = 1 // BPF_RB_NO_WAKEUP
	currentCPU   = 0xffffffff
	recordSource = 1024 // bytes; a power of two over maxRecord
)

var transportBenchmark = benchmark{
	name: "transport",
	about: "2,000 records of 200 to 1,000 bytes, one each millisecond, from an eBPF program to a Go reader of cilium/ebpf. Either each record wakes the " +
		"reader, or the reader looks ten times a second. The producer's thread runs the program by a system call, which the arm without transport shows.",
	metrics: []string{producerNS, producerCPU, consumerCPU, lostEvents},
	arms: func(*lab) []arm {
		transport := func(open func(awake bool) (*channel, error), awake bool) func() (values, error) {
			return func() (values, error) { return transportOnce(open, awake) }
		}
		return []arm{
			{"no transport", transport(openNothing, false)},
			{"ringbuf, woken", transport(openRing, true)},
			{"perf array, woken", transport(openPerfArray, true)},
			{"ringbuf, looking", transport(openRing, false)},
			{"perf array, looking", transport(openPerfArray, false)},
		}
	},
	claims: []claim{
		{metric: producerNS, arm: "ringbuf, looking", over: "perf array, looking", limit: 1},
		{metric: producerCPU, arm: "ringbuf, looking", over: "perf array, looking"},
		{metric: consumerCPU, arm: "ringbuf, looking", over: "perf array, looking", limit: 1},
		{metric: producerNS, arm: "ringbuf, woken", over: "perf array, woken"},
		{metric: producerCPU, arm: "ringbuf, woken", over: "perf array, woken"},
		{metric: consumerCPU, arm: "ringbuf, woken", over: "perf array, woken"},
	},
}

// A channel takes records from a program to us.
type channel struct {
	program *ebpf.Program
	// read waits for a record until the deadline that was set.
	read        func() error
	setDeadline func(time.Time)
	close       func() error
}

// producer is a program that sends as many bytes as its first argument says, by the call in send: r6 is its context, r7 the
// number of bytes, r8 the bytes.
func producer(source *ebpf.Map, send asm.Instructions) (*ebpf.Program, error) {
	code := asm.Instructions{
		asm.Mov.Reg(asm.R6, asm.R1),
		asm.LoadMem(asm.R7, asm.R6, 0, asm.DWord),
		asm.JGT.Imm(asm.R7, recordSource, "exit"),
		asm.StoreImm(asm.RFP, -4, 0, asm.Word),
		asm.Mov.Reg(asm.R2, asm.RFP),
		asm.Add.Imm(asm.R2, -4),
		asm.LoadMapPtr(asm.R1, source.FD()),
		asm.FnMapLookupElem.Call(),
		asm.JEq.Imm(asm.R0, 0, "exit"),
		asm.Mov.Reg(asm.R8, asm.R0),
	}
	code = append(append(code, send...), asm.Mov.Imm(asm.R0, 0).WithSymbol("exit"), asm.Return())
	return ebpf.NewProgram(&ebpf.ProgramSpec{Type: ebpf.RawTracepoint, Instructions: code, License: "Dual BSD/GPL"})
}

// newChannel makes the program of a channel whose records go through m, which may be nil.
func newChannel(m *ebpf.Map, send asm.Instructions) (*channel, error) {
	source, err := ebpf.NewMap(&ebpf.MapSpec{Type: ebpf.Array, KeySize: 4, ValueSize: recordSource, MaxEntries: 1})
	if err != nil {
		return nil, fmt.Errorf("source of records: %w", err)
	}
	program, err := producer(source, send)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("producer: %w", err), source.Close())
	}
	return &channel{program: program, close: func() error {
		err := errors.Join(program.Close(), source.Close())
		if m != nil {
			err = errors.Join(err, m.Close())
		}
		return err
	}}, nil
}

func openNothing(bool) (*channel, error) {
	c, err := newChannel(nil, nil)
	if err != nil {
		return nil, err
	}
	var deadline time.Time
	c.setDeadline = func(t time.Time) { deadline = t }
	c.read = func() error {
		time.Sleep(time.Until(deadline))
		return os.ErrDeadlineExceeded
	}
	return c, nil
}

func openRing(awake bool) (*channel, error) {
	m, err := ebpf.NewMap(&ebpf.MapSpec{Type: ebpf.RingBuf, MaxEntries: bufferBytes})
	if err != nil {
		return nil, fmt.Errorf("ring buffer: %w", err)
	}
	flags := int32(noWakeup)
	if awake {
		flags = 0
	}
	c, err := newChannel(m, asm.Instructions{
		asm.LoadMapPtr(asm.R1, m.FD()),
		asm.Mov.Reg(asm.R2, asm.R8),
		asm.Mov.Reg(asm.R3, asm.R7),
		asm.Mov.Imm(asm.R4, flags),
		asm.FnRingbufOutput.Call(),
	})
	if err != nil {
		return nil, errors.Join(err, m.Close())
	}
	reader, err := ringbuf.NewReader(m)
	if err != nil {
		return nil, errors.Join(err, c.close())
	}
	var record ringbuf.Record
	c.read = func() error { return reader.ReadInto(&record) }
	c.setDeadline = reader.SetDeadline
	c.closeFirst(reader.Close)
	return c, nil
}

func openPerfArray(awake bool) (*channel, error) {
	m, err := ebpf.NewMap(&ebpf.MapSpec{Type: ebpf.PerfEventArray})
	if err != nil {
		return nil, fmt.Errorf("perf event array: %w", err)
	}
	c, err := newChannel(m, asm.Instructions{
		asm.Mov.Reg(asm.R1, asm.R6),
		asm.LoadMapPtr(asm.R2, m.FD()),
		asm.LoadImm(asm.R3, currentCPU, asm.DWord),
		asm.Mov.Reg(asm.R4, asm.R8),
		asm.Mov.Reg(asm.R5, asm.R7),
		asm.FnPerfEventOutput.Call(),
	})
	if err != nil {
		return nil, errors.Join(err, m.Close())
	}
	perCPU := bufferBytes / runtime.NumCPU()
	options := perf.ReaderOptions{Watermark: perCPU / 2}
	if awake {
		options = perf.ReaderOptions{WakeupEvents: 1}
	}
	reader, err := perf.NewReaderWithOptions(m, perCPU, options)
	if err != nil {
		return nil, errors.Join(err, c.close())
	}
	var record perf.Record
	c.read = func() error {
		err := reader.ReadInto(&record)
		if err == nil && record.LostSamples > 0 {
			return fmt.Errorf("%d records lost", record.LostSamples)
		}
		return err
	}
	c.setDeadline = reader.SetDeadline
	c.closeFirst(reader.Close)
	return c, nil
}

// closeFirst adds to what close does.
func (c *channel) closeFirst(first func() error) {
	rest := c.close
	c.close = func() error { return errors.Join(first(), rest()) }
}

// transportOnce sends all records through a channel.
func transportOnce(open func(awake bool) (*channel, error), awake bool) (_ values, err error) {
	statistics, err := ebpf.EnableStats(unix.BPF_STATS_RUN_TIME)
	if err != nil {
		return nil, fmt.Errorf("statistics of eBPF programs: %w", err)
	}
	defer func() { err = errors.Join(err, statistics.Close()) }()
	c, err := open(awake)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, c.close()) }()
	consumed, stop := make(chan consumption, 1), make(chan struct{})
	go func() { consumed <- c.consume(stop) }()
	produced, err := c.produce()
	time.Sleep(2 * lookPeriod)
	close(stop)
	got := <-consumed
	if err := errors.Join(err, got.err); err != nil {
		return nil, err
	}
	s, err := c.program.Stats()
	if err != nil {
		return nil, err
	}
	v := values{
		producerNS:  float64(s.Runtime) / float64(s.RunCount),
		producerCPU: float64(produced) / records / 1e3,
		consumerCPU: float64(got.cpu) / records / 1e3,
	}
	if got.records > 0 {
		v[lostEvents] = float64(records - got.records)
	}
	return v, nil
}

// produce sends the records, and returns the CPU time of the thread that did.
func (c *channel) produce() (time.Duration, error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	sizes := rand.New(rand.NewPCG(1, 1))
	before := threadCPU()
	for range records {
		size := uint64(minRecord + sizes.IntN(maxRecord-minRecord+1))
		if _, err := c.program.Run(&ebpf.RunOptions{Context: &size}); err != nil {
			return 0, fmt.Errorf("producer: %w", err)
		}
		time.Sleep(recordPause)
	}
	return threadCPU() - before, nil
}

// consumption is what a reader has done.
type consumption struct {
	records int
	cpu     time.Duration
	err     error
}

// consume reads until stop is closed.
func (c *channel) consume(stop chan struct{}) (done consumption) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	before := threadCPU()
	defer func() { done.cpu = threadCPU() - before }()
	for {
		c.setDeadline(time.Now().Add(lookPeriod))
		for done.err = c.read(); done.err == nil; done.err = c.read() {
			done.records++
		}
		if !errors.Is(done.err, os.ErrDeadlineExceeded) {
			return done
		}
		done.err = nil
		select {
		case <-stop:
			return done
		default:
		}
	}
}

// threadCPU is the CPU time of this thread.
func threadCPU() time.Duration {
	var u unix.Rusage
	if unix.Getrusage(unix.RUSAGE_THREAD, &u) != nil {
		return 0 // the arguments can't be wrong
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
