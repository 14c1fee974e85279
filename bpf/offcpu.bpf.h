// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/*
 * The account of a thread: what the switch programs and the sweep share.
 *
 * Clock: where a task leads to its run queue (CONFIG_FAIR_GROUP_SCHED), an interval starts and ends
 * with the clock that the scheduler itself has just read (rq->clock), the same
 * by which it notes when a task was queued (sched_info.last_queued). That saves
 * a clock read a switch, and a program at each wake-up. Otherwise both are done.
 */
#ifndef ASSAY_OFFCPU_BPF_H
#define ASSAY_OFFCPU_BPF_H

#include "maps.bpf.h"

const volatile bool use_rq_clock = true;

struct control {
	__u32 phase;
	__u32 pad;
	__u64 start; /* the window, in the clock of the switches */
	__u64 end;
	__u64 start_mono; /* the same moments by CLOCK_MONOTONIC */
	__u64 end_mono;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct control);
} window SEC(".maps");

/* Flags of a thread that is off its CPU. */
enum {
	WAIT_CHOSEN = 1, /* its user stack was taken */
	WAIT_LATE = 2,   /* by the sweep, not at the switch */
	WAIT_WAKER = 4,  /* its waker's stack was taken */
};

struct account {
	__u64 on_at;     /* when it got its CPU; 0: it has none */
	__u64 out_at;    /* when it left it; 0: before the window */
	__u64 run_delay; /* sched_info.run_delay at that time */
	__u64 user_stack;
	__u64 labels; /* taken with it */
	__u64 begin;  /* start of the window or of the thread; 0: not seen yet */
	__u64 rand;
	__u64 woken_at; /* only without sched_info */
	__u64 out_mono; /* only with wakers: when it left its CPU, by CLOCK_MONOTONIC */
	__u64 waker_user_stack;
	__u64 waker_kernel_stack;
	__u64 credit; /* ns that stacks may be taken for without chance */
	__u32 waker_tgid;
	__u32 waker_tid;
	__u8 state; /* enum thread_state */
	__u8 wait;  /* WAIT_ flags */
	__u8 shift; /* it was chosen with probability 2^-shift */
	__u8 pad;
	__s32 syscall; /* that it is in, when chosen */
	__u8 waker_comm[COMM_LEN];
	struct thread_time time;
};

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct account);
} accounts SEC(".maps");

static __always_inline struct control *get_control(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&window, &zero);
}

/* a - b; clocks of two CPUs may differ by a few nanoseconds. */
static __always_inline __u64 since(__u64 a, __u64 b, struct counters *c)
{
	if (a >= b)
		return a - b;
	COUNT(c, clock_backwards);
	return 0;
}

static __always_inline __u8 state_of(unsigned int state)
{
	if (!state)
		return STATE_RUNNABLE;
	if (state & 0x80) /* TASK_DEAD */
		return STATE_DEAD;
	if ((state & 0x402) == 0x402) /* TASK_IDLE: uninterruptible, but no load */
		return STATE_IDLE;
	if (state & (0x4 | 0x8 | 0x40)) /* stopped, traced, parked */
		return STATE_STOPPED;
	if (state & (0x2 | 0x1000)) /* TASK_UNINTERRUPTIBLE, TASK_RTLOCK_WAIT */
		return STATE_UNINTERRUPTIBLE;
	return STATE_INTERRUPTIBLE;
}

/* The part of a wait that ended now (or is cut now) which was spent on a run queue. */
static __always_inline __u64 queued_for(struct task_struct *task, struct account *a, __u64 now,
					struct counters *c)
{
	__u64 queued = 0;

	if (!use_rq_clock)
		return a->woken_at ? since(now, a->woken_at, c) : 0;
	/* Queues that it was moved away from meanwhile, then the one it is on. */
	if (a->run_delay && task->sched_info.run_delay > a->run_delay)
		queued = task->sched_info.run_delay - a->run_delay;
	if (task->sched_info.last_queued)
		queued += since(now, task->sched_info.last_queued, c);
	return queued;
}

#endif
