// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
//go:build ignore

/*
 * Time accounting at context switches. Each interval of each thread is added
 * to its account, exactly; its stack is taken only when it is worth its price.
 *
 * A thread that leaves its CPU is chosen with probability p = 2^-shift, by the
 * time since it left it before: p is about that time over sample_gap, 1 for all that switch
 * less often, and 1 for a burst after a pause. p is settled before the
 * length of the wait is known, so that count/p and time/p are unbiased (Horvitz
 * and Thompson, 1952). A wait of long_wait or more always counts with its
 * kernel stack and weight one, chosen or not. The user stack can only be walked
 * by the thread itself, as it leaves; the kernel stack is walked as it comes back,
 * when the length is known and the frames of the switch itself are not in it.
 */
#include "cost.bpf.h"
#include "offcpu.bpf.h"
#include "target.bpf.h"
#include "unwind.bpf.h"

char _license[] SEC("license") = "Dual BSD/GPL";

const volatile bool has_prev_state = true; /* fourth argument of sched_switch: kernel 5.18 */
const volatile bool has_loop = true;       /* bpf_loop: kernel 5.17 */
const volatile bool exact;                 /* every stack */
const volatile bool with_wakers;
const volatile __u64 min_block;          /* ns: shorter waits get no stack */
const volatile __u64 long_wait = 250000; /* ns */
const volatile __u64
	sample_gap = 250000; /* ns: mean time between sampled stacks of a busy switcher */

#define MAX_SHIFT 7
#define COST_GAP 256
#define MAX_CREDIT 16 /* stacks in a burst */

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct scratch);
} switch_scratch SEC(".maps"), waker_scratch SEC(".maps");

/* The scheduler's clock of this CPU, read through any task that is on it. */
static __always_inline __u64 clock_now(struct task_struct *task)
{
	if (use_rq_clock)
		return task->se.cfs_rq->rq->clock;
	return bpf_ktime_get_ns();
}

/* Opens or closes the window: once, on whichever CPU comes first. */
static __noinline bool turn_phase(struct control *ctl, __u64 now)
{
	if (!ctl)
		return false;
	if (ctl->phase == PHASE_ARMED) {
		ctl->start = now;
		ctl->start_mono = bpf_ktime_get_ns();
		__sync_val_compare_and_swap(&ctl->phase, PHASE_ARMED, PHASE_ON);
		return true;
	}
	if (ctl->phase == PHASE_CLOSING) {
		ctl->end = now;
		ctl->end_mono = bpf_ktime_get_ns();
		__sync_val_compare_and_swap(&ctl->phase, PHASE_CLOSING, PHASE_CLOSED);
	}
	return false;
}

static __always_inline struct account *get_account(struct task_struct *task, struct counters *c)
{
	struct account *a = bpf_task_storage_get(&accounts, task, NULL,
						 BPF_LOCAL_STORAGE_GET_F_CREATE);

	if (!a)
		COUNT(c, storage_full);
	return a;
}

/* 2^-shift ~ (time since the last switch of this thread) / sample_gap */
static __always_inline __u8 shift_for(__u64 gap)
{
	__u8 shift = 0;

	for (int i = 0; i < MAX_SHIFT; i++) {
		if (gap >= sample_gap)
			break;
		gap <<= 1;
		shift++;
	}
	return shift;
}

static __always_inline bool choose(struct account *a, __u64 gap, __u64 now)
{
	__u64 x = a->rand;

	a->shift = 0;
	if (exact)
		return true;
	/* A pause gives credit for a burst: only who switches fast for long is left to chance. */
	if (gap >= sample_gap) {
		a->credit = gap < MAX_CREDIT * sample_gap - a->credit ? a->credit + gap
								      : MAX_CREDIT * sample_gap;
		return true;
	}
	if (a->credit >= sample_gap) {
		a->credit -= sample_gap;
		return true;
	}
	a->shift = shift_for(gap);
	/* xorshift64 (Marsaglia, 2003), one state a thread */
	if (!x)
		x = now ^ ((__u64)bpf_get_prandom_u32() << 32) ^ 1;
	x ^= x << 13;
	x ^= x >> 7;
	x ^= x << 17;
	a->rand = x;
	return !((x >> 20) & ((1 << a->shift) - 1));
}

static __always_inline void take_user_stack(void *ctx, struct task_struct *task, struct account *a,
					    struct counters *c)
{
	__u32 zero = 0;
	struct scratch *s = bpf_map_lookup_elem(&switch_scratch, &zero);
	struct ids ids;

	if (!s)
		return;
	a->wait = WAIT_CHOSEN;
	a->user_stack = 0;
	a->labels = 0;
	if (task->flags & PF_KTHREAD || !get_ids(task, &ids))
		return;
	a->syscall = REGS_SYSCALL((struct pt_regs *)bpf_task_pt_regs(task));
	a->user_stack = user_stack(ctx, s, task, ids.tgid, c);
	a->labels = go_labels(&s->go, task, ids.tgid, hash_seed, c);
}

#if defined(__TARGET_ARCH_x86)
#define THREAD_BYTES 16384 /* a kernel stack, aligned to its size */
#define REMEMBERED 4096
#define REMEMBERED_FRAMES 16

/* A walk by ORC tables costs over a microsecond, and threads mostly wait where they
 * waited before. So a walk is remembered with the places of its return addresses on
 * the stack, counted from the resting stack pointer. If all of them are found in their places again, the
 * walk would come to the same end: each of its steps goes from a return address
 * by a distance that depends on that address alone. */
struct remembered {
	__u64 id;
	__u64 check; /* of all the rest: two CPUs may write one line */
	__u32 n;
	__u32 places[REMEMBERED_FRAMES];
	__u64 frames[REMEMBERED_FRAMES];
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, REMEMBERED);
	__type(key, __u32);
	__type(value, struct remembered);
} walks SEC(".maps");

__noinline __u64 check_of(struct remembered *r, __u64 depth)
{
	__u64 h;

	if (!r)
		return 0;
	h = mix(hash_seed ^ depth, r->id);
	for (int i = 0; i < REMEMBERED_FRAMES; i++) {
		if (i >= r->n)
			break;
		h = mix(h, r->frames[i] ^ (__u64)r->places[i] << 48);
	}
	return h;
}

/* Whether the stack in window is the one of r. */
__noinline int same_walk(struct scratch *s, struct remembered *r, __u32 words)
{
	if (!s || !r)
		return false;
	for (int i = 0; i < REMEMBERED_FRAMES; i++) {
		__u32 at;

		if (i >= r->n)
			break;
		at = r->places[i];
		if (at >= words || at >= KWINDOW_BYTES / 8 || s->window[at] != r->frames[i])
			return false;
	}
	return true;
}

struct placing {
	struct scratch *s;
	struct remembered *r;
	__u32 n;
	__u32 found;
	bool twice;
};

static long place_frame(__u32 i, struct placing *p)
{
	__u32 k = p->found;
	__u64 word;

	if (i >= KWINDOW_BYTES / 8)
		return 1;
	word = p->s->window[i];
	if (k && k <= REMEMBERED_FRAMES && word == p->s->kernel.frames[k - 1]) {
		p->twice = true;
		return 1;
	}
	if (k < p->n && k < REMEMBERED_FRAMES && word == p->s->kernel.frames[k]) {
		p->r->places[k] = i;
		p->r->frames[k] = word;
		p->found = k + 1;
	}
	return 0;
}

/* Finds the return addresses of the walk in s on the stack. One that stands there twice
 * in a row may be a leftover: such a walk is not remembered. */
static __always_inline bool place_frames(struct scratch *s, struct remembered *r, __u32 words,
					 __u32 n)
{
	struct placing p = { .s = s, .r = r, .n = n };

	if (!has_loop || n > REMEMBERED_FRAMES)
		return false;
	bpf_loop(words, place_frame, &p, 0);
	r->n = n;
	return p.found == n && !p.twice;
}

static __always_inline __u64 blocked_kernel_stack(struct scratch *s, struct task_struct *task,
						  __u32 tgid, struct counters *c)
{
	__u64 sp = task->thread.sp, depth = THREAD_BYTES - (sp & (THREAD_BYTES - 1)), id;
	__u32 i = mix(hash_seed, depth ^ (__u64)s->count.key.syscall << 32) & (REMEMBERED - 1);
	struct remembered *r = NULL;
	long bytes;

	/* The mask changes nothing, but verifiers before 6.13 know the bound only by it. */
	if (depth < KWINDOW_BYTES) {
		barrier_var(depth);
		depth &= KWINDOW_BYTES - 1;
		if (bpf_probe_read_kernel(s->window, depth, (void *)sp))
			depth = 0;
	} else {
		depth = 0;
	}
	if (depth) {
		r = bpf_map_lookup_elem(&walks, &i);
		if (r && r->n && same_walk(s, r, depth / 8) && r->check == check_of(r, depth))
			return r->id;
	}
	bytes = bpf_get_task_stack(task, s->kernel.frames, sizeof(s->kernel.frames), 0);
	id = publish_kernel(s, bytes, tgid, c);
	if (r && was_sent(id)) {
		r->check = 0;
		r->id = id;
		if (place_frames(s, r, depth / 8, (__u64)bytes / 8))
			r->check = check_of(r, depth);
	}
	return id;
}
#else
static __always_inline __u64 blocked_kernel_stack(struct scratch *s, struct task_struct *task,
						  __u32 tgid, struct counters *c)
{
	return publish_kernel(
		s, bpf_get_task_stack(task, s->kernel.frames, sizeof(s->kernel.frames), 0), tgid,
		c);
}
#endif

static __noinline int send_account(struct task_struct *task, struct account *a, __u64 now)
{
	struct counters *c = get_counters();
	__u32 zero = 0;
	struct scratch *s = bpf_map_lookup_elem(&switch_scratch, &zero);
	struct thread_record *t;
	struct ids ids;

	if (!task || !a || !s)
		return 0;
	if (!get_ids(task, &ids)) {
		COUNT(c, waits_outside);
		return 0;
	}
	t = &s->thread;
	__builtin_memset(t, 0, sizeof(*t));
	t->h.type = REC_THREAD;
	t->tgid = ids.tgid;
	t->tid = ids.tid;
	__builtin_memcpy(t->comm, task->comm, sizeof(t->comm));
	t->begin_ns = a->begin;
	t->end_ns = now;
	t->exited = 1;
	t->time = a->time;
	if (bpf_ringbuf_output(&records, t, sizeof(*t), wake_flags(0, false)) && c) {
		c->lost_threads++;
		c->lost_threads_ns += now - a->begin;
	}
	return 0;
}

static __always_inline void fill_key(struct count_key *key, struct task_struct *task,
				     struct account *a, struct ids *ids)
{
	key->user_stack = a->user_stack;
	key->labels = a->labels;
	key->tgid = ids->tgid;
	key->tid = ids->tid;
	key->cpu = NO_CPU;
	key->syscall = NO_SYSCALL;
	key->state = a->state;
	__builtin_memcpy(key->comm, task->comm, sizeof(key->comm));
	if (task->flags & PF_KTHREAD) {
		key->flags |= KEY_KERNEL_THREAD;
	} else {
		key->syscall = a->syscall;
		if (!(a->wait & WAIT_CHOSEN)) {
			key->syscall = REGS_SYSCALL((struct pt_regs *)bpf_task_pt_regs(task));
			key->user_stack = 0;
			key->labels = 0;
			key->flags |= KEY_NO_USER_STACK;
		}
		if (user_side_gone(task)) {
			key->user_stack = 0;
			key->flags = KEY_USER_GONE;
		}
	}
	if (a->wait & WAIT_LATE)
		key->flags |= KEY_LATE_STACK;
	if (with_wakers && a->wait & WAIT_WAKER) {
		key->waker_user_stack = a->waker_user_stack;
		key->waker_kernel_stack = a->waker_kernel_stack;
		key->waker_tgid = a->waker_tgid;
		key->waker_tid = a->waker_tid;
		__builtin_memcpy(key->waker_comm, a->waker_comm, sizeof(key->waker_comm));
	}
}

/* Counts a wait under its stack, for weight waits like it. */
static __always_inline void count_wait(struct task_struct *task, struct account *a, __u8 kind,
				       __u64 off, __u64 queued, __u8 shift, bool in_time,
				       struct counters *c)
{
	__u32 zero = 0;
	struct scratch *s = bpf_map_lookup_elem(&switch_scratch, &zero);
	struct ids ids;

	if (!s)
		return;
	if (!get_ids(task, &ids)) {
		COUNT(c, waits_outside);
		return;
	}
	__builtin_memset(&s->count, 0, sizeof(s->count));
	fill_key(&s->count.key, task, a, &ids);
	s->count.key.kind = kind;
	if (in_time)
		s->count.key.kernel_stack = blocked_kernel_stack(s, task, ids.tgid, c);
	s->count.value.count = 1;
	s->count.value.weight = 1ULL << shift;
	s->count.value.ns = off << shift;
	s->count.value.runq_ns = queued << shift;
	count(&s->count, c);
}

/* The wait of next is over: into its account, and under its stack; that of
 * the kernel is gone when this was not seen in time. */
static __always_inline void end_wait(struct task_struct *next, struct account *a, __u64 now,
				     bool in_time, struct counters *c)
{
	__u64 total = since(now, a->out_at, c), queued = 0, off = total;
	bool preempted = a->state == STATE_RUNNABLE;
	bool sampled = a->shift && total < long_wait;
	__u32 state = a->state;

	if (preempted) {
		a->time.runq_preempted += total;
	} else {
		queued = queued_for(next, a, now, c);
		if (queued > total)
			queued = total;
		off = total - queued;
		a->time.runq_woken += queued;
		if (state < STATE_MAX) {
			barrier_var(state);
			a->time.off[state & 7] += off; /* the mask is for verifiers before 6.12 */
		}
		a->time.waits++;
	}
	if (off < min_block) {
		a->time.below_min++;
		return;
	}
	if (sampled) {
		if (preempted) {
			a->time.preempted_sampled += off;
		} else {
			a->time.sampled += off;
			a->time.queued_sampled += queued;
		}
		if (!(a->wait & WAIT_CHOSEN))
			return;
	}
	count_wait(next, a,
		   preempted ? (sampled ? KIND_PREEMPTED_SAMPLED : KIND_PREEMPTED)
			     : (sampled ? KIND_SAMPLED : KIND_BLOCKED),
		   off, queued, sampled ? a->shift : 0, in_time, c);
}

/* The switch by which prev got its CPU was not seen. The scheduler has noted when that was, and for how long it had queued. */
static __always_inline void arrive_late(struct task_struct *prev, struct account *a, __u64 now,
					struct counters *c)
{
	__u64 arrival = use_rq_clock ? prev->sched_info.last_arrival : now;

	COUNT(c, missed_arrivals);
	if (arrival < a->out_at || arrival > now)
		arrival = now;
	end_wait(prev, a, arrival, false, c);
	a->on_at = arrival;
}

/* prev gives up its CPU. */
static __always_inline void leave(void *ctx, struct control *ctl, struct task_struct *prev,
				  __u8 state, __u64 now, struct counters *c)
{
	struct account *a = get_account(prev, c);
	__u64 gap;

	if (!a)
		return;
	if (!a->begin) {
		/* Never seen to come: it has run since before the window. */
		a->begin = ctl->start;
		a->on_at = ctl->start;
	}
	if (!a->on_at)
		arrive_late(prev, a, now, c);
	a->time.oncpu += since(now, a->on_at, c);
	a->time.switches++;
	a->on_at = 0;
	a->state = state;
	if (state == STATE_DEAD) {
		send_account(prev, a, now);
		return;
	}
	gap = since(now, a->out_at, c); /* the first time: huge, hence chosen */
	a->out_at = now;
	a->run_delay = prev->sched_info.run_delay;
	if (with_wakers)
		a->out_mono = bpf_ktime_get_ns();
	a->woken_at = 0;
	a->wait = 0;
	if (choose(a, gap, now))
		take_user_stack(ctx, prev, a, c);
}

/* next gets the CPU. */
static __always_inline void enter(struct control *ctl, struct task_struct *next, __u64 now,
				  struct counters *c)
{
	struct account *a = get_account(next, c);

	if (!a)
		return;
	if (!a->begin) {
		a->begin = ctl->start;
		a->state = STATE_INTERRUPTIBLE;
		a->out_at = ctl->start;
		if (next->start_time > ctl->start_mono) {
			/* Born in the window: until now it has only been queued. */
			a->out_at = since(now, queued_for(next, a, now, c), c);
			a->begin = a->out_at;
		}
	}
	if (a->on_at) {
		COUNT(c, missed_leaves);
	} else {
		if (a->out_at < ctl->start)
			a->out_at = ctl->start;
		end_wait(next, a, now, true, c);
	}
	a->on_at = now;
}

static __always_inline int on_switch(void *ctx, struct task_struct *prev, struct task_struct *next,
				     __u8 state)
{
	struct control *ctl = get_control();
	struct cost_timer timer;
	struct counters *c;
	__u64 now;

	if (!ctl || ctl->phase == PHASE_OFF || ctl->phase == PHASE_CLOSED)
		return 0;
	timer = cost_begin(COST_SWITCH, COST_GAP);
	now = clock_now(prev);
	if (ctl->phase != PHASE_ON && !turn_phase(ctl, now))
		return 0;
	c = get_counters();
	COUNT(c, switches);
	if (prev->pid && wanted(prev))
		leave(ctx, ctl, prev, state, now, c);
	if (next->pid && wanted(next))
		enter(ctl, next, now, c);
	cost_end(&timer);
	return 0;
}

SEC("tp_btf/sched_switch")
int assay_switch(__u64 *ctx)
{
	struct task_struct *prev = (void *)ctx[1];
	struct task_struct *next = (void *)ctx[2];
	bool preempt = ctx[0];
	unsigned int state = has_prev_state ? (unsigned int)ctx[3] : prev->__state;

	return on_switch(ctx, prev, next, preempt ? STATE_RUNNABLE : state_of(state));
}

static __always_inline void take_waker(void *ctx, struct account *a, struct counters *c)
{
	struct task_struct *waker = (void *)bpf_get_current_task_btf();
	__u32 zero = 0;
	struct scratch *s = bpf_map_lookup_elem(&waker_scratch, &zero);
	struct ids ids;

	if (!s || !get_ids(waker, &ids))
		return;
	a->waker_user_stack = waker->flags & PF_KTHREAD ? 0
							: user_stack(ctx, s, waker, ids.tgid, c);
	a->waker_kernel_stack = publish_kernel(
		s, bpf_get_stack(ctx, s->kernel.frames, sizeof(s->kernel.frames), 0), ids.tgid, c);
	a->waker_tgid = ids.tgid;
	a->waker_tid = ids.tid;
	__builtin_memcpy(a->waker_comm, waker->comm, sizeof(a->waker_comm));
	a->wait |= WAIT_WAKER;
}

/* Attached for --wakers, and where the scheduler's own note of the wake-up can't be used. */
SEC("tp_btf/sched_waking")
int assay_waking(__u64 *ctx)
{
	struct task_struct *task = (void *)ctx[0];
	struct control *ctl = get_control();
	struct cost_timer timer;
	struct counters *c;
	struct account *a;

	if (!ctl || ctl->phase != PHASE_ON || !wanted(task))
		return 0;
	a = bpf_task_storage_get(&accounts, task, NULL, 0);
	if (!a || a->on_at || a->state == STATE_RUNNABLE)
		return 0;
	timer = cost_begin(COST_WAKING, COST_GAP);
	c = get_counters();
	if (!use_rq_clock)
		a->woken_at = bpf_ktime_get_ns();
	if (with_wakers && (a->wait & WAIT_CHOSEN || bpf_ktime_get_ns() - a->out_mono >= long_wait))
		take_waker(ctx, a, c);
	cost_end(&timer);
	return 0;
}
