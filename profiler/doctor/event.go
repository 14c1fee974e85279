// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"fmt"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/assaylab/assay/internal/caps"
)

// nameClock is the check on which cpu mode rests.
const nameClock = "cpu-clock on each CPU"

var eventRows = []row{
	{
		group: "events", name: "hardware cycles", need: Adds, look: lookCycles,
		costs: "cpu mode samples by cpu-clock, a timer: what runs with interrupts off shows up late, where they go on again",
		fix:   "a virtual machine has to be given a PMU by its host",
	},
	{
		group: "events", name: nameClock, need: Core, look: func(*host) finding { return tried("opened", CPUClockEvents()) },
		costs: "no cpu mode",
		wants: caps.Of(caps.Perfmon), fix: "sudo sysctl kernel.perf_event_paranoid=2",
	},
	{
		group: "events", name: "side-band with build IDs", need: Core, look: func(*host) finding { return tried("opened on each CPU, buffer mapped", SideBandEvents()) },
		costs: "processes that live shorter than a look at /proc takes keep bare addresses",
		wants: caps.Of(caps.Perfmon), fix: "sudo sysctl kernel.perf_event_paranoid=2",
	},
}

func lookCycles(*host) finding {
	f := tried("opened", CyclesEvent())
	if f.status == Missing {
		f.status = Degraded // cpu-clock stands in
	}
	return f
}

// hz is the frequency at which the probes say they want samples. Their events
// are never switched on.
const hz = 97

// CPUClockEvents opens, on each CPU that is on line, the software event that
// samples where there is no PMU, and closes them again.
func CPUClockEvents() error {
	return onEachCPU(func(cpu int) error { return openAndClose(cpuClock(), cpu) })
}

// CyclesEvent opens the hardware event of CPU cycles on the first CPU.
func CyclesEvent() error {
	return openAndClose(unix.PerfEventAttr{
		Type: unix.PERF_TYPE_HARDWARE, Config: unix.PERF_COUNT_HW_CPU_CYCLES, Sample: hz, Bits: unix.PerfBitFreq,
	}, 0)
}

// SideBandEvents opens, on each CPU, the event that carries no samples but
// news of processes and mappings, with build IDs (kernel 5.12+), and maps a
// small buffer of it.
func SideBandEvents() error {
	return onEachCPU(func(cpu int) error {
		event, err := openEvent(sideBand(), cpu)
		if err != nil {
			return err
		}
		defer event.Close()
		return mapBuffer(event)
	})
}

func cpuClock() unix.PerfEventAttr {
	return unix.PerfEventAttr{
		Type: unix.PERF_TYPE_SOFTWARE, Config: unix.PERF_COUNT_SW_CPU_CLOCK, Sample: hz, Bits: unix.PerfBitFreq,
	}
}

// bitBuildID is the build_id flag of perf_event_attr, which x/sys does not
// name (include/uapi/linux/perf_event.h).
const bitBuildID = 1 << 34

func sideBand() unix.PerfEventAttr {
	return unix.PerfEventAttr{
		Type: unix.PERF_TYPE_SOFTWARE, Config: unix.PERF_COUNT_SW_DUMMY,
		Bits: unix.PerfBitMmap | unix.PerfBitMmap2 | unix.PerfBitComm | unix.PerfBitCommExec |
			unix.PerfBitTask | unix.PerfBitSampleIDAll | bitBuildID,
	}
}

// openEvent opens an event of all processes on a CPU, switched off.
func openEvent(attr unix.PerfEventAttr, cpu int) (*os.File, error) {
	attr.Size = uint32(unsafe.Sizeof(attr))
	attr.Bits |= unix.PerfBitDisabled
	fd, err := unix.PerfEventOpen(&attr, -1, cpu, -1, unix.PERF_FLAG_FD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("perf_event_open on CPU %d: %w", cpu, err)
	}
	return os.NewFile(uintptr(fd), "perf event"), nil
}

func openAndClose(attr unix.PerfEventAttr, cpu int) error {
	event, err := openEvent(attr, cpu)
	return detach(event, err)
}

// bufferPages is the size of the mapped buffer, a power of two.
const bufferPages = 16

func mapBuffer(event *os.File) error {
	buffer, err := unix.Mmap(int(event.Fd()), 0, (1+bufferPages)*os.Getpagesize(), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return fmt.Errorf("map buffer: %w", err)
	}
	return unix.Munmap(buffer)
}
