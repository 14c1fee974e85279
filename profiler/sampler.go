// SPDX-License-Identifier: Apache-2.0

package profiler

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// Event is what makes a CPU sample.
type Event string

// Hardware cycles where the machine counts them; otherwise a timer of the kernel.
const (
	Cycles   Event = "cycles"
	CPUClock Event = "cpu-clock"
)

// sampler owns one sampling event a CPU.
type sampler struct {
	event Event
	freq  int
	prog  int // file descriptor of the eBPF program
	fds   map[int]int
}

func (s *sampler) attr() *unix.PerfEventAttr {
	a := &unix.PerfEventAttr{
		Type:   unix.PERF_TYPE_SOFTWARE,
		Config: unix.PERF_COUNT_SW_CPU_CLOCK,
		Size:   unix.PERF_ATTR_SIZE_VER5,
		Sample: uint64(s.freq),
		Bits:   unix.PerfBitFreq | unix.PerfBitDisabled | unix.PerfBitExcludeIdle,
	}
	if s.event == Cycles {
		a.Type, a.Config = unix.PERF_TYPE_HARDWARE, unix.PERF_COUNT_HW_CPU_CYCLES
	}
	return a
}

// newSampler opens and starts an event on each of the CPUs, which are online.
func newSampler(freq, prog int, cpus []int) (*sampler, error) {
	s := &sampler{event: Cycles, freq: freq, prog: prog, fds: map[int]int{}}
	if err := s.open(cpus[0]); err != nil {
		if !noPMU(err) {
			return nil, plainPerfError(err)
		}
		s.event = CPUClock
	}
	if err := s.follow(cpus); err != nil {
		return nil, errors.Join(err, s.close())
	}
	return s, nil
}

// noPMU says that hardware events are not to be had, though others may be.
func noPMU(err error) bool {
	return errors.Is(err, unix.ENOENT) || errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.ENODEV) || errors.Is(err, unix.EINVAL)
}

func plainPerfError(err error) error {
	if errors.Is(err, os.ErrPermission) {
		return fmt.Errorf("the kernel refuses perf events: run as root, or with CAP_PERFMON (`assay doctor` says more): %w", err)
	}
	return err
}

func (s *sampler) open(cpu int) error {
	fd, err := unix.PerfEventOpen(s.attr(), -1, cpu, -1, unix.PERF_FLAG_FD_CLOEXEC)
	if err != nil {
		return fmt.Errorf("%s event on CPU %d: %w", s.event, cpu, err)
	}
	if err := start(fd, s.prog); err != nil {
		return errors.Join(fmt.Errorf("%s event on CPU %d: %w", s.event, cpu, err), unix.Close(fd))
	}
	s.fds[cpu] = fd
	return nil
}

func start(fd, prog int) error {
	if err := unix.IoctlSetInt(fd, unix.PERF_EVENT_IOC_SET_BPF, prog); err != nil {
		return fmt.Errorf("set eBPF program: %w", err)
	}
	return unix.IoctlSetInt(fd, unix.PERF_EVENT_IOC_ENABLE, 0)
}

// follow opens events on CPUs that came and closes those of CPUs that went.
func (s *sampler) follow(online []int) error {
	here := map[int]bool{}
	for _, cpu := range online {
		here[cpu] = true
		if _, ok := s.fds[cpu]; ok {
			continue
		}
		if err := s.open(cpu); err != nil && !errors.Is(err, unix.ENODEV) {
			return plainPerfError(err)
		}
	}
	for cpu, fd := range s.fds {
		if here[cpu] {
			continue
		}
		delete(s.fds, cpu)
		if err := unix.Close(fd); err != nil {
			return fmt.Errorf("event of CPU %d: %w", cpu, err)
		}
	}
	return nil
}

func (s *sampler) close() error {
	var errs []error
	for _, fd := range s.fds {
		errs = append(errs, unix.Close(fd))
	}
	s.fds = nil
	return errors.Join(errs...)
}
