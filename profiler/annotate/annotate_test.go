// SPDX-License-Identifier: Apache-2.0

package annotate

import (
	"strings"
	"testing"

	"github.com/google/pprof/profile"
)

// stack makes a sample of a wait in a system call of frames, leaf first. Those in lower case are the kernel's; "[…]" has no mapping.
func stack(p *profile.Profile, syscall, frames string) *profile.Sample {
	kernel := &profile.Mapping{Start: 1 << 63}
	s := &profile.Sample{Label: map[string][]string{"syscall": {syscall}, "thread_state": {"interruptible"}}}
	for i, name := range strings.Split(frames, ",") {
		l := &profile.Location{Address: uint64(1000 + i), Line: []profile.Line{{Function: &profile.Function{Name: name}}}}
		switch {
		case strings.HasPrefix(name, "["):
		case strings.ToLower(name) == name:
			l.Mapping = kernel
		default:
			l.Mapping = &profile.Mapping{}
		}
		p.Location = append(p.Location, l)
		s.Location = append(s.Location, l)
	}
	p.Sample = append(p.Sample, s)
	return s
}

func TestWaits(t *testing.T) {
	for _, c := range []struct{ syscall, frames, want string }{
		{"futex", "schedule,futex_wait_queue,do_futex,Main", "futex"},
		{"read", "schedule,io_schedule,exc_page_fault,Main", "page fault"},
		{"read", "schedule,anon_pipe_read,vfs_read,Main", "pipe"},
		{"nanosleep", "Main", "sleep"},
		{"none", "Main", "page fault"},
		{"uname", "schedule,Main", "other"},
		// The waker was in a page fault, or in a timer's interrupt that broke into one; who waited was not.
		{"futex", "Worker,asm_exc_page_fault,exc_page_fault,try_to_wake_up,[woken by worker],schedule,do_futex,Main", "futex"},
		{"nanosleep", "tcp_ack,try_to_wake_up,[woken by worker],Main", "sleep"},
		{"read", "Worker,[woken by a]b],schedule,exc_page_fault,Main", "page fault"},
	} {
		var p profile.Profile
		s := stack(&p, c.syscall, c.frames)
		if Waits(&p); first(s.Label["wait"]) != c.want {
			t.Errorf("%s, %s: %q, want %q", c.syscall, c.frames, s.Label["wait"], c.want)
		}
	}
}

// TestInterrupted wants the frame that was broken into, and no other, to be where it was: outwards of the entry in a stack, and before it in
// a waker's, which stands on its head.
func TestInterrupted(t *testing.T) {
	for frames, at := range map[string]int{
		"handler,asm_sysvec_apic_timer_interrupt,do_work,caller,Main":                      2,
		"Worker,caller,do_work,asm_exc_page_fault,handler,[woken by worker],schedule,Main": 2,
		"[woken by worker],handler,asm_exc_page_fault,do_work,Main":                        3,
		"schedule,do_futex,Main": -1,
		"Worker,do_work,asm_exc_page_fault,[woken by worker],schedule,caller,do_syscall_64,Me": 1,
	} {
		var p profile.Profile
		s := stack(&p, "futex", frames)
		if found := Interrupted(&p); found != (at >= 0) {
			t.Errorf("%s: %v", frames, found)
		}
		for i, l := range s.Location {
			want := uint64(1000 + i)
			if i == at {
				want++
			}
			if l.Address != want {
				t.Errorf("%s: frame %d is at %d, want %d", frames, i, l.Address, want)
			}
		}
	}
}
