// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/* Stacks by their hash, sent to user space once, and the counts kept for them. */
#ifndef ASSAY_STACK_BPF_H
#define ASSAY_STACK_BPF_H

#include "area.bpf.h"
#include "golang.bpf.h"

/* Random for each recording, so that no program can prepare two stacks that collide. */
const volatile __u64 hash_seed = 0x9e3779b97f4a7c15;

/* Set before load, so that the verifier drops what is not asked for. */
const volatile bool with_tables; /* user stacks by tables, not by frame pointers alone */

#ifndef WINDOW_BYTES
#define WINDOW_BYTES 1024 /* of a user stack, read at once */
#endif
#define WINDOW_BELOW 64 /* so much of it below what asked for it */
#define NO_WINDOW (~0ULL >> 1)
#define KWINDOW_BYTES 2048 /* of a kernel stack */

#define COPIED 64 /* processes whose copies are counted */

/* Where the walk of a user stack is. */
struct walk {
	__u64 fp;
	__u64 sp;
	__u64 hash;
	__u64 window; /* address of what is in the window */
	__u32 n;
	__u32 end; /* enum stack_end */
	/* By tables: */
	__u64 pc;
	__u64 seed; /* of the names of rules */
	__u64 mm;   /* its struct mm_struct * */
	__u32 maps;
	__u32 map_count;
	__u32 version;
	__u8 exact;     /* pc is of the instruction itself, no return address */
	__u8 innermost; /* all registers are known */
	__u8 reason;    /* enum unwind_reason */
	__u8 fault;     /* the frame with that reason */
	__u8 fp_ended;  /* code that is known to keep frame pointers had one of 0 */
	/* Where libgcc goes on, and what was before it, while the frame pointer may be that of there already; sp 0: nowhere. */
	struct {
		__u64 pc;
		__u64 sp;
		__u64 hash;
		__u32 n;
	} landing;
#if defined(__TARGET_ARCH_x86)
	__u64 rdi;
	__u64 rbx_cfa; /* RBX is as many words from here, */
	__s16 rbx;     /* 0: in its register; BX_LOST */
	__u64 result;  /* of the system call that it comes from */
#else
	__u64 lr;
#endif
};

/* Room for the two halves of one stack and for what goes into the tables: too
 * big for the 512 bytes of a BPF stack. One for each program family and CPU. */
struct scratch {
	struct walk walk;
	struct area area;
	struct stack_record user;
	struct stack_record kernel;
	struct python_walk python;
	struct go_walk go;
	struct count_record count;
	struct thread_record thread;
#ifndef OTHER_THREADS
	struct copy_record copy;
	struct {
		__u64 at; /* ns, up to when copies have been forgotten */
		__u64 n;
	} copies;
	struct {
		__u64 seed; /* of a walk, which is that of a process until user space tells more of it */
		__u64 n;
	} copies_of[COPIED];
#endif
	__u64 window[(WINDOW_BYTES > KWINDOW_BYTES ? WINDOW_BYTES : KWINDOW_BYTES) / 8];
};

__noinline __u64 hash_frames(struct stack_record *rec, __u32 n)
{
	__u64 h = hash_seed;

	if (!rec)
		return 0;
	for (int i = 0; i < MAX_FRAMES; i++) {
		if (i >= n)
			break;
		h = mix(h, rec->frames[i]);
	}
	return h;
}

/* Whether a program of this hash is new to the reader; 0 is none. */
static __always_inline bool unheard_of(__u64 program)
{
	__u32 i = program & (HEARD_SLOTS - 1);
	__u64 *slot;

	if (!program)
		return false;
	slot = bpf_map_lookup_elem(&heard, &i);
	if (!slot || *slot == program)
		return false;
	*slot = program;
	return true;
}

/* The reader is woken when the ring fills up, for the first stack of a program, since the files behind it may soon be gone, as short
 * as programs live, and for a stack in code that it must hear of first. At most every 20 ms, or 5, as storms of them must not wake
 * it each time. Otherwise it looks by itself, each second. */
static __always_inline __u64 wake_flags(__u64 program, bool urgent)
{
	__u64 filling = wake_when_filling();

	if (filling == BPF_RB_FORCE_WAKEUP || (!unheard_of(program) && !urgent))
		return filling;
	return wake_seldom(urgent ? URGENT_WAKE_GAP : WAKE_GAP);
}

/* The name of a stack, in both rings and files. */
static __always_inline __u64 stack_id(__u64 hash, __u32 n, __u32 end)
{
	return mix(hash, end | (__u64)n << 32);
}

static __always_inline bool was_sent(__u64 id)
{
	__u32 i = id & (SEEN_SLOTS - 1);
	__u64 *slot = bpf_map_lookup_elem(&seen, &i);

	return slot && *slot == id;
}

/* The hash of what the current thread runs, by process and name. */
static __always_inline __u64 current_program(__u32 tgid)
{
	__u64 comm[COMM_LEN / 8] = {};

	bpf_get_current_comm(comm, sizeof(comm));
	return mix(mix(mix(hash_seed, tgid), comm[0]), comm[1]);
}

/* Names the stack of n frames in rec, and sends it unless user space has it. */
static __always_inline __u64 publish(struct stack_record *rec, __u32 n, __u64 hash, __u32 end,
				     __u32 tgid, struct counters *c)
{
	bool user = end != STACK_KERNEL && end != STACK_KERNEL_CUT;
	__u8 reason = end >> 8;
	__u64 id = stack_id(hash, n, end);
	__u32 i = id & (SEEN_SLOTS - 1);
	__u64 *slot = bpf_map_lookup_elem(&seen, &i);

	if (!slot || *slot == id)
		return id;
	if (n > MAX_FRAMES)
		n = MAX_FRAMES;
	rec->h.type = REC_STACK;
	rec->h.n = n;
	rec->id = id;
	rec->tgid = tgid;
	rec->end = end;
	if (bpf_ringbuf_output(
		    &records, rec,
		    __builtin_offsetof(struct stack_record, frames) + n * sizeof(__u64),
		    wake_flags(user ? current_program(tgid) : 0,
			       reason == UNWIND_NO_PROCESS || reason == UNWIND_NO_MAPPING))) {
		COUNT(c, ring_full_stacks);
		return id;
	}
	COUNT(c, stacks_sent);
	*slot = id;
	return id;
}

/* A kernel stack that a helper has put into s, bytes long. */
static __always_inline __u64 publish_kernel(struct scratch *s, long bytes, __u32 tgid,
					    struct counters *c)
{
	__u32 n = bytes / sizeof(__u64);

	if (bytes <= 0) {
		if (bytes < 0)
			s->count.key.flags |= KEY_KERNEL_ERROR;
		return 0;
	}
	return publish(&s->kernel, n, hash_frames(&s->kernel, n),
		       n >= MAX_FRAMES ? STACK_KERNEL_CUT : STACK_KERNEL, tgid, c);
}

#if defined(__TARGET_ARCH_arm64)
#define STRIP_PAC(a) ((a) & 0x0000ffffffffffffULL) /* pointer authentication code */
#else
#define STRIP_PAC(a) (a)
#endif

/* One step of walk_user: the frame at fp. Not static, so that the verifier looks at it once, by itself, and not at every way
 * through 127 of them. Returns whether the walk is over. */
__noinline int walk_step(struct scratch *s)
{
	__u64 fp, at, frame[2];
	__u32 n;

	if (!s)
		return 1;
	n = s->walk.n;
	fp = s->walk.fp;
	if (n >= MAX_FRAMES)
		return 1;
	if (!fp) {
		s->walk.end = STACK_USER_WHOLE;
		return 1;
	}
	at = fp - s->walk.window;
	if (at <= WINDOW_BYTES - 16) {
		frame[0] = s->window[at / 8];
		frame[1] = s->window[at / 8 + 1];
	} else if (bpf_probe_read_user(frame, sizeof(frame), (void *)fp)) {
		s->walk.end = STACK_USER_BROKEN;
		return 1;
	}
	if (fp & 7 || frame[0] == fp) {
		s->walk.end = STACK_USER_BROKEN;
		return 1;
	}
	if (!frame[1]) {
		s->walk.end = STACK_USER_WHOLE;
		return 1;
	}
	s->walk.fp = frame[0];
	frame[1] = STRIP_PAC(frame[1]);
	s->user.frames[n] = frame[1];
	s->walk.hash = mix(s->walk.hash, frame[1]);
	s->walk.n = n + 1;
	return 0;
}

/* All steps of walk_user; not static for the same reason. */
__noinline int walk_steps(struct scratch *s)
{
	for (int i = 1; i < MAX_FRAMES; i++) {
		if (walk_step(s))
			break;
	}
	return 0;
}

/* What the hash of a user stack begins with. */
static __always_inline __u64 walk_seed(struct scratch *s)
{
	return s->user.python ? mix(hash_seed, s->user.python) : hash_seed;
}

/* Walks the user stack of the current thread along its frame pointers. Our own
 * walk, for two reasons: it knows how a stack ended, and it reads the top of the
 * stack with one copy, where the kernel's helper opens user memory for each word. */
static __always_inline __u64 walk_user(struct scratch *s, struct pt_regs *regs, __u32 tgid,
				       struct counters *c)
{
	s->walk.sp = REGS_SP(regs);
	s->walk.fp = REGS_FP(regs);
	s->walk.n = 1;
	s->walk.end = STACK_USER_CUT;
	s->walk.window = s->walk.sp;
	if (bpf_probe_read_user(s->window, WINDOW_BYTES, (void *)s->walk.sp))
		s->walk.window = NO_WINDOW;
	s->user.frames[0] = REGS_IP(regs);
	s->walk.hash = mix(walk_seed(s), s->user.frames[0]);
	walk_steps(s);
	return publish(&s->user, s->walk.n, s->walk.hash, s->walk.end, tgid, c);
}

static __always_inline void ask_for_flush(void)
{
	struct record_header flush = { .type = REC_FLUSH };

	bpf_ringbuf_output(&records, &flush, sizeof(flush), BPF_RB_FORCE_WAKEUP);
}

/* The table is full: the count travels alone, or is counted as lost, with its time. */
static __always_inline void count_alone(struct count_record *rec, struct counters *c)
{
	rec->h.type = REC_COUNT;
	rec->h.n = 0;
	if (!bpf_ringbuf_output(&records, rec, sizeof(*rec), BPF_RB_FORCE_WAKEUP)) {
		COUNT(c, counts_in_ring);
		return;
	}
	if (!c)
		return;
	if (rec->key.kind == KIND_CPU) {
		c->lost_samples++;
	} else {
		c->lost_waits += rec->value.weight;
		c->lost_waits_ns += rec->value.ns + rec->value.runq_ns;
	}
}

/* Adds rec to the active table. */
static __always_inline void count(struct count_record *rec, struct counters *c)
{
	struct count_value *v;
	__u32 zero = 0;
	void *table = bpf_map_lookup_elem(&counts_active, &zero);
	__u64 *fill;

	if (!table)
		return;
	v = bpf_map_lookup_elem(table, &rec->key);
	if (!v) {
		rec->value.first_ns = bpf_ktime_get_ns();
		if (!bpf_map_update_elem(table, &rec->key, &rec->value, BPF_NOEXIST)) {
			fill = bpf_map_lookup_elem(&counts_fill, &zero);
			if (fill && __sync_fetch_and_add(fill, 1) == COUNTS_ENTRIES / 2)
				ask_for_flush();
			return;
		}
		/* Full, or another CPU was first. */
		v = bpf_map_lookup_elem(table, &rec->key);
		if (!v) {
			count_alone(rec, c);
			return;
		}
	}
	__sync_fetch_and_add(&v->count, rec->value.count);
	__sync_fetch_and_add(&v->weight, rec->value.weight);
	__sync_fetch_and_add(&v->ns, rec->value.ns);
	__sync_fetch_and_add(&v->runq_ns, rec->value.runq_ns);
}

#endif
