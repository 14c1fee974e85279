// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/*
 * The frames of Python of the current thread, in processes of which user space has found out where the interpreter keeps them. What they
 * are called is read in user space, from the code objects whose addresses are sent.
 */
#ifndef ASSAY_PYTHON_BPF_H
#define ASSAY_PYTHON_BPF_H

#include "maps.bpf.h"

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 16384);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __u32); /* thread group ID, as user space has it */
	__type(value, struct python_process);
} python_processes SEC(".maps");

#define PYTHON_WINDOW 128 /* bytes of a frame that may be read at once */
#define NO_CHUNK (~0ULL >> 1)
#define PYTHON_CHUNK \
	1024 /* bytes of memory that are read at once, since frames that call each other often lie side by side */

/* Identities of code objects, by their address, read at most so long ago: the memory of one may be freed and used for another. */
#define IDENTITY_AGE 10000000 /* ns */
#define IDENTITIES 1024

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, IDENTITIES);
	__type(key, __u32);
	__type(value, struct python_identity);
} python_identities SEC(".maps");

/* Room for a walk, in the scratch of each program family. */
struct python_walk {
	struct python_process process;
	__u64 frame; /* the next one to read */
	__u64 hash;
	__u32 n;
	__u32 end;      /* enum python_end */
	__u64 seed;     /* of the names of code objects: their process */
	__u64 now;      /* when the walk began */
	__u64 chunk_at; /* address of what is in the chunk */
	__u64 chunk[PYTHON_CHUNK / 8];
	struct python_record rec;
};

static __always_inline bool read_word(__u64 *word, __u64 at)
{
	return !bpf_probe_read_user(word, sizeof(*word), (void *)at);
}

/* What tells a code object from another that memory may hold later: a hash of three pointers in it. */
static __always_inline __u32 read_identity(const struct python_process *p, __u64 code)
{
	__u64 pointers[3], h = 0;

	if (bpf_probe_read_user(pointers, sizeof(pointers), (void *)(code + p->code_identity)))
		return 0;
	for (int i = 0; i < 3; i++)
		h = mix(h, pointers[i]);
	return h;
}

static __always_inline __u32 code_identity(struct python_walk *w, __u64 code)
{
	__u64 name = mix(w->seed, code);
	__u32 i = name & (IDENTITIES - 1);
	struct python_identity *known = bpf_map_lookup_elem(&python_identities, &i);

	if (!known)
		return 0;
	if (known->name != name || w->now - known->at > IDENTITY_AGE) {
		known->name = 0; /* who interrupts us must not find half of it */
		barrier();
		known->identity = read_identity(&w->process, code);
		known->at = w->now;
		barrier();
		known->name = name;
	}
	return known->identity;
}

/* Brings the window of the frame at an address into the chunk. Returns where it begins there, in bytes, or PYTHON_CHUNK when it can't be
 * read. The frame that called it mostly lies below, so the chunk begins well below, too, where that is memory. */
static __always_inline __u32 read_frame(struct python_walk *w, __u64 frame)
{
	__u64 at = frame + w->process.window, in = at - w->chunk_at;
	__u32 bytes = w->process.window_bytes;

	if (bytes > PYTHON_WINDOW)
		bytes = PYTHON_WINDOW;
	if (in <= PYTHON_CHUNK - PYTHON_WINDOW)
		return in;
	in = PYTHON_CHUNK - PYTHON_WINDOW;
	if (w->process.side_by_side &&
	    !bpf_probe_read_user(w->chunk, in + bytes, (void *)(at - in))) {
		w->chunk_at = at - in;
		return in;
	}
	w->chunk_at = NO_CHUNK;
	return bpf_probe_read_user(w->chunk, bytes, (void *)at) ? PYTHON_CHUNK : 0;
}

/* A word of the frame whose window begins at a byte of the chunk. */
static __always_inline __u64 frame_word(struct python_walk *w, __u32 in, __u8 word)
{
	return w->chunk[(in / 8 + word) & (PYTHON_CHUNK / 8 - 1)];
}

/* How far into its bytecode a frame is, in bytes; PYTHON_BEFORE when it has not begun. */
static __always_inline __u32 code_offset(const struct python_process *p, __u64 code, __u64 instr)
{
	__u64 at = instr - (code + p->code_start);

	if (!p->code_start) /* a number, in units of code_unit bytes */
		at = (__s32)instr < 0 ? PYTHON_BEFORE : (__u64)(__u32)instr * p->code_unit;
	return at > PYTHON_BEFORE ? PYTHON_BEFORE : at;
}

static __always_inline void add_python_frame(struct python_walk *w, __u64 code, __u64 where)
{
	__u32 n = w->n;

	if (n >= MAX_PYTHON)
		return;
	w->rec.frames[n].code = code;
	w->rec.frames[n].where = where;
	w->hash = mix(mix(w->hash, code), where);
	w->n = n + 1;
}

/* The last frame was the outermost of its C frame. */
static __always_inline void mark_entry(struct python_walk *w)
{
	__u32 last = w->n - 1;

	if (last >= MAX_PYTHON)
		return;
	w->rec.frames[last].where |= PYTHON_ENTRY;
	w->hash = mix(w->hash, PYTHON_ENTRY);
}

/* Reads one frame. Returns whether the walk is over. Not static, so that the verifier looks at it once. */
__noinline int python_step(struct python_walk *w)
{
	__u64 at, code, where;
	__u32 in;
	__u8 mark;

	if (!w)
		return 1;
	at = w->frame;
	if (!at) {
		w->end = PYTHON_WHOLE;
		return 1;
	}
	in = read_frame(w, at);
	if (in >= PYTHON_CHUNK) {
		w->end = PYTHON_BROKEN;
		return 1;
	}
	mark = ((__u8 *)w->chunk)[(in + w->process.mark) & (PYTHON_CHUNK - 1)];
	w->frame = frame_word(w, in, w->process.previous);
	if (w->frame == at) {
		w->end = PYTHON_BROKEN;
		return 1;
	}
	if (w->process.marks == PYTHON_SHIM && mark == PYTHON_OWNED_BY_C) {
		mark_entry(w);
		return 0;
	}
	if (w->n >= MAX_PYTHON)
		return 1;
	code = frame_word(w, in, w->process.code);
	where = code_offset(&w->process, code, frame_word(w, in, w->process.instr));
	where |= (__u64)code_identity(w, code) << 32;
	if (w->process.marks == PYTHON_EACH || (w->process.marks == PYTHON_FLAG && mark))
		where |= PYTHON_ENTRY;
	add_python_frame(w, code, where);
	return 0;
}

/* All steps; a shim takes one, too. */
__noinline int python_steps(struct python_walk *w)
{
	for (int i = 0; i < 2 * MAX_PYTHON; i++) {
		if (python_step(w))
			break;
	}
	return 0;
}

/* The address that pthread_self() has in the thread, less what the C library puts before it. */
static __always_inline __u64 thread_pointer(struct task_struct *task)
{
#if defined(__TARGET_ARCH_x86)
	return BPF_CORE_READ(task, thread.fsbase);
#else
	return BPF_CORE_READ(task, thread.uw.tp_value);
#endif
}

/* The top frame of the thread whose struct pthread is at self, 0 when it runs no Python. */
static __always_inline __u64 top_frame(const struct python_process *p, __u64 self,
				       struct counters *c)
{
	__u64 word, block, state, id, frame;
	__u32 key;

	if (!read_word(&word, p->key_at))
		goto unreadable;
	if (!(__u32)word) /* the interpreter has no key yet */
		return 0;
	key = word >> 32;
	if (!p->block || !read_word(&block, self + p->array + key / p->block * 8ULL))
		goto unreadable;
	if (!block)
		return 0;
	if (!read_word(&state, block + (__u64)(key % p->block) * p->stride + p->value))
		goto unreadable;
	if (!state)
		return 0;
	if (!read_word(&id, state + p->thread_id) || id != self ||
	    !read_word(&frame, state + p->thread_frame))
		goto unreadable;
	if (frame && p->has_cframe && !read_word(&frame, frame + p->cframe_current))
		goto unreadable;
	return frame;
unreadable:
	COUNT(c, python_unreadable);
	return 0;
}

/* Sends the stack unless user space has it. It is read soon, since code that runs once, such as a module's, is freed when it has. */
static __always_inline __u64 publish_python(struct python_walk *w, __u32 tgid, struct counters *c)
{
	__u64 id = mix(w->hash, w->end | (__u64)w->n << 8), wake;
	__u32 i = id & (SEEN_SLOTS - 1), n = w->n, bytes;
	__u64 *slot = bpf_map_lookup_elem(&seen, &i);

	if (!slot || *slot == id)
		return id;
	if (n > MAX_PYTHON)
		n = MAX_PYTHON;
	w->rec.h.type = REC_PYTHON;
	w->rec.h.n = n;
	w->rec.id = id;
	w->rec.tgid = tgid;
	w->rec.end = w->end;
	wake = wake_seldom(WAKE_GAP);
	bytes = __builtin_offsetof(struct python_record, frames) + n * sizeof(struct python_frame);
	bytes = AT_MOST_BYTES(bytes, sizeof(w->rec));
	if (bpf_ringbuf_output(&records, &w->rec, bytes, wake)) {
		COUNT(c, ring_full_stacks);
		return id;
	}
	*slot = id;
	return id;
}

/* The stack of Python of the current thread: its name, or 0 when it has none. */
static __always_inline __u64 python_stack(struct python_walk *w, struct task_struct *task,
					  __u32 tgid, __u64 seed, struct counters *c)
{
	struct python_process *p = bpf_map_lookup_elem(&python_processes, &tgid);

	if (!p)
		return 0;
	w->process = *p;
	w->frame = top_frame(&w->process, thread_pointer(task) - w->process.self, c);
	if (!w->frame)
		return 0;
	/* Frames of two processes may have the same addresses. */
	w->seed = mix(seed, tgid);
	w->hash = w->seed;
	w->now = bpf_ktime_get_ns();
	w->chunk_at = NO_CHUNK;
	w->n = 0;
	w->end = PYTHON_CUT;
	python_steps(w);
	return publish_python(w, tgid, c);
}

#endif
