// SPDX-License-Identifier: Apache-2.0

// Command split computes on one thread for the given seconds, about 70% in main.seventy, 20% in main.twenty, 10% in main.ten, each by
// way of main.compute. It says cpu_ns of each.
package main

import (
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"strconv"
	"syscall"
	"time"
	"unsafe"
)

var sink uint64

// The functions turn a wheel on their stack, because Go saves the frame pointer only where there is a frame, and without it the stack of a
// sample would lack the caller.

//go:noinline
func seventy(turns int) {
	var wheel [8]uint64
	for i := range turns {
		wheel[i%8] = wheel[(i+1)%8]*6364136223846793005 + 1442695040888963407
	}
	sink = wheel[0]
}

//go:noinline
func twenty(turns int) {
	var wheel [8]uint64
	for i := range turns {
		wheel[i%8] = wheel[(i+1)%8]*6364136223846793005 + 1442695040888963407
	}
	sink = wheel[0]
}

//go:noinline
func ten(turns int) {
	var wheel [8]uint64
	for i := range turns {
		wheel[i%8] = wheel[(i+1)%8]*6364136223846793005 + 1442695040888963407
	}
	sink = wheel[0]
}

type part struct {
	name string
	work func(int)
	mean time.Duration
	done time.Duration
}

//go:noinline
func (p *part) compute(turnsPerMillisecond float64) {
	length := p.mean/2 + rand.N(p.mean)
	before := cpuClock()
	p.work(int(turnsPerMillisecond * length.Seconds() * 1e3))
	p.done += cpuClock() - before
}

// cpuClock reads the CPU time of this thread.
func cpuClock() time.Duration {
	const threadCPUTime = 3
	var t syscall.Timespec
	if _, _, errno := syscall.RawSyscall(syscall.SYS_CLOCK_GETTIME, threadCPUTime, uintptr(unsafe.Pointer(&t)), 0); errno != 0 {
		panic(errno)
	}
	return time.Duration(t.Nano())
}

func main() {
	seconds, err := strconv.ParseFloat(os.Args[1], 64)
	if err != nil {
		panic(err)
	}
	runtime.LockOSThread()
	end := time.Now().Add(time.Duration(seconds * float64(time.Second)))
	parts := []*part{
		{name: "main.seventy", work: seventy, mean: 7 * time.Millisecond},
		{name: "main.twenty", work: twenty, mean: 2 * time.Millisecond},
		{name: "main.ten", work: ten, mean: time.Millisecond},
	}
	const turns = 1 << 21
	before := cpuClock()
	ten(turns)
	took := cpuClock() - before
	parts[2].done = took
	for time.Now().Before(end) {
		for _, p := range parts {
			p.compute(turns / (took.Seconds() * 1e3))
		}
	}
	for _, p := range parts {
		fmt.Printf("cpu_ns.%s=%d\n", p.name, p.done.Nanoseconds())
	}
}
