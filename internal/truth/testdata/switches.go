// SPDX-License-Identifier: Apache-2.0

// Command switches computes for the given seconds on stacks that lead to others: main.growing makes the stacks of goroutines grow, which the runtime
// does on the stack of the thread, main.reading makes the runtime read its memory statistics there, and main.calling calls C (switch_outer and
// switch_inner) that calls Go (main.called) again. It says cpu_ns.main.called.
package main

/*
extern void switch_outer(int n);
*/
import "C"

import (
	"fmt"
	"os"
	"runtime"
	"strconv"
	"syscall"
	"time"
	"unsafe"
)

var (
	sink uint64
	took time.Duration
)

// cpuClock reads the CPU time of this thread.
func cpuClock() time.Duration {
	const threadCPUTime = 3
	var t syscall.Timespec
	if _, _, errno := syscall.RawSyscall(syscall.SYS_CLOCK_GETTIME, threadCPUTime, uintptr(unsafe.Pointer(&t)), 0); errno != 0 {
		panic(errno)
	}
	return time.Duration(t.Nano())
}

//export called
func called(n C.int) {
	before := cpuClock()
	var wheel [8]uint64
	for i := range 1 << 21 {
		wheel[i%8] = wheel[(i+1)%8]*6364136223846793005 + 1442695040888963407
	}
	sink += wheel[0]
	took += cpuClock() - before
	if n > 0 {
		C.switch_outer(n - 1)
	}
}

//go:noinline
func calling() {
	C.switch_outer(1)
	sink++
}

//go:noinline
func deep(n int) (sum uint64) {
	var frame [512]uint64
	if n > 0 {
		frame[n] = deep(n - 1)
	}
	return frame[n] + 1
}

//go:noinline
func growing() {
	done := make(chan uint64)
	for range 400 {
		go func() { done <- deep(60) }()
		sink += <-done
	}
}

//go:noinline
func reading() {
	var m runtime.MemStats
	for range 1000 {
		runtime.ReadMemStats(&m)
	}
	sink += m.Alloc
}

func main() {
	seconds, err := strconv.ParseFloat(os.Args[1], 64)
	if err != nil {
		panic(err)
	}
	for end := time.Now().Add(time.Duration(seconds * float64(time.Second))); time.Now().Before(end); {
		calling()
		growing()
		reading()
	}
	fmt.Printf("cpu_ns.main.called=%d\n", took.Nanoseconds())
}
