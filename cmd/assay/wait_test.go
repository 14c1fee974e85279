// SPDX-License-Identifier: Apache-2.0

package main_test

import (
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/pprof/profile"

	"github.com/assaylab/assay/internal/truth"
)

// reasons are how the waits of sleeper.c are to be labelled, by function.
var reasons = map[string]struct{ wait, syscall string }{
	"in_nanosleep": {"sleep", "nanosleep"},
	"in_futex":     {"futex", "futex"},
	"in_pipe":      {"pipe", "read"},
}

// TestWaits records a thread that waits in functions, and wants the time of each kind of wait, exactly: by its reason and system call,
// which the kernel's side of a stack tells, and by function.
func TestWaits(t *testing.T) {
	program := truth.Build(t, "sleeper.c")
	for _, mode := range [][]string{{"--mode", "offcpu"}, {"--mode", "offcpu", "--exact"}, {"--mode", "offcpu", "--wakers"}} {
		t.Run(strings.Join(mode, " "), func(t *testing.T) {
			r := record(t, flags(mode, "--", program, "1")...)
			said := r.truth(t)
			thread := numbered("tid", said.Want(t, "tid.main"))
			got := map[string]time.Duration{}
			for function, is := range reasons {
				asked := every(thread, labelled("wait", is.wait), labelled("syscall", is.syscall), labelled("thread_state", "interruptible"))
				// A short wait by the draw that turned out long has no user stack, and says so.
				got[function] = duration(t, r.p, "off_cpu", every(asked, either(onStack(function), onStack("[user stack not taken]"))))
				inside := every(thread, onStack(function))
				if other := duration(t, r.p, "off_cpu", inside) - duration(t, r.p, "off_cpu", every(asked, inside)); other != 0 {
					t.Errorf("%s: %s have another reason than %+v", function, other, is)
				}
			}
			if err := compareSpans(got, said.Spans(), r.mended()); err != nil {
				t.Error(err)
			}
			if mode[len(mode)-1] != "--exact" {
				return
			}
			if err := compareSpans(waitsIn(t, r.p, reasons), said.Spans(), r.mended()); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestWakers wants the waits for the pipe to have been ended by the thread that writes to it, where it does so; those for a time by
// nobody's thread, but by the timer's interrupt.
func TestWakers(t *testing.T) {
	r := record(t, "--mode", "offcpu", "--wakers", "--", truth.Build(t, "sleeper.c"), "1")
	waited := duration(t, r.p, "off_cpu", onStack("in_pipe"))
	rung := every(onStack("in_pipe"), onStack("ringer"), onStack("[woken by sleeper]"))
	// The first answer of all may find nobody waiting.
	if got := duration(t, r.p, "off_cpu", rung); waited == 0 || got < waited*9/10 {
		t.Errorf("%s of %s in in_pipe were ended by the ringer", got, waited)
	}
	if got := duration(t, r.p, "off_cpu", every(onStack("in_nanosleep"), onStack("ringer"))); got != 0 {
		t.Errorf("%s in in_nanosleep were ended by the ringer", got)
	}
}

// TestMinBlock leaves short waits out of the stacks, and counts their time.
func TestMinBlock(t *testing.T) {
	program := truth.Build(t, "sleeper.c")
	r := record(t, "--mode", "offcpu", "--min-block", "1s", "--", program, "1")
	said := r.truth(t)
	var span truth.Span
	for _, s := range said.Spans() {
		span.Least += s.Least
		span.Most += s.Most
	}
	if got := duration(t, r.p, "off_cpu", onStack("await")); got != 0 {
		t.Errorf("%s of waits under a second have a stack", got)
	}
	thread := numbered("tid", said.Want(t, "tid.main"))
	// The start of the command, held until the recording begins, isn't in the span.
	span.Most += duration(t, r.p, "off_cpu", every(thread, labelled("thread_state", "stopped"))) + 100*time.Millisecond
	if err := compareSpans(map[string]time.Duration{"all": duration(t, r.p, "off_cpu", thread)}, map[string]truth.Span{"all": span}, 0); err != nil {
		t.Error(err)
	}
}

// TestHop moves a thread to another CPU again and again while it waits.
func TestHop(t *testing.T) {
	r := record(t, "--mode", "offcpu", "--", truth.Build(t, "hop.c"), "1")
	said := r.truth(t)
	if hops := said.Want(t, "hops"); hops < 20 {
		t.Fatalf("only %d waits ended on another CPU", hops)
	}
	thread := numbered("tid", said.Want(t, "tid.hopper"))
	slept := duration(t, r.p, "off_cpu", every(thread, labelled("syscall", "nanosleep")))
	if err := compareSpans(map[string]time.Duration{"hop_wait": slept}, said.Spans(), r.mended()); err != nil {
		t.Error(err)
	}
	queued := time.Duration(said.Want(t, "queued_ns.hopper"))
	whole := said.Spans()["hop_wait"].Most
	if err := compareAccounts("run queue", duration(t, r.p, "runqueue", thread), queued, whole); err != nil {
		t.Error(err)
	}
}

// TestBlockedThroughout records threads that waited before the recording began and wait on when it ends: all of the window is theirs.
func TestBlockedThroughout(t *testing.T) {
	p := launch(t, truth.Build(t, "blocked.c"))
	time.Sleep(200 * time.Millisecond)
	r := record(t, "--mode", "offcpu", "--duration", "500ms", "--pid", p.pid())
	if err := p.stdin.Close(); err != nil {
		t.Fatal(err)
	}
	said := p.wait(t)
	window := r.time(t, "acct.window_ns")
	for _, c := range []struct{ thread, function, wait string }{
		{"tid.main", "wait_for_input", "pipe"},
		{"tid.waiter", "wait_for_ever", "futex"},
	} {
		is := every(numbered("tid", said.Want(t, c.thread)), onStack(c.function), labelled("wait", c.wait))
		if err := compareAccounts(c.function, duration(t, r.p, "off_cpu", is), window, window); err != nil {
			t.Error(err)
		}
	}
	if d := r.time(t, "duration_ns"); window > d || window < d*9/10 {
		t.Errorf("a window of %s in %s", window, d)
	}
}

// TestManyStacks goes down 110,000 paths, each a stack of its own, and waits at the end of each. With --exact every path has to be there,
// and without, what is there has to stand for the time of all.
func TestManyStacks(t *testing.T) {
	const paths = 110_000
	program := truth.Build(t, "stacks.c")
	for _, mode := range [][]string{{"--mode", "offcpu", "--exact"}, {"--mode", "offcpu"}} {
		t.Run(strings.Join(mode, " "), func(t *testing.T) {
			r := record(t, flags(mode, "--", program, fmt.Sprint(paths), "wait", "1")...)
			said := r.truth(t)
			// Without what the walker ran and queued, what is left is the waits. By perf's clock a thread runs until our program has
			// walked its stack, and not while that walks the partner's, so the walks lie between the two clocks.
			waited := duration(t, r.p, "off_cpu", onStack("bottom_wait"))
			least, most := time.Duration(said.Want(t, "least_ns")), time.Duration(said.Want(t, "by_cpu_ns"))
			if err := compareAccounts("bottom_wait", waited, min(max(waited, least), most), time.Duration(said.Want(t, "most_ns"))); err != nil {
				t.Error(err)
			}
			if n := len(pathsIn(r.p, "bottom_wait")); len(mode) == 3 && n < paths-int(r.mended()) {
				t.Errorf("%d paths of %d, %d waits without a stack", n, paths, r.mended())
			}
		})
	}
}

// TestManyStacksOnCPU samples a program on such paths: hardly any two samples have the same stack, and none may be missing.
func TestManyStacksOnCPU(t *testing.T) {
	const hz = 5000
	program := truth.Build(t, "stacks.c")
	settle(t, 1, func(seconds float64) error {
		r := record(t, "--freq", fmt.Sprint(hz), "--", program, "110000", "burn", fmt.Sprint(3*seconds))
		cpu := time.Duration(r.truth(t).Want(t, "cpu_ns"))
		samples := sum(t, r.p, "samples", onStack("bottom_burn"))
		if n := len(pathsIn(r.p, "bottom_burn")); int64(n) < samples*8/10 {
			return fmt.Errorf("%d samples on %d paths", samples, n)
		}
		return compareNumber("all of it", sum(t, r.p, "samples", onStack("main")), hz, cpu)
	})
}

// pathsIn reads the paths off the stacks above a bottom: a is a 1 bit and b a 0, the first call the lowest.
func pathsIn(p *profile.Profile, bottom string) map[uint]bool {
	found := map[uint]bool{}
	for _, s := range p.Sample {
		if path, depth := pathOf(s, bottom); depth == 17 {
			found[path] = true
		}
	}
	return found
}

func pathOf(s *profile.Sample, bottom string) (path uint, depth int) {
	below := false
	for _, l := range s.Location { // from the last call to the first
		switch {
		case named(l, bottom):
			below = true
		case below && named(l, "a"):
			path, depth = path<<1|1, depth+1
		case below && named(l, "b"):
			path, depth = path<<1, depth+1
		}
	}
	return path, depth
}

// TestShortWaits has two threads wait a million times for a microsecond or less: the totals have them all, and so have the
// stacks, as far as a sample can stand for them.
func TestShortWaits(t *testing.T) {
	program := truth.Build(t, "pingpong.c")
	for _, mode := range [][]string{{"--mode", "offcpu"}, {"--mode", "offcpu", "--exact"}} {
		t.Run(strings.Join(mode, " "), func(t *testing.T) {
			r := record(t, flags(mode, "--", program, "1000000")...)
			said := r.truth(t)
			for _, name := range []string{"ping", "pong"} {
				if err := compareShortWaits(t, r, said, name, len(mode) == 3); err != nil {
					t.Errorf("%s: %v", name, err)
				}
			}
		})
	}
}

// compareShortWaits compares the time of a thread's waits with its account and their number with its voluntary switches.
func compareShortWaits(t *testing.T, r *recording, said truth.Says, name string, exact bool) error {
	t.Helper()
	inside := every(numbered("tid", said.Want(t, "tid."+name)), onStack("move_pages"))
	played := time.Duration(said.Want(t, "played_ns."+name))
	off := played - time.Duration(said.Want(t, "oncpu_ns."+name)) - time.Duration(said.Want(t, "queued_ns."+name))
	count, waits := float64(sum(t, r.p, "off_cpu_events", inside)), float64(said.Want(t, "waits."+name))
	margin := 0.0
	if !exact {
		// A wait that is taken stands for at most 2^7 others, so at least one in 128 is taken; the sum of n that stand for
		// N scatters by N/√n.
		margin = deviations * waits / math.Sqrt(waits/128)
	}
	var err error
	// A thread switches voluntarily a few times outside of the game: to be held at the start, to write what it says.
	if math.Abs(count-waits) > margin+10+float64(r.mended()) {
		err = fmt.Errorf("%.0f waits, want %.0f ± %.0f", count, waits, margin)
	}
	return errors.Join(err, compareAccounts("time of the waits", duration(t, r.p, "off_cpu", inside), off, played))
}
