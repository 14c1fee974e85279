// SPDX-License-Identifier: Apache-2.0

// Package annotate says of a profile what can be said only when its frames have names: why a thread waited, and
// which kernel addresses are not return addresses. It works on the profile in place.
package annotate

import (
	"slices"
	"strings"

	"github.com/google/pprof/profile"
)

// Waits sets the label "wait" of each off-CPU sample: futex, io, epoll, poll, select, sleep, pipe, socket, page fault, child or
// other. The kernel frames decide, from the inside out; where they have no names, the system call does.
func Waits(p *profile.Profile) {
	for _, s := range p.Sample {
		if _, isWait := s.Label["syscall"]; isWait || s.NumLabel != nil && isOffCPU(s) {
			s.Label["wait"] = []string{reason(s)}
		}
	}
}

// isOffCPU says whether a sample without a system call is a wait: a kernel thread's, for example.
func isOffCPU(s *profile.Sample) bool {
	switch first(s.Label["thread_state"]) {
	case "interruptible", "uninterruptible", "stopped", "idle":
		return true
	}
	return false
}

func first(values []string) string {
	if len(values) == 0 {
		return ""
	}
	return values[0]
}

// byFrame are the functions of the kernel that tell what a thread waits for. More telling ones come first: a page fault that reads
// from a disk is a page fault.
var byFrame = []struct {
	part   string // of the function's name, its begin if it ends with *
	reason string
}{
	{"exc_page_fault", "page fault"},
	{"do_page_fault", "page fault"},
	{"handle_mm_fault", "page fault"},
	{"do_mem_abort", "page fault"},
	{"futex_*", "futex"},
	{"do_futex", "futex"},
	{"ep_poll", "epoll"},
	{"do_epoll_wait", "epoll"},
	{"do_select", "select"},
	{"do_sys_poll", "poll"},
	{"do_poll", "poll"},
	{"do_nanosleep", "sleep"},
	{"hrtimer_nanosleep", "sleep"},
	{"pipe_*", "pipe"},
	{"anon_pipe_*", "pipe"},
	{"fifo_open", "pipe"},
	{"do_wait", "child"},
	{"wait_consider_task", "child"},
	{"kernel_wait4", "child"},
	{"unix_*", "socket"},
	{"inet_*", "socket"},
	{"tcp_*", "socket"},
	{"udp_*", "socket"},
	{"sk_*", "socket"},
	{"sock_*", "socket"},
	{"__skb_wait_for_more_packets", "socket"},
	{"netlink_*", "socket"},
	{"io_schedule", "io"},
	{"folio_wait_*", "io"},
	{"wait_on_page_*", "io"},
	{"submit_bio_wait", "io"},
	{"blk_*", "io"},
	{"jbd2_*", "io"},
	{"n_tty_read", "io"},
	{"do_writepages", "io"},
}

var bySyscall = map[string]string{
	"futex": "futex", "futex_wait": "futex", "futex_waitv": "futex",
	"epoll_wait": "epoll", "epoll_pwait": "epoll", "epoll_pwait2": "epoll",
	"poll": "poll", "ppoll": "poll", "select": "select", "pselect6": "select",
	"nanosleep": "sleep", "clock_nanosleep": "sleep", "pause": "sleep",
	"wait4": "child", "waitid": "child", "vfork": "child",
	"recvfrom": "socket", "recvmsg": "socket", "recvmmsg": "socket", "sendto": "socket", "sendmsg": "socket", "sendmmsg": "socket",
	"accept": "socket", "accept4": "socket", "connect": "socket",
	"fsync": "io", "fdatasync": "io", "sync": "io", "pread64": "io", "pwrite64": "io", "preadv": "io", "pwritev": "io", "io_uring_enter": "io",
	"none": "page fault",
}

func reason(s *profile.Sample) string {
	found := len(byFrame)
	named := false
	for _, l := range s.Location[wakerFrames(s):] { // what the waker did is no reason
		if !inKernel(l) || len(l.Line) == 0 || l.Line[0].Function == nil {
			continue
		}
		named = true
		name := l.Line[0].Function.Name
		for i, b := range byFrame[:found] {
			prefix, isPrefix := strings.CutSuffix(b.part, "*")
			if name == b.part || isPrefix && strings.HasPrefix(name, prefix) {
				found = i
				break
			}
		}
	}
	if found < len(byFrame) {
		return byFrame[found].reason
	}
	if r, ok := bySyscall[first(s.Label["syscall"])]; ok && (!named || r != "page fault") {
		return r
	}
	return "other"
}

// WokenBy begins the name of the frame that stands between the stack of who waited and that of its waker, which is before it, root first.
const WokenBy = "[woken by "

// wakerFrames is how many frames of a sample are its waker's; 0 where it has none.
func wakerFrames(s *profile.Sample) int {
	return 1 + slices.IndexFunc(s.Location, func(l *profile.Location) bool {
		return l.Mapping == nil && len(l.Line) == 1 && strings.HasPrefix(l.Line[0].Function.Name, WokenBy)
	})
}

// inKernel says whether a location is code of the kernel or of a module.
func inKernel(l *profile.Location) bool { return l.Mapping != nil && l.Mapping.Start >= 1<<63 }

// Interrupted mends the kernel frames that an interrupt or an exception broke into: their address is where they were, not
// a return address, so nothing must be taken off it. It returns true when there are such frames; their new
// locations have no names yet.
func Interrupted(p *profile.Profile) bool {
	exact := map[*profile.Location]*profile.Location{}
	for _, s := range p.Sample {
		waker := wakerFrames(s)
		for i, l := range s.Location {
			entry := i - 1 // what broke into it
			if i < waker {
				entry = i + 1
			}
			if entry < 0 || entry >= len(s.Location) || !inKernel(s.Location[entry]) || !inKernel(l) || !entersKernel(s.Location[entry]) {
				continue
			}
			if exact[l] == nil {
				exact[l] = &profile.Location{ID: uint64(len(p.Location) + 1), Mapping: l.Mapping, Address: l.Address + 1}
				p.Location = append(p.Location, exact[l])
			}
			s.Location[i] = exact[l]
		}
	}
	return len(exact) > 0
}

// entersKernel says whether a frame is the assembly that an interrupt or exception enters the kernel by.
func entersKernel(l *profile.Location) bool {
	if len(l.Line) == 0 || l.Line[0].Function == nil {
		return false
	}
	name := l.Line[0].Function.Name
	for _, prefix := range []string{"asm_exc_", "asm_sysvec_", "asm_common_interrupt", "asm_spurious_interrupt", "el1h_64_", "el1t_64_"} {
		if strings.HasPrefix(name, prefix) {
			return true
		}
	}
	return false
}
