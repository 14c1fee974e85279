// SPDX-License-Identifier: Apache-2.0

package main_test

import (
	"errors"
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/assaylab/assay/internal/truth"
)

// accountFlags record all modes, so that one profile has every account.
var accountFlags = []string{"--mode", "cpu,offcpu,wall"}

// TestAccountOfThreads compares what is recorded of each thread with what the kernel told the thread of itself: on-CPU time, run-queue
// time, and that both together with its waits are its wall time.
func TestAccountOfThreads(t *testing.T) {
	for _, c := range []struct {
		name    string
		source  string
		args    []string
		threads []string
	}{
		{"computes", "split.c", []string{"1"}, []string{"main"}},
		{"waits", "sleeper.c", []string{"1"}, []string{"main"}},
		{"fights for a CPU", "fight.c", []string{"1"}, []string{"fighter0", "fighter1", "fighter2", "fighter3"}},
		{"hops", "hop.c", []string{"1"}, []string{"hopper"}},
		{"switches", "pingpong.c", []string{"300000"}, []string{"ping", "pong"}},
		{"leader gone", "leader.c", []string{"1"}, []string{"orphan"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := record(t, append(flags(accountFlags, "--", truth.Build(t, c.source)), c.args...)...)
			said := r.truth(t)
			for _, thread := range c.threads {
				if err := compareThread(t, r, said, thread); err != nil {
					t.Errorf("%s: %v", thread, err)
				}
			}
			if err := closes(t, r); err != nil {
				t.Error(err)
			}
		})
	}
}

// compareThread compares the sums of a thread's samples with its schedstat.
func compareThread(t *testing.T, r *recording, said truth.Says, name string) error {
	t.Helper()
	is := numbered("tid", said.Want(t, "tid."+name))
	wall := duration(t, r.p, "wall", is)
	off, queued := duration(t, r.p, "off_cpu", is), duration(t, r.p, "runqueue", is)
	trueCPU, trueQueued := time.Duration(said.Want(t, "oncpu_ns."+name)), time.Duration(said.Want(t, "queued_ns."+name))
	return errors.Join(
		compareAccounts("on CPU", wall-off-queued, trueCPU, wall),
		compareAccounts("run queue", queued, trueQueued, wall),
	)
}

// closes wants the accounts of all threads to add up to their wall time, in what the profile says of itself and in its samples.
func closes(t *testing.T, r *recording) error {
	t.Helper()
	var parts time.Duration
	for _, key := range []string{
		"oncpu", "runqueue_woken", "runqueue_preempted",
		"offcpu_interruptible", "offcpu_uninterruptible", "offcpu_stopped", "offcpu_idle",
	} {
		parts += r.time(t, "acct."+key+"_ns")
	}
	wall, residual := r.time(t, "acct.wall_ns"), r.time(t, "acct.residual_ns")
	// Some machines keep threads of the system out of the list of threads, though not out of its switches.
	unaccounted := time.Duration(0)
	if ns, ok := r.facts.Int("acct.unaccounted_ns"); ok {
		unaccounted = time.Duration(ns)
		if targets, _ := r.facts.Get("targets"); targets != "whole machine" {
			return fmt.Errorf("threads of ours have %s without an account", unaccounted)
		}
	}
	worst, ok := r.facts.Float("acct.max_thread_residual_ratio")
	if !ok || math.Abs(worst) > percent {
		return fmt.Errorf("a thread has %g of its time unaccounted", worst)
	}
	return errors.Join(
		compareAccounts("sum of the parts and the residual", parts+residual, wall, 0),
		compareAccounts("sum of the parts", parts, wall, wall),
		compareAccounts("wall time of the samples", duration(t, r.p, "wall", all), wall+unaccounted, wall),
	)
}

// TestRunQueue wants the wait for a CPU that four threads fight for to be a preempted one, under the function that was preempted.
func TestRunQueue(t *testing.T) {
	r := record(t, "--mode", "offcpu", "--", truth.Build(t, "fight.c"), "1")
	said := r.truth(t)
	for i := range 4 {
		name := fmt.Sprintf("fighter%d", i)
		inside := either(onStack("fight"), onStack("[run queue without a stack]"))
		is := every(numbered("tid", said.Want(t, "tid."+name)), inside, labelled("runqueue", "preempted"))
		queued := time.Duration(said.Want(t, "fought_ns."+name))
		if err := compareAccounts(name, duration(t, r.p, "runqueue", is), queued, time.Second); err != nil {
			t.Error(err)
		}
	}
}

// TestAccountOfProcesses records a program that starts a thousand others, one after the other, and compares the sum of their CPU times
// with what the kernel told the program of its children.
func TestAccountOfProcesses(t *testing.T) {
	r := record(t, flags(accountFlags, "--", truth.Build(t, "storm.c"), "2", "1")...)
	said := r.truth(t)
	used := time.Duration(said.Want(t, "cpu_ns.children") + said.Want(t, "cpu_ns.self"))
	if err := compareAccounts("CPU time of all", r.time(t, "acct.oncpu_ns"), used, used); err != nil {
		t.Error(err)
	}
	// A child is one thread, and so is the program.
	if got, want := r.fact(t, "threads"), said.Want(t, "children")+1; got != want {
		t.Errorf("%d threads, want %d", got, want)
	}
	if err := closes(t, r); err != nil {
		t.Error(err)
	}
}

// TestWholeMachine records all threads of the machine, most of which wait all the time.
func TestWholeMachine(t *testing.T) {
	r := record(t, flags(accountFlags, "--duration", "1s")...)
	if err := closes(t, r); err != nil {
		t.Error(err)
	}
	window, whole := r.time(t, "acct.window_ns"), r.fact(t, "threads_whole")
	if wall := r.time(t, "acct.wall_ns"); wall < time.Duration(whole)*window*(100-1)/100 {
		t.Errorf("%d threads were there for the whole window of %s, and all have %s", whole, window, wall)
	}
	// Threads of the kernel that have nothing to do don't wait: they are idle.
	if n := duration(t, r.p, "off_cpu", labelled("thread_state", "idle")); n < window {
		t.Errorf("idle threads have %s", n)
	}
}

// TestSamplesExpected wants the number of samples that a profile says it should have to be the frequency times the CPU time, and those that
// were taken to be as many, less those that it says are lost.
func TestSamplesExpected(t *testing.T) {
	program := truth.Build(t, "split.c")
	settle(t, 1, func(seconds float64) error {
		r := record(t, flags(cpuFlags, "--", program, secondsArg(seconds))...)
		cpu := time.Duration(r.truth(t).Want(t, "oncpu_ns.main"))
		var lost int64
		for _, f := range r.facts.Group("lost.") {
			n, _ := r.facts.Int("lost." + f.Key)
			lost += n
		}
		return errors.Join(
			compareAccounts("expected", time.Duration(r.fact(t, "samples_expected"))*time.Second/cpuHz, cpu, cpu),
			compareNumber("taken and lost", r.fact(t, "samples_taken")+lost, cpuHz, cpu),
			compareNumber("the profile", sum(t, r.p, "samples", all), cpuHz, cpu),
		)
	})
}

// TestStackTimes wants the time by quality of stacks to be all time that the profile has.
func TestStackTimes(t *testing.T) {
	r := record(t, "--mode", "cpu", "--", truth.Build(t, "split.c"), "0.5")
	var parts time.Duration
	for _, quality := range []string{"whole", "cut", "broken", "none"} {
		parts += r.time(t, "time_ns."+quality)
	}
	cpu := duration(t, r.p, "cpu", all)
	if err := compareAccounts("stacks of all qualities", parts, cpu, cpu); err != nil {
		t.Error(err)
	}
}
