// SPDX-License-Identifier: Apache-2.0

// Command labels computes and sleeps for the given seconds in goroutines that have labels (runtime/pprof.Do) and go from thread to thread.
// Its pieces of work are named by the label work: half of it has "red", a fifth "blue", a fifth "dark", set within "red" with the label
// shade, and a tenth none. It says cpu_ns of each, and of "none"; least_ns and most_ns of the sleeps "nap" and "doze". Blue work has labels
// that are hard to keep, too. Built together with labels_cgo.go, half of the red work is done in C.
package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"runtime/pprof"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"
)

var sink atomic.Uint64

//go:noinline
func turn(turns int) {
	var wheel [8]uint64
	for i := range turns {
		wheel[i%8] = wheel[(i+1)%8]*6364136223846793005 + 1442695040888963407
	}
	sink.Store(wheel[0])
}

// turnInC is turn in C, where there is C.
var turnInC func(turns int)

// cpuClock reads the CPU time of this thread.
func cpuClock() time.Duration {
	const threadCPUTime = 3
	var t syscall.Timespec
	if _, _, errno := syscall.RawSyscall(syscall.SYS_CLOCK_GETTIME, threadCPUTime, uintptr(unsafe.Pointer(&t)), 0); errno != 0 {
		panic(errno)
	}
	return time.Duration(t.Nano())
}

var times struct {
	sync.Mutex
	cpu, least, most, longest map[string]time.Duration
}

// pace is how many turns a millisecond takes.
var pace int

// compute works for about d, on one thread.
//
//go:noinline
func compute(name string, d time.Duration) {
	runtime.LockOSThread()
	work := turn
	if name == "red" && turnInC != nil && rand.N(2) == 0 {
		work = turnInC
	}
	before := cpuClock()
	work(int(d * time.Duration(pace) / time.Millisecond))
	took := cpuClock() - before
	runtime.UnlockOSThread()
	times.Lock()
	times.cpu[name] += took
	times.Unlock()
	runtime.Gosched()
}

// sleep sleeps for d in a system call of its thread.
//
//go:noinline
func sleep(name string, d time.Duration) {
	t := syscall.NsecToTimespec(d.Nanoseconds())
	before := time.Now()
	for {
		_, _, errno := syscall.Syscall(syscall.SYS_NANOSLEEP, uintptr(unsafe.Pointer(&t)), uintptr(unsafe.Pointer(&t)), 0)
		if errno == 0 {
			break
		}
		if errno != syscall.EINTR {
			panic(errno)
		}
	}
	took := time.Since(before)
	times.Lock()
	times.least[name] += d
	times.most[name] += took
	times.longest[name] = max(times.longest[name], took)
	times.Unlock()
}

func do(ctx context.Context, work func(context.Context), labels ...string) {
	pprof.Do(ctx, pprof.Labels(labels...), work)
}

func computeAll(ctx context.Context) {
	length := func(mean time.Duration) time.Duration { return mean/2 + rand.N(mean) }
	compute("none", length(time.Millisecond))
	do(ctx, func(ctx context.Context) {
		compute("red", length(2*time.Millisecond))
		do(ctx, func(context.Context) { compute("dark", length(2*time.Millisecond)) }, "shade", "dark", "work", "dark")
		compute("red", length(3*time.Millisecond))
	}, "work", "red")
	do(ctx, func(context.Context) { compute("blue", length(2*time.Millisecond)) },
		"work", "blue", "comm", "not the thread's", "", "no key", "no value", "", strings.Repeat("key", 20), "long key", "long value", strings.Repeat("value", 20))
}

func sleepAll(ctx context.Context) {
	do(ctx, func(context.Context) { sleep("nap", time.Millisecond+rand.N(time.Millisecond)) }, "work", "nap")
	do(ctx, func(context.Context) { sleep("doze", 3*time.Millisecond+rand.N(time.Millisecond)) }, "work", "doze")
}

// findPace computes until a recorder has found out what program this is.
func findPace() {
	const turns = 1 << 26
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	before := cpuClock()
	for range 4 {
		turn(turns)
	}
	pace = max(1, int(4*turns*time.Millisecond/(cpuClock()-before)))
}

func main() {
	seconds, err := strconv.ParseFloat(os.Args[1], 64)
	if err != nil {
		panic(err)
	}
	times.cpu, times.least, times.most, times.longest = map[string]time.Duration{}, map[string]time.Duration{}, map[string]time.Duration{}, map[string]time.Duration{}
	findPace()
	end := time.Now().Add(time.Duration(seconds * float64(time.Second)))
	var all sync.WaitGroup
	for _, part := range []func(context.Context){computeAll, computeAll, computeAll, sleepAll} {
		all.Go(func() {
			for time.Now().Before(end) {
				part(context.Background())
			}
		})
	}
	all.Wait()
	for unit, group := range map[string]map[string]time.Duration{"cpu_ns": times.cpu, "least_ns": times.least, "most_ns": times.most, "longest_ns": times.longest} {
		for name, d := range group {
			fmt.Printf("%s.%s=%d\n", unit, name, d.Nanoseconds())
		}
	}
}
