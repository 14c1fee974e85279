// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"
)

// detach ends what was just made, a link for one, or passes the error of making
// it on.
func detach(l io.Closer, err error) error {
	if err != nil {
		return err
	}
	return l.Close()
}

// attachEvent ties the program to an event that is never switched on.
func attachEvent(p *ebpf.Program) error {
	event, err := openEvent(cpuClock(), 0)
	if err != nil {
		return err
	}
	defer event.Close()
	if err := unix.IoctlSetInt(int(event.Fd()), unix.PERF_EVENT_IOC_SET_BPF, p.FD()); err != nil {
		return fmt.Errorf("perf event, set program: %w", err)
	}
	return nil
}

func attachTracing(p *ebpf.Program) error {
	return detach(link.AttachTracing(link.TracingOptions{Program: p}))
}

// attachRaw takes a tracepoint that is seldom passed: to attach means to change
// the kernel's code there.
func attachRaw(p *ebpf.Program) error {
	return detach(link.AttachRawTracepoint(link.RawTracepointOptions{Name: "sched_process_exec", Program: p}))
}

func attachIter(p *ebpf.Program) error {
	return detach(link.AttachIter(link.IterOptions{Program: p}))
}

// havePMU says whether perf events can be kprobes or uprobes. Without this the
// library would turn to tracefs and report on that.
func havePMU(kind string) error {
	_, err := os.Stat("/sys/bus/event_source/devices/" + kind)
	if errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("this kernel has no %ss", kind)
	}
	return err
}

func attachKprobe(p *ebpf.Program) error {
	if err := havePMU("kprobe"); err != nil {
		return err
	}
	return detach(link.Kprobe(rare, p, nil))
}

// attachUprobe puts a probe on our own first instruction, which has run for
// the last time.
func attachUprobe(p *ebpf.Program) error {
	if err := havePMU("uprobe"); err != nil {
		return err
	}
	path, err := os.Executable()
	if err != nil {
		return err
	}
	offset, err := entryOffset(path)
	if err != nil {
		return err
	}
	program, err := link.OpenExecutable(path)
	if err != nil {
		return err
	}
	return detach(program.Uprobe("", p, &link.UprobeOptions{Address: offset, PID: os.Getpid()}))
}

// entryOffset is the place of a program's first instruction in its file.
func entryOffset(path string) (uint64, error) {
	file, err := elf.Open(path)
	if err != nil {
		return 0, err
	}
	defer file.Close()
	for _, segment := range file.Progs {
		if segment.Type == elf.PT_LOAD && file.Entry-segment.Vaddr < segment.Filesz {
			return file.Entry - segment.Vaddr + segment.Off, nil
		}
	}
	return 0, errors.New(path + ": entry point is in no segment")
}
