// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
//go:build ignore

/*
 * Sweeps over all threads: at the begin of a window, to note those that wait
 * already; at its end, to close each account. Records go out through the iterator's file, which
 * loses nothing. The kernel runs the program again for a thread whose records
 * did not fit, so it must come to the same result twice.
 */
#define WINDOW_BYTES 32768 /* all that is read of a stack */
#define OTHER_THREADS
#include "offcpu.bpf.h"
#include "process.bpf.h"

char _license[] SEC("license") = "Dual BSD/GPL";

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct scratch);
} sweep_scratch SEC(".maps");

/* The account of a thread of which nothing was heard: too big for the stack, as deep as a walk goes. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct account);
} unheard SEC(".maps");

/* Walks the user stack of a thread that is at rest, in whatever address space, by frame pointers. */
static __always_inline __u32 walk_other(struct scratch *s, struct task_struct *task)
{
	struct pt_regs *regs = (void *)bpf_task_pt_regs(task);
	__u64 fp = REGS_FP(regs);
	__u32 n = 1;

	s->user.end = STACK_USER_CUT;
	s->user.frames[0] = REGS_IP(regs);
	for (int i = 1; i < MAX_FRAMES; i++) {
		__u64 frame[2];

		if (!fp) {
			s->user.end = STACK_USER_WHOLE;
			break;
		}
		if (fp & 7 || bpf_copy_from_user_task(frame, sizeof(frame), (void *)fp, task, 0) ||
		    frame[0] == fp) {
			s->user.end = STACK_USER_BROKEN;
			break;
		}
		if (!frame[1]) {
			s->user.end = STACK_USER_WHOLE;
			break;
		}
		fp = frame[0];
		s->user.frames[i] = STRIP_PAC(frame[1]);
		n++;
	}
	return n;
}

/* The same by tables. */
static __always_inline __u32 unwind_other(struct scratch *s, struct task_struct *task, __u32 tgid)
{
	struct pt_regs *regs = (void *)bpf_task_pt_regs(task);

	read_pages(s->window, WINDOW_BYTES, REGS_SP(regs), task);
	unwind(s, task, tgid, true);
	s->user.end = s->walk.end;
	return s->walk.n;
}

static __always_inline __u32 other_stack(struct scratch *s, struct task_struct *task, __u32 tgid)
{
	return with_tables ? unwind_other(s, task, tgid) : walk_other(s, task);
}

/* Writes a stack of n frames to the file; returns its name. */
static __always_inline __u64 write_stack(struct seq_file *seq, struct stack_record *rec, __u32 n,
					 __u32 tgid)
{
	if (!n)
		return 0;
	if (n > MAX_FRAMES)
		n = MAX_FRAMES;
	rec->h.type = REC_STACK;
	rec->h.n = n;
	rec->tgid = tgid;
	rec->id = stack_id(hash_frames(rec, n), n, rec->end);
	bpf_seq_write(seq, rec,
		      __builtin_offsetof(struct stack_record, frames) + n * sizeof(__u64));
	return rec->id;
}

/* Writes the labels of what a thread runs to the file; returns their name, 0 for none. */
static __always_inline __u64 write_labels(struct seq_file *seq, struct go_walk *w,
					  struct task_struct *task, __u32 tgid)
{
	w->looked = false;
	if (!read_go_labels(w, task, tgid, hash_seed, get_counters()))
		return 0;
	bpf_seq_write(seq, &w->rec, LABELS_BYTES(&w->rec));
	return w->rec.id;
}

static __always_inline bool has_user_side(struct task_struct *task)
{
	return !(task->flags & PF_KTHREAD) && task->mm &&
	       REGS_64BIT((struct pt_regs *)bpf_task_pt_regs(task));
}

static __always_inline void open_account(struct seq_file *seq, struct task_struct *task,
					 bool can_read)
{
	struct control *ctl = get_control();
	__u32 zero = 0;
	struct scratch *s = bpf_map_lookup_elem(&sweep_scratch, &zero);
	__u8 state = state_of(task->__state);
	struct account *a;
	struct ids ids;
	__u64 id, labels;

	if (!s || !ctl || ctl->phase != PHASE_ON || !wanted(task) || !get_ids(task, &ids) ||
	    state == STATE_RUNNABLE || state == STATE_DEAD || task->on_cpu)
		return;
	a = bpf_task_storage_get(&accounts, task, NULL, BPF_LOCAL_STORAGE_GET_F_CREATE);
	if (!a || a->begin)
		return;
	a->out_at = ctl->start;
	a->state = state;
	a->run_delay = task->sched_info.run_delay;
	if (__sync_val_compare_and_swap(&a->begin, 0, ctl->start))
		return;
	if (!can_read || !has_user_side(task))
		return;
	id = write_stack(seq, &s->user, other_stack(s, task, ids.tgid), ids.tgid);
	labels = write_labels(seq, &s->go, task, ids.tgid);
	if (a->out_at == ctl->start && !a->on_at) {
		a->user_stack = id;
		a->labels = labels;
		a->syscall = REGS_SYSCALL((struct pt_regs *)bpf_task_pt_regs(task));
		a->wait = WAIT_CHOSEN | WAIT_LATE;
	}
}

/* The wait that is going on at the end counts for its part in the window. */
static __always_inline void write_open_wait(struct seq_file *seq, struct scratch *s,
					    struct task_struct *task, struct account *a,
					    struct thread_record *t, __u64 off, __u64 queued,
					    bool can_read)
{
	struct count_key *key = &s->count.key;
	bool walk_again;
	long bytes;

	__builtin_memset(&s->count, 0, sizeof(s->count));
	s->count.h.type = REC_COUNT;
	key->tgid = t->tgid;
	key->tid = t->tid;
	key->cpu = NO_CPU;
	key->syscall = NO_SYSCALL;
	key->kind = a->state == STATE_RUNNABLE ? KIND_PREEMPTED : KIND_BLOCKED;
	key->state = a->state;
	__builtin_memcpy(key->comm, t->comm, sizeof(key->comm));
	if (task->flags & PF_KTHREAD)
		key->flags = KEY_KERNEL_THREAD;
	else if (user_side_gone(task))
		key->flags = KEY_USER_GONE;
	else
		key->syscall = REGS_SYSCALL((struct pt_regs *)bpf_task_pt_regs(task));
	/* It has waited since before the window, when its tables may not have been there. */
	walk_again = with_tables && can_read && a->wait & WAIT_LATE;
	if (a->wait & WAIT_LATE)
		key->flags |= KEY_LATE_STACK;
	if (a->wait & WAIT_CHOSEN && !walk_again) {
		key->user_stack = a->user_stack;
		key->labels = a->labels;
	} else if (can_read && task->__state && has_user_side(task)) {
		key->user_stack = write_stack(seq, &s->user, other_stack(s, task, t->tgid),
					      t->tgid);
		key->labels = write_labels(seq, &s->go, task, t->tgid);
	} else if (!(key->flags & (KEY_KERNEL_THREAD | KEY_USER_GONE))) {
		key->flags |= KEY_NO_USER_STACK;
	}
	if (!task->on_cpu) {
		bytes = bpf_get_task_stack(task, s->kernel.frames, sizeof(s->kernel.frames), 0);
		s->kernel.end = bytes >= (long)sizeof(s->kernel.frames) ? STACK_KERNEL_CUT
									: STACK_KERNEL;
		if (bytes > 0)
			key->kernel_stack = write_stack(seq, &s->kernel, (__u64)bytes / 8, t->tgid);
	}
	s->count.value.count = 1;
	s->count.value.weight = 1;
	s->count.value.ns = off;
	s->count.value.runq_ns = queued;
	s->count.value.first_ns = bpf_ktime_get_ns();
	bpf_seq_write(seq, &s->count, sizeof(s->count));
}

static __always_inline void close_account(struct seq_file *seq, struct task_struct *task,
					  bool can_read)
{
	struct control *ctl = get_control();
	__u32 zero = 0;
	struct scratch *s = bpf_map_lookup_elem(&sweep_scratch, &zero);
	struct account *a;
	struct thread_record *t;
	__u64 off, queued = 0;
	struct ids ids;

	if (!s || !ctl || ctl->phase != PHASE_CLOSED || !task->pid || task->exit_state ||
	    !wanted(task) || !get_ids(task, &ids))
		return;
	a = bpf_task_storage_get(&accounts, task, NULL, 0);
	if (!a) {
		/* Nothing was heard of it: it ran, or waited, all the time. */
		if (task->start_time > ctl->end_mono)
			return;
		a = bpf_map_lookup_elem(&unheard, &zero);
		if (!a)
			return;
		__builtin_memset(a, 0, sizeof(*a));
		a->state = state_of(task->__state);
		a->on_at = task->on_cpu ? ctl->start : 0;
		a->out_at = ctl->start;
	}
	if (!a->begin) {
		a->begin = ctl->start;
		if (task->start_time > ctl->start_mono)
			a->begin += task->start_time - ctl->start_mono;
		if (a->out_at < a->begin)
			a->out_at = a->begin;
	}
	t = &s->thread;
	__builtin_memset(t, 0, sizeof(*t));
	t->h.type = REC_THREAD;
	t->tgid = ids.tgid;
	t->tid = ids.tid;
	__builtin_memcpy(t->comm, task->comm, sizeof(t->comm));
	t->begin_ns = a->begin;
	t->end_ns = ctl->end;
	t->whole = a->begin == ctl->start;
	t->time = a->time;
	if (a->on_at) {
		t->time.oncpu += since(ctl->end, a->on_at, NULL);
	} else {
		off = since(ctl->end, a->out_at, NULL);
		if (a->state != STATE_RUNNABLE)
			queued = queued_for(task, a, ctl->end, NULL);
		if (queued > off)
			queued = off;
		off -= queued;
		t->time.runq_woken += queued;
		if (a->state == STATE_RUNNABLE)
			t->time.runq_preempted += off;
		else if (a->state < STATE_MAX)
			t->time.off[a->state] += off;
		write_open_wait(seq, s, task, a, t, off, queued, can_read);
	}
	bpf_seq_write(seq, t, sizeof(*t));
}

SEC("iter.s/task")
int assay_open(struct bpf_iter__task *ctx)
{
	struct task_struct *task = ctx->task;

	if (task)
		open_account(ctx->meta->seq, task, true);
	return 0;
}

SEC("iter.s/task")
int assay_close(struct bpf_iter__task *ctx)
{
	struct task_struct *task = ctx->task;

	if (task)
		close_account(ctx->meta->seq, task, true);
	return 0;
}

/* Before kernel 6.1 an iterator over tasks can't sleep, so it can't read user memory. */
SEC("iter/task")
int assay_open_blind(struct bpf_iter__task *ctx)
{
	struct task_struct *task = ctx->task;

	if (task)
		open_account(ctx->meta->seq, task, false);
	return 0;
}

SEC("iter/task")
int assay_close_blind(struct bpf_iter__task *ctx)
{
	struct task_struct *task = ctx->task;

	if (task)
		close_account(ctx->meta->seq, task, false);
	return 0;
}
