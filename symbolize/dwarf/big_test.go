// SPDX-License-Identifier: Apache-2.0

package dwarf

import (
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/assaylab/assay/internal/elfx/elfxtest"
)

// bigAddresses are how many addresses each symbolizer is asked for.
const bigAddresses = 100_000

// warmLooks are how many looks at all addresses a warm one is the mean of: one takes few ticks of the clock that tells CPU time, and the
// collection of what the cold look left falls into the first.
const warmLooks = 10

// BenchmarkBig asks for random addresses of the programs in ASSAY_BIG (paths with blanks between), interleaved with addr2line -i and
// llvm-symbolizer --inlines. It tells CPU time in microseconds an address, how often we are faster than addr2line with a cold and a warm
// Data, the heap in use after, how many addresses differ from each, and of addr2line why. Without programs it takes testdata/calls.cc.
//
//	ASSAY_BIG="/usr/lib/x86_64-linux-gnu/libpython3.11d.so.1.0" go test ./symbolize/dwarf -run '^$' -bench Big -benchtime 3x
func BenchmarkBig(b *testing.B) {
	programs := strings.Fields(os.Getenv("ASSAY_BIG"))
	if len(programs) == 0 {
		programs = []string{compile(b, "g++", "-O2", "-g")}
	}
	for _, name := range programs {
		b.Run(filepath.Base(name), func(b *testing.B) { big(b, name) })
	}
}

func big(b *testing.B, name string) {
	text := textAddresses(b, name)
	random := rand.New(rand.NewPCG(1, 2))
	addrs := make([]uint64, bigAddresses)
	for i := range addrs {
		addrs[i] = text[random.IntN(len(text))]
	}
	slices.Sort(addrs) // as symbolize asks for those of a profile
	var cold, warm, binutils, llvm time.Duration
	var heap uint64
	for b.Loop() {
		binutils += cpuOf(b, addrs, "addr2line", "-a", "-i", "-f", "-e", name)
		c, w, h := ourTimes(b, name, addrs)
		cold, warm, heap = cold+c, warm+w, max(heap, h)
		llvm += cpuOf(b, addrs, "llvm-symbolizer-19", "--obj="+name, "--inlines", "--no-demangle", "--addresses")
	}
	perAddress := func(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1e3 / float64(b.N) / bigAddresses }
	b.ReportMetric(perAddress(binutils), "addr2line-µs")
	b.ReportMetric(perAddress(llvm), "llvm-µs")
	b.ReportMetric(perAddress(cold), "cold-µs")
	b.ReportMetric(perAddress(warm), "warm-µs")
	b.ReportMetric(float64(binutils)/float64(cold), "cold-×")
	b.ReportMetric(float64(binutils)/float64(warm), "warm-×")
	b.ReportMetric(float64(heap)/(1<<20), "heap-MiB")
	got := ours(b, name, nil, addrs)
	fromLLVM := askLLVM(b, name, addrs, got)
	b.ReportMetric(float64(differing(b, addrs, got, fromLLVM)), "llvm-differ")
	reportReasons(b, name, addrs, got, fromLLVM, oracle(b, addrs, "addr2line", "-a", "-i", "-f", "-e", name))
}

// ourTimes are the CPU times of a first and of a later look at all addresses, and the heap in use.
func ourTimes(b *testing.B, name string, addrs []uint64) (cold, warm time.Duration, heap uint64) {
	f := elfxtest.Open(b, name)
	runtime.GC()
	start := cpuTime(b, syscall.RUSAGE_SELF)
	d, err := Open(f, nil)
	if err != nil {
		b.Fatal(err)
	}
	look(b, d, addrs)
	middle := cpuTime(b, syscall.RUSAGE_SELF)
	for range warmLooks {
		look(b, d, addrs)
	}
	end := cpuTime(b, syscall.RUSAGE_SELF)
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	if err := d.Close(); err != nil {
		b.Fatal(err)
	}
	return middle - start, (end - middle) / warmLooks, m.HeapInuse
}

func look(b *testing.B, d *Data, addrs []uint64) {
	var frames []Frame
	var err error
	for _, a := range addrs {
		if frames, err = d.Frames(frames[:0], a); err != nil {
			b.Fatalf("%#x: %v", a, err)
		}
	}
}

// cpuOf is the CPU time of a symbolizer that is asked for addresses.
func cpuOf(b *testing.B, addrs []uint64, name string, args ...string) time.Duration {
	var in strings.Builder
	for _, a := range addrs {
		fmt.Fprintf(&in, "%#x\n", a)
	}
	cmd := exec.Command(name, args...)
	cmd.Stdin = strings.NewReader(in.String())
	before := cpuTime(b, syscall.RUSAGE_CHILDREN)
	if err := cmd.Run(); err != nil {
		b.Fatal(err)
	}
	return cpuTime(b, syscall.RUSAGE_CHILDREN) - before
}

func cpuTime(b *testing.B, who int) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(who, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// differing counts the addresses whose frames differ from those of llvm-symbolizer, and shows a few.
func differing(b *testing.B, addrs []uint64, got, want [][]call) int {
	n := 0
	for i := range got {
		if slices.Equal(got[i], want[i]) {
			continue
		}
		if n++; n <= 3 {
			b.Logf("%#x\nllvm-symbolizer: %v\n           ours: %v", addrs[i], want[i], got[i])
		}
	}
	return n
}

// nameless says whether only the line of an address is known.
func nameless(frames []call) bool { return len(frames) == 1 && frames[0].Name == unnamed }
