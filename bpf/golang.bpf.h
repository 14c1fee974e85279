// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/*
 * The goroutine that a thread runs, and its labels (runtime/pprof.Do), in processes of which user space has found out where their Go keeps
 * these. The way is that of Go's own profiler: from the thread's g, which may be one of the runtime's own, to its m, to the goroutine that
 * this runs, to its labels. Sets of labels are named by the hash of their text, since the memory of one may be used for another later, and are
 * sent once.
 */
#ifndef ASSAY_GOLANG_BPF_H
#define ASSAY_GOLANG_BPF_H

#include "python.bpf.h"

/* Set before load, so that the verifier drops what is not asked for. */
const volatile bool with_go_labels;

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 16384);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __u32); /* thread group ID, as user space has it */
	__type(value, struct go_process);
} go_processes SEC(".maps");

#define GO_BUCKET 8 /* pairs in a bucket of a map */

/* Room for a set of labels, in the scratch of each program family. */
struct go_walk {
	struct go_process process;
	__u64 looked;    /* for the goroutine */
	__u64 goroutine; /* that the thread runs; 0: none */
	__u64 hash;
	/* Strings are an address and a length. */
	struct {
		__u8 used[GO_BUCKET]; /* 0 to 4: the place is empty */
		__u64 keys[GO_BUCKET][2];
		__u64 values[GO_BUCKET][2];
	} bucket;
	__u64 pairs[MAX_LABELS][4];
	struct labels_record rec;
};

/* Registers of a goroutine that is off its stack. */
struct go_registers {
	__u64 pc;
	__u64 sp;
	__u64 fp;
	__u64 lr;
};

/* Reads memory of the thread: of the current one, or in a sweep of any that is at rest. */
#ifdef OTHER_THREADS
#define READ_GO(task, to, bytes, at) (!bpf_copy_from_user_task(to, bytes, (void *)(at), task, 0))
#else
#define READ_GO(task, to, bytes, at) (!bpf_probe_read_user(to, bytes, (void *)(at)))
#endif

static __always_inline bool read_go_word(struct task_struct *task, __u64 *word, __u64 at)
{
	return READ_GO(task, word, sizeof(*word), at);
}

/* The goroutine that the m of a g runs. Go calls all that can run something a g, the stacks of the runtime, too. */
static __always_inline bool goroutine_of(const struct go_process *p, struct task_struct *task,
					 __u64 g, __u64 *m, __u64 *goroutine)
{
	*goroutine = 0;
	if (!read_go_word(task, m, g + p->g_m))
		return false;
	return !*m || read_go_word(task, goroutine, *m + p->m_curg);
}

/* The goroutine of a thread, 0 when it runs none. Returns whether that could be read. */
static __always_inline bool running_goroutine(const struct go_process *p, struct task_struct *task,
					      __u64 *goroutine)
{
	__u64 thread = thread_pointer(task), g, m;

#if defined(__TARGET_ARCH_arm64)
	__u64 g0;

	/* Go code has its g in a register. Other code may have anything there, but the m of a g leads back to it. */
	g = ((struct pt_regs *)bpf_task_pt_regs(task))->regs[28];
	if (g && goroutine_of(p, task, g, &m, goroutine) && m &&
	    (*goroutine == g || (read_go_word(task, &g0, m) && g0 == g)))
		return true;
#endif
	*goroutine = 0;
	if (!thread || !p->tls) /* the thread is not set up yet; nothing but the register */
		return true;
	if (!read_go_word(task, &g, thread + p->tls))
		return false;
	return !g || goroutine_of(p, task, g, &m, goroutine);
}

/* The pairs of a map of at most a bucket (map[string]string until Go 1.23). */
static __always_inline bool pairs_of_map(struct go_walk *w, struct task_struct *task, __u64 labels)
{
	struct {
		__u64 count;
		__u8 flags;
		__u8 log_buckets;
		__u8 pad[6];
		__u64 buckets;
	} map;
	__u32 n = 0;

	if (!read_go_word(task, &labels, labels))
		return false;
	w->rec.total = 0;
	w->rec.h.n = 0;
	if (!labels)
		return true;
	if (!READ_GO(task, &map, sizeof(map), labels) || map.log_buckets ||
	    !READ_GO(task, &w->bucket, sizeof(w->bucket), map.buckets))
		return false;
	for (int i = 0; i < GO_BUCKET; i++) {
		if (w->bucket.used[i] <= 4)
			continue;
		barrier_var(n);
		w->pairs[n & (GO_BUCKET - 1)][0] = w->bucket.keys[i][0];
		w->pairs[n & (GO_BUCKET - 1)][1] = w->bucket.keys[i][1];
		w->pairs[n & (GO_BUCKET - 1)][2] = w->bucket.values[i][0];
		w->pairs[n & (GO_BUCKET - 1)][3] = w->bucket.values[i][1];
		n++;
	}
	w->rec.total = n;
	w->rec.h.n = n;
	return true;
}

/* The pairs of a slice. */
static __always_inline bool pairs_of_list(struct go_walk *w, struct task_struct *task, __u64 labels)
{
	__u64 list[2];
	__u32 n;

	if (!READ_GO(task, list, sizeof(list), labels))
		return false;
	n = list[1] > MAX_LABELS ? MAX_LABELS : list[1];
	barrier_var(n);
	if (n > MAX_LABELS)
		return false;
	w->rec.total = list[1] > 0xffffffff ? 0xffffffff : list[1];
	w->rec.h.n = n;
	return !n || READ_GO(task, w->pairs, n * sizeof(w->pairs[0]), list[0]);
}

/* Takes as much of a string as there is room for. Returns its length, or that of a string that can't be, when it can't be read. */
static __always_inline __u32 take_text(struct task_struct *task, __u8 *to, __u32 room,
				       const __u64 *string)
{
	__u64 length = string[1];
	__u32 n = length > room ? room : length;

	barrier_var(n);
	if (n > room)
		return GO_UNREADABLE;
	if (length >= GO_UNREADABLE || (n && !READ_GO(task, to, n, string[0])))
		return GO_UNREADABLE;
	return length;
}

/* Takes one label. */
static __always_inline bool take_label(struct go_walk *w, struct task_struct *task, __u32 i)
{
	struct go_label *l;
	__u64 *pair, *words;

	barrier_var(i);
	if (i >= MAX_LABELS)
		return false;
	l = &w->rec.labels[i];
	pair = w->pairs[i];
	words = (void *)l;
	__builtin_memset(l, 0, sizeof(*l));
	l->key_length = take_text(task, l->key, sizeof(l->key), pair);
	l->value_length = take_text(task, l->value, sizeof(l->value), pair + 2);
	if (l->key_length == GO_UNREADABLE || l->value_length == GO_UNREADABLE)
		return false;
	for (int k = 0; k < sizeof(*l) / sizeof(*words); k++)
		w->hash = mix(w->hash, words[k]);
	return true;
}

/* Takes the labels at an address into w->rec. */
static __always_inline bool take_labels(struct go_walk *w, struct task_struct *task, __u64 labels,
					__u64 seed)
{
	bool ok = w->process.form == GO_LABEL_MAP ? pairs_of_map(w, task, labels)
						  : pairs_of_list(w, task, labels);

	if (!ok)
		return false;
	w->hash = seed;
	for (int i = 0; i < MAX_LABELS; i++) {
		if (i >= w->rec.h.n)
			break;
		if (!take_label(w, task, i))
			return false;
	}
	w->rec.h.type = REC_LABELS;
	w->rec.id = mix(w->hash, w->rec.total);
	return true;
}

#define LABELS_BYTES(rec)                                                \
	AT_MOST_BYTES(__builtin_offsetof(struct labels_record, labels) + \
			      (rec)->h.n * sizeof((rec)->labels[0]),     \
		      sizeof(*(rec)))

/* The goroutine that a thread runs, if its process is one of Go; looked for when it is first asked for. */
static __always_inline __u64 find_goroutine(struct go_walk *w, struct task_struct *task, __u32 tgid,
					    struct counters *c)
{
	struct go_process *p;

	if (w->looked)
		return w->goroutine;
	w->looked = true;
	w->goroutine = 0;
	p = bpf_map_lookup_elem(&go_processes, &tgid);
	if (!p)
		return 0;
	w->process = *p;
	if (!running_goroutine(&w->process, task, &w->goroutine)) {
		w->goroutine = 0;
		COUNT(c, goroutines_unreadable);
	}
	return w->goroutine;
}

/* Reads where a goroutine has left its stack, for code that runs on that of the thread, where a walk ended at an sp. Returns whether
 * it has, and the walk was not there yet. */
static __always_inline bool left_stack(struct go_walk *w, struct task_struct *task, __u64 sp,
				       struct go_registers *at)
{
	__u32 bp = w->process.gobuf_bp / 8;
	__u64 stack[2], gobuf[8];

	if (!READ_GO(task, stack, sizeof(stack), w->goroutine) ||
	    sp - stack[0] <= stack[1] - stack[0] ||
	    !READ_GO(task, gobuf, sizeof(gobuf), w->goroutine + w->process.g_sched))
		return false;
	at->sp = gobuf[0];
	at->pc = gobuf[1];
	at->lr = gobuf[(bp - 1) & 7]; /* 0 on amd64 */
	at->fp = gobuf[bp & 7];
	return at->pc && at->sp - stack[0] < stack[1] - stack[0];
}

/* Reads the labels of the goroutine that a thread runs into w->rec. Returns whether there are any. */
static __always_inline bool read_go_labels(struct go_walk *w, struct task_struct *task, __u32 tgid,
					   __u64 seed, struct counters *c)
{
	__u64 labels;

	if (!with_go_labels || !find_goroutine(w, task, tgid, c))
		return false;
	if (read_go_word(task, &labels, w->goroutine + w->process.g_labels)) {
		if (!labels)
			return false;
		if (take_labels(w, task, labels, seed))
			return w->rec.h.n != 0;
	}
	COUNT(c, labels_unreadable);
	return false;
}

#ifndef OTHER_THREADS
/* The name of the labels of what the current thread runs, 0 when there are none; sends them unless user space has them. */
static __always_inline __u64 go_labels(struct go_walk *w, struct task_struct *task, __u32 tgid,
				       __u64 seed, struct counters *c)
{
	__u64 id, *slot, wake;
	__u32 i;

	if (!read_go_labels(w, task, tgid, seed, c))
		return 0;
	id = w->rec.id;
	i = id & (SEEN_SLOTS - 1);
	slot = bpf_map_lookup_elem(&seen, &i);
	if (!slot || *slot == id)
		return id;
	wake = wake_when_filling();
	if (bpf_ringbuf_output(&records, &w->rec, LABELS_BYTES(&w->rec), wake)) {
		COUNT(c, ring_full_stacks);
		return id;
	}
	*slot = id;
	return id;
}
#endif

#endif
