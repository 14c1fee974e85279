// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/*
 * The walk of a user stack by tables: code without frame pointers describes in
 * its ELF file, for each instruction, where the frame of the caller is. User
 * space (profiler/unwind) makes sorted rows of that and puts them, with the
 * mappings of each process, into slabs; here they are searched.
 *
 * A walk meets the same return addresses again and again, so what was found
 * for one is kept, by CPU, in a table of fixed places: most searches are one load.
 * What is kept has the version of the process in its name, which user
 * space changes with the mappings: so nothing has to be thrown out.
 *
 * Where user space told of no mapping, the kernel's own notes are asked which
 * file is there (area.bpf.h), and whether its table is known.
 *
 * Code that no table describes is stepped through by its frame pointer. Where
 * that is no more than a guess, the stack says so, with the first such frame.
 */
#ifndef ASSAY_UNWIND_BPF_H
#define ASSAY_UNWIND_BPF_H

#include "stack.bpf.h"

#define SLAB_BITS 20
#define SLAB_BYTES (1 << SLAB_BITS)
#define SLABS 16384
#define PLACE_BITS (SLAB_BITS - 2)

/* How far along in words of 4 bytes a place is in its slab, for a thing of so many words, to which it is aligned. */
#define PLACE_IN_SLAB(place, words) (((place) & ((1U << PLACE_BITS) - (words))) << 2)

struct slab {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__uint(map_flags, BPF_F_MMAPABLE);
	__type(key, __u32);
	__uint(value_size, SLAB_BYTES);
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, SLABS);
	__type(key, __u32);
	__array(values, struct slab);
} unwind_slabs SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 65536);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __u32);
	__type(value, struct unwind_process);
} unwind_processes SEC(".maps");

/* Of files: what area.bpf.h asks. Those that no one asked for the longest go when it is full. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 4096);
	__type(key, struct unwind_inode);
	__type(value, struct unwind_inode_table);
} unwind_inodes SEC(".maps");

/* What slabs hold, for the compiler to write down for Go. */
const struct unwind_mapping *slab_mapping __attribute__((unused));
const struct unwind_file *slab_file __attribute__((unused));
const struct unwind_page *slab_page __attribute__((unused));

#define KEPT 4096

/* Names are mixed with their rules, so that half of a line that another program has just interrupted is no line. */
struct kept_rules {
	struct {
		__u64 name;
		__u64 rule;
	} line[KEPT];
};

/* By CPU; user space makes it as long as there are CPUs. Not a map per CPU: a value of those has at most 32 KB. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct kept_rules);
} unwind_kept SEC(".maps");

static __always_inline __u8 *slab_of(__u32 place)
{
	__u32 i = place >> PLACE_BITS, zero = 0;
	void *slab = bpf_map_lookup_elem(&unwind_slabs, &i);

	return slab ? bpf_map_lookup_elem(slab, &zero) : NULL;
}

static __always_inline union unwind_rule step_by_fp(__u8 reason)
{
	union unwind_rule r = { .cfa = CFA_FRAME_POINTER, .aux = reason };

	return r;
}

/* 1 where a is at most b, else 0, for numbers below 2^63. The verifier follows both ways of a comparison, and of a signed shift, which
 * is too much for it in a search. */
#define AT_MOST(a, b) (((__u64)(a) - (__u64)(b) - 1) >> 63)

/* The rule that the table of a file has for a vaddr. */
static __always_inline union unwind_rule rule_in_file(__u32 place, __u64 vaddr)
{
	__u32 first, left, half;
	struct unwind_file *file;
	struct unwind_page *page;
	union unwind_rule *rule;
	__u64 number;
	__u8 *slab;
	__u32 row;

	slab = slab_of(place);
	if (!slab)
		return step_by_fp(UNWIND_NO_TABLE);
	file = (void *)(slab + PLACE_IN_SLAB(place, sizeof(*file) / 4));
	file->used = bpf_ktime_get_ns() >> 30;
	number = (vaddr - file->base) >> 16;
	if (vaddr < file->base || number >= file->page_count)
		return step_by_fp(UNWIND_NO_ROW);
	/* Rules and pages lie in the slab of the file. */
	page = (void *)(slab + PLACE_IN_SLAB(file->pages + number * 2, 2));
	first = page->rows;
	left = page->n;
	if (!left)
		return step_by_fp(UNWIND_NO_ROW);
	place = file->rules;
	slab = slab_of(first);
	if (!slab)
		return step_by_fp(UNWIND_NO_TABLE);
#pragma unroll
	for (int i = 0; i < 16; i++) {
		half = left >> 1;
		row = *(__u32 *)(slab + PLACE_IN_SLAB(first + half, 1));
		first += half * (__u32)AT_MOST(row & 0xffff, vaddr & 0xffff);
		left -= half;
	}
	row = *(__u32 *)(slab + PLACE_IN_SLAB(first, 1));
	slab = slab_of(place);
	if (!slab)
		return step_by_fp(UNWIND_NO_TABLE);
	rule = (void *)(slab + PLACE_IN_SLAB(place + (row >> 16) * 2, 2));
	if (rule->cfa == CFA_NONE)
		return step_by_fp(UNWIND_NO_ROW);
	return *rule;
}

/* Finds the rule for an address that no mapping has which user space told of: it hears of a process later than we see it, and of a
 * short-lived one never. Not static, so that the verifier looks at it once. */
__noinline __u64 find_rule_by_area(struct scratch *s, __u64 pc)
{
	union unwind_rule none = { .cfa = CFA_NO_MAPPING }, unknown = none;
	struct unwind_inode_table *t;
	struct unwind_inode name;
	struct area *area;
	__u64 mm;

	if (!s)
		return none.word;
	area = &s->area;
	mm = s->walk.mm;
	if (!s->walk.version)
		unknown = step_by_fp(UNWIND_NO_PROCESS);
	if (!find_area(area, mm, pc))
		return unknown.word;
	if (!area->executable)
		return none.word;
	if (!name_file(area, mm))
		return step_by_fp(UNWIND_ANONYMOUS).word;
	name = area->name; /* 6.1 takes no key from memory of an argument */
	t = bpf_map_lookup_elem(&unwind_inodes, &name);
	if (!t)
		return unknown.word;
	if (t->reason == UNWIND_BY_TABLE)
		return rule_in_file(t->file, pc - area->start + area->offset - t->shift).word;
	return step_by_fp(t->reason).word;
}

/* Finds the rule for an address of the process in w; none if no mapping has it. Not static, so that the verifier looks at it once. */
__noinline __u64 find_rule(struct walk *w, __u64 pc)
{
	union unwind_rule none = { .cfa = CFA_NONE };
	struct unwind_mapping *m;
	__u32 first, left, half;
	__u8 *slab;

	if (!w || !w->version)
		return none.word;
	slab = slab_of(w->maps);
	if (!slab || !w->map_count)
		return none.word;
	first = w->maps;
	left = w->map_count;
#pragma unroll
	for (int i = 0; i < 15; i++) {
		half = left >> 1;
		m = (void *)(slab + PLACE_IN_SLAB(first + half * 8, 8));
		first += half * 8 * (__u32)AT_MOST(m->start, pc);
		left -= half;
	}
	m = (void *)(slab + PLACE_IN_SLAB(first, 8));
	if (pc < m->start || pc >= m->end)
		return none.word;
	if (m->reason == UNWIND_BY_TABLE)
		return rule_in_file(m->file, pc - m->bias).word;
	return step_by_fp(m->reason).word;
}

#define PAGE 4096

#ifdef OTHER_THREADS
#define READ_USER(to, size, from, task) bpf_copy_from_user_task(to, size, from, task, 0)
#else
#define READ_USER(to, size, from, task) bpf_probe_read_user(to, size, from)
#endif

/* Reads the memory of a thread from an address on, page by page as far as there are any. Returns how many bytes that were. */
static __always_inline __u64 read_pages(void *to, __u64 room, __u64 from, struct task_struct *task)
{
	__u64 at = 0, size = PAGE - (from & (PAGE - 1));

	for (int i = 0; i < room / PAGE; i++) {
		if (at > room - PAGE || size > PAGE ||
		    READ_USER(to + at, size, (void *)(from + at), task))
			break;
		at += size;
		size = PAGE;
	}
	return at;
}

/* Reads a word of the stack, through a window that is moved along. That of another thread does not move. */
static __always_inline bool read_stack(struct scratch *s, __u64 addr, __u64 *word)
{
	__u64 at = addr - s->walk.window;

	if (addr & 7)
		return false;
	if (at > WINDOW_BYTES - 8) {
#ifdef OTHER_THREADS
		return false;
#else
		/* Registers are saved below the return address, which is asked for first. */
		s->walk.window = addr - WINDOW_BELOW;
		if (bpf_probe_read_user(s->window, WINDOW_BYTES, (void *)s->walk.window)) {
			s->walk.window = NO_WINDOW;
			return !bpf_probe_read_user(word, sizeof(*word), (void *)addr);
		}
		at = WINDOW_BELOW;
#endif
	}
	*word = s->window[at / 8 & (WINDOW_BYTES / 8 - 1)];
	return true;
}

/* The walk ends at the last frame; but where it was led by guesses, the first of these is to blame. */
static __always_inline int broken(struct walk *w, __u8 reason)
{
	w->end = STACK_USER_BROKEN;
	if (!w->reason) {
		w->reason = reason;
		w->fault = w->n - 1;
	}
	return 1;
}

/* Registers from where the kernel has put them for a signal handler, whose frame is at sp. */
static __always_inline bool leave_signal(struct scratch *s)
{
	struct walk *w = &s->walk;
	__u64 sp = w->sp;

#if defined(__TARGET_ARCH_x86)
	/* struct ucontext: flags, link, stack (40 bytes), then r8 to r15, rdi, rsi, rbp, rbx, rdx, rax, rcx, rsp, rip */
	if (!read_stack(s, sp + 40 + 8 * 8, &w->rdi) || !read_stack(s, sp + 40 + 10 * 8, &w->fp) ||
	    !read_stack(s, sp + 40 + 15 * 8, &w->sp) || !read_stack(s, sp + 40 + 16 * 8, &w->pc))
		return false;
	w->rbx = -1;
	w->rbx_cfa = sp + 40 + 12 * 8;
#else
	/* struct siginfo (128 bytes); struct ucontext: flags, link, stack (40), signal mask (128), up to 16 bytes aligned; fault address (8),
	 * then x0 to x30, sp, pc */
	sp += 128 + 176 + 8;
	if (!read_stack(s, sp + 29 * 8, &w->fp) || !read_stack(s, sp + 30 * 8, &w->lr) ||
	    !read_stack(s, sp + 31 * 8, &w->sp) || !read_stack(s, sp + 32 * 8, &w->pc))
		return false;
#endif
	w->landing.sp = 0;
	w->exact = true;
	w->innermost = true;
	return true;
}

_Static_assert(MAX_FRAMES <= 128, "the mask of add_frame");

/* Adds the frame that w->pc is in. */
static __always_inline int add_frame(struct scratch *s, __u32 n)
{
	s->walk.pc = STRIP_PAC(s->walk.pc);
	if (n >= MAX_FRAMES)
		return 1;
	if (!s->walk.pc) {
		s->walk.end = STACK_USER_WHOLE;
		return 1;
	}
	s->walk.hash = mix(s->walk.hash, s->walk.pc);
	s->walk.n = n + 1;
	/* The mask changes nothing, but some verifiers forget the bound while n is spilled. */
	barrier_var(n);
	/* Readers look at the byte before a return address. What a signal has interrupted returns to no place: it begins there. */
	s->user.frames[n & 127] = s->walk.pc + s->walk.exact;
	return 0;
}

/* The step of code that no table describes. */
static __always_inline int follow_fp(struct scratch *s, __u32 n, __u8 reason)
{
	struct walk *w = &s->walk;
	__u64 fp = w->fp;

	if (reason != UNWIND_BY_FP && !w->reason) {
		w->reason = reason;
		w->fault = n - 1;
	}
	if (!fp) {
		w->end = STACK_USER_WHOLE;
		w->fp_ended = reason == UNWIND_BY_FP;
		return 1;
	}
	/* Code that is known to keep them goes to other stacks, too: Go. */
	if (fp < w->sp && reason != UNWIND_BY_FP)
		return broken(w, UNWIND_ASTRAY);
	if (!read_stack(s, fp + 8, &w->pc) || !read_stack(s, fp, &w->fp))
		return broken(w, UNWIND_UNREADABLE);
	w->sp = fp + 16;
#if defined(__TARGET_ARCH_x86)
	w->rbx = BX_LOST;
#endif
	w->exact = false;
	w->innermost = false;
	return add_frame(s, n);
}

#if defined(__TARGET_ARCH_x86) && !defined(OTHER_THREADS)
/* Reads the registers of the current thread, but for those that CFA rules name otherwise. */
static __always_inline void read_registers(__u64 registers[REGISTERS], struct pt_regs *regs)
{
	registers[0] = regs->ax;
	registers[1] = regs->dx;
	registers[2] = regs->cx;
	registers[3] = regs->bx;
	registers[4] = regs->si;
	registers[5] = regs->di;
	registers[8] = regs->r8;
	registers[9] = regs->r9;
	registers[10] = regs->r10;
	registers[11] = regs->r11;
	registers[12] = regs->r12;
	registers[13] = regs->r13;
	registers[14] = regs->r14;
	registers[15] = regs->r15;
}

/* A register of the current thread by its number in DWARF; 0 for those that are not read. Not static, so that the verifier looks at it
 * once. */
__noinline __u64 register_of_thread(struct scratch *s, __u32 number)
{
	struct task_struct *task = (void *)bpf_get_current_task_btf();

	if (!s)
		return 0;
	read_registers(s->copy.registers, (void *)bpf_task_pt_regs(task));
	return s->copy.registers[number & (REGISTERS - 1)];
}
#else
/* Threads that wait do so in system calls, where no rule wants these. */
static __always_inline __u64 register_of_thread(struct scratch *s, __u32 number)
{
	return 0;
}
#endif

#define RBX 3 /* in DWARF */

/* CFA by a rule that says, on x86-64, where RBX is. */
static __always_inline __u64 near_cfa(struct walk *w, __u64 cfa, __s16 rbx)
{
#if defined(__TARGET_ARCH_x86)
	if (rbx) {
		w->rbx = rbx;
		w->rbx_cfa = cfa;
	}
#endif
	return cfa;
}

/* CFA by a rule of a table; 0 where it is not to be had. */
static __always_inline __u64 frame_address(struct scratch *s, union unwind_rule r)
{
	struct walk *w = &s->walk;
	__s64 offset = (__s64)r.cfa_offset * 8;
#if defined(__TARGET_ARCH_x86)
	__u64 at = 0, cfa = 0;
	__s64 more = (__s64)r.aux * 8;
#endif

	switch (r.cfa) {
	case CFA_SP:
		return near_cfa(w, w->sp + offset, r.aux);
	case CFA_FP:
		return near_cfa(w, w->fp + offset, r.aux);
#if defined(__TARGET_ARCH_x86)
	case CFA_PLT:
		return w->sp + 8 + ((w->pc & 15) >= r.aux) * 8;
	case CFA_SP_FAR:
		cfa = w->sp + offset + (more << 16);
		break;
	case CFA_FP_FAR:
		cfa = w->fp + offset + (more << 16);
		break;
	case CFA_REG:
		if (w->n == 1 || (r.aux == RBX && !w->rbx)) {
			cfa = register_of_thread(s, r.aux);
			cfa = cfa ? cfa + offset : 0;
		} else if (r.aux == RBX && w->rbx != BX_LOST) {
			at = w->rbx_cfa + (__s64)w->rbx * 8;
			more = offset;
		}
		break;
	case CFA_INDEXED:
		if (w->n == 1)
			at = w->sp + offset + register_of_thread(s, r.aux & 0xff) * 8;
		more = (r.aux >> 8) * 8;
		break;
	case CFA_DEREF_SP:
		at = w->sp + offset;
		break;
	case CFA_DEREF_FP:
		at = w->fp + offset;
		break;
#endif
	}
#if defined(__TARGET_ARCH_x86)
	w->rbx = BX_LOST;
	if (at && read_stack(s, at, &cfa))
		cfa += more;
	return cfa;
#else
	return 0;
#endif
}

static __always_inline bool return_address(struct scratch *s, union unwind_rule r, __u64 cfa)
{
	struct walk *w = &s->walk;

	switch (r.ra) {
#if defined(__TARGET_ARCH_x86)
	case RA_AT_CFA:
	case RA_LANDING:
		return read_stack(s, cfa - 8, &w->pc);
	case RA_IN_RDI:
		w->pc = w->rdi;
		return w->innermost;
	case RA_IN_RCX:
		w->pc = w->n == 1 ? register_of_thread(s, 2) : 0;
		return w->pc;
#else
	case RA_AT_CFA:
		return read_stack(s, cfa + (__s64)r.aux * 8, &w->pc);
	case RA_IN_LR:
	case RA_LANDING:
		w->pc = w->lr;
		return w->innermost;
#endif
	}
	return false;
}

/* The step by a rule of a table. */
static __always_inline int follow_rule(struct scratch *s, __u32 n, union unwind_rule r)
{
	struct walk *w = &s->walk;
	__u64 cfa = frame_address(s, r), fp = w->fp;

	if (!cfa)
		return broken(w, UNWIND_UNSUPPORTED);
	/* A caller's frame lies above; only a function without a frame of its own, on arm64, has none. */
	if (cfa < w->sp || (cfa == w->sp && !w->innermost))
		return broken(w, UNWIND_ASTRAY);
	if (!return_address(s, r, cfa))
		return broken(w, UNWIND_UNREADABLE);
	if (r.fp == FP_AT_CFA && !read_stack(s, cfa + (__s64)r.fp_offset * 8, &w->fp))
		return broken(w, UNWIND_UNREADABLE);
	if (r.fp == FP_AT_FP && !read_stack(s, fp + (__s64)r.fp_offset * 8, &w->fp))
		return broken(w, UNWIND_UNREADABLE);
	if (r.fp == FP_UNDEFINED)
		w->fp = 0;
	if (r.fp != FP_SAME)
		w->landing.sp = 0;
	w->sp = cfa;
	w->exact = r.ra == RA_LANDING || r.ra == RA_IN_RCX;
	w->innermost = false;
	return add_frame(s, n);
}

#if !defined(OTHER_THREADS)
/* Of struct _Unwind_Context of libgcc: where registers are saved, by their numbers in DWARF; then the CFA. And from where rules say where that is. */
#if defined(__TARGET_ARCH_x86)
#define CONTEXT_FP 6
#define CONTEXT_RA 16
#define CONTEXT_CFA 18
#define LANDING_BASE(w) (w)->fp
#else
#define CONTEXT_FP 29
#define CONTEXT_RA 30
#define CONTEXT_CFA 98
#define LANDING_BASE(w) (w)->sp
#endif

/* Goes on where libgcc is about to. */
static __always_inline int land(struct scratch *s, bool exact)
{
	struct walk *w = &s->walk;

	w->pc = w->landing.pc;
	w->sp = w->landing.sp;
	w->hash = w->landing.hash;
	w->landing.sp = 0;
#if defined(__TARGET_ARCH_x86)
	w->rbx = BX_LOST;
#endif
	w->exact = exact;
	w->innermost = false;
	return add_frame(s, w->landing.n);
}

/* The step of libgcc when it is about to go on where an exception is caught. It makes its own frame that of who is called by who catches, by
 * copying registers one by one, the return address last of those that we need; in the end, it may be where to go on. When a frame between
 * that has to be found by a frame pointer which is the other's already can't be found any more, the stack is that of who catches. Not
 * static, so that the verifier looks at it once. */
__noinline int follow_landing(struct scratch *s, __u64 word)
{
	union unwind_rule r = { .word = word };
	struct frame {
		__u64 fp, pc;
	} own, saved, at;
	struct {
		__u64 cfa, pc;
	} catching;
	__u64 base, record, context;
	struct walk *w;
	bool landed;

	if (!s)
		return 1;
	w = &s->walk;
	base = LANDING_BASE(w);
	record = base + (__s64)r.fp_offset * 8;
	context = base + (__s64)r.cfa_offset * 8;
	if (bpf_probe_read_user(&own, sizeof(own), (void *)record) ||
	    bpf_probe_read_user(&catching, sizeof(catching), (void *)context) ||
	    bpf_probe_read_user(&at.fp, 8, (void *)(context - (CONTEXT_CFA - CONTEXT_FP) * 8)) ||
	    bpf_probe_read_user(&at.pc, 8, (void *)(context - (CONTEXT_CFA - CONTEXT_RA) * 8)) ||
	    bpf_probe_read_user(&saved.fp, sizeof(saved.fp), (void *)at.fp) ||
	    bpf_probe_read_user(&saved.pc, sizeof(saved.pc), (void *)at.pc))
		return broken(w, UNWIND_UNREADABLE);
	if (base < w->sp || catching.cfa < base + (__s64)r.aux * 8)
		return broken(w, UNWIND_ASTRAY);
	landed = r.ra == RA_LANDING && STRIP_PAC(own.pc) == catching.pc;
	w->landing.pc = landed ? own.pc : saved.pc;
	w->landing.sp = catching.cfa;
	w->landing.hash = w->hash;
	w->landing.n = w->n;
	w->sp = base + (__s64)r.aux * 8;
	w->fp = own.fp;
	if (landed || own.pc == saved.pc)
		return land(s, landed);
	if (own.fp != saved.fp || at.fp == record)
		w->landing.sp = 0; /* not copied yet */
	w->pc = own.pc;
#if defined(__TARGET_ARCH_x86)
	w->rbx = BX_LOST;
#endif
	w->exact = false;
	w->innermost = false;
	return add_frame(s, w->n);
}

/* Whether a frame is found by the frame pointer, but that may be of who catches an exception. */
static __always_inline bool is_overtaken(struct walk *w, __u8 cfa)
{
	const __u32 by_fp = 1 << CFA_FP | 1 << CFA_FP_FAR | 1 << CFA_DEREF_FP | 1 << CFA_LANDING |
			    1 << CFA_FRAME_POINTER;

	return w->sp < w->landing.sp && 1 << (cfa & 31) & by_fp;
}
#endif

/* Whether what a walk went by, or broke for, may be another thing soon. */
static __always_inline bool is_passing(__u8 reason)
{
	return reason == UNWIND_NO_PROCESS || reason == UNWIND_PENDING ||
	       reason == UNWIND_NO_MAPPING;
}

/* One step: from the last frame in s to that of its caller. Returns whether the walk is over. Not static, so that the verifier looks at
 * it once, by itself, and not at every way through 127 of them. */
__noinline int unwind_step(struct scratch *s)
{
	__u32 cpu = bpf_get_smp_processor_id(), n;
	struct kept_rules *kept;
	union unwind_rule r;
	__u64 pc, name, *line;

	if (!s)
		return 1;
	n = s->walk.n;
	if (!n)
		return 1;
	/* A return address may lie behind the last instruction of its function: a call that never returns. */
	pc = s->walk.pc - !s->walk.exact;
	name = mix(s->walk.seed, pc);
	kept = bpf_map_lookup_elem(&unwind_kept, &cpu);
	if (!kept)
		return 1;
	line = &kept->line[name & (KEPT - 1)].name;
	r.word = line[1];
	if ((line[0] ^ r.word) != name) {
		r.word = find_rule(&s->walk, pc);
		if (r.cfa == CFA_NONE)
			r.word = find_rule_by_area(s, pc);
		if (r.cfa != CFA_NO_MAPPING && !(r.cfa == CFA_FRAME_POINTER && is_passing(r.aux))) {
			line[0] = name ^ r.word;
			line[1] = r.word;
		}
	}
#if !defined(OTHER_THREADS)
	if (is_overtaken(&s->walk, r.cfa))
		return land(s, false);
#endif
	switch (r.cfa) {
	case CFA_END:
		s->walk.end = STACK_USER_WHOLE;
		return 1;
#if defined(__TARGET_ARCH_x86)
	case CFA_CLONED:
		/* The system call is on its way back to two threads: one has a stack, the other's begins here. */
		if (!s->walk.innermost)
			return broken(&s->walk, UNWIND_UNSUPPORTED);
		if (!s->walk.result) {
			s->walk.end = STACK_USER_WHOLE;
			return 1;
		}
		r.cfa = CFA_SP;
		break;
#endif
#if !defined(OTHER_THREADS)
	case CFA_LANDING:
		return follow_landing(s, r.word);
#endif
	case CFA_SIGNAL:
		if (!leave_signal(s))
			return broken(&s->walk, UNWIND_UNREADABLE);
		return add_frame(s, n);
	case CFA_FRAME_POINTER:
		return follow_fp(s, n, r.aux ? r.aux : UNWIND_NO_ROW);
	case CFA_NO_MAPPING:
		return broken(&s->walk, UNWIND_NO_MAPPING);
	case CFA_UNSUPPORTED:
		return broken(&s->walk, UNWIND_UNSUPPORTED);
	}
	return follow_rule(s, n, r);
}

/* All steps; not static for the same reason. */
__noinline int unwind_steps(struct scratch *s)
{
	for (int i = 0; i < MAX_FRAMES; i++) {
		if (unwind_step(s))
			break;
	}
	return 0;
}

/* Walks the user stack of a thread whose registers are these, into s->user; what is read before lies in the window from its sp on. */
static __always_inline void unwind(struct scratch *s, struct task_struct *task, __u32 tgid,
				   bool windowed)
{
	struct pt_regs *regs = (void *)bpf_task_pt_regs(task);
	struct unwind_process *p = bpf_map_lookup_elem(&unwind_processes, &tgid);
	struct walk *w = &s->walk;

	__builtin_memset(w, 0, sizeof(*w));
	if (p) {
		w->maps = p->maps;
		w->map_count = p->map_count;
		w->version = p->version;
	}
	w->mm = (__u64)task->mm;
	/* A process without a version has a name of its own until it runs another program. */
	w->seed = p ? mix(hash_seed, w->version)
		    : mix(mix(mix(hash_seed, tgid), task->group_leader->start_time),
			  task->self_exec_id);
	w->pc = REGS_IP(regs);
	w->sp = REGS_SP(regs);
	w->fp = REGS_FP(regs);
#if defined(__TARGET_ARCH_x86)
	w->rdi = regs->di;
	w->result = regs->ax;
#else
	w->lr = STRIP_PAC(regs->regs[30]);
#endif
	/* In a system call the address is that behind the instruction; in an interrupt or a fault, its own. */
	w->exact = REGS_SYSCALL(regs) == NO_SYSCALL;
	w->innermost = true;
	w->n = 1;
	w->end = STACK_USER_CUT;
	w->window = windowed ? w->sp : NO_WINDOW;
	s->user.frames[0] = w->pc;
	w->hash = mix(walk_seed(s), w->pc);
	unwind_steps(s);
	w->end |= w->reason << 8 | w->fault << 16;
}

/* Whether the kernel is just about to begin a program: the memory is that of the new one, but where to begin is not in the registers yet. All
 * others of them are cleared before that, on x86-64. */
static __always_inline bool in_between(struct task_struct *task)
{
#if defined(__TARGET_ARCH_x86)
	struct pt_regs *regs = (void *)bpf_task_pt_regs(task);

	return BPF_CORE_READ_BITFIELD(task, in_execve) && !(regs->di | regs->si | regs->dx) &&
	       REGS_SP(regs) != task->mm->start_stack;
#else
	return false;
#endif
}

/* Whether the kernel has ended the program of a user thread, at its exit or for another program that it has not begun yet. Its
 * registers are still those of the system call that did it, but nothing is left of its memory. */
static __always_inline bool user_side_gone(struct task_struct *task)
{
	struct mm_struct *mm = task->mm;

	return !mm || !mm->start_code || in_between(task);
}

#ifndef OTHER_THREADS
/* Where the runtime of Go goes from a goroutine's stack to its thread's, to grow the one or to choose who runs next, it clears the frame pointer
 * and notes where it was. The walk goes on there. */
static __always_inline void join_goroutine(struct scratch *s, struct task_struct *task, __u32 tgid,
					   struct counters *c)
{
	struct walk *w = &s->walk;
	struct go_registers at;

	if (!w->fp_ended || !find_goroutine(&s->go, task, tgid, c) ||
	    !left_stack(&s->go, task, w->sp, &at))
		return;
	w->pc = at.pc;
	w->sp = at.sp;
	w->fp = at.fp;
#if defined(__TARGET_ARCH_arm64)
	w->lr = at.lr;
	w->innermost = at.lr != 0;
#endif
	w->exact = false;
	w->fp_ended = false;
	w->end = STACK_USER_CUT;
	if (!add_frame(s, w->n))
		unwind_steps(s);
	w->end |= w->reason << 8 | w->fault << 16;
}

#define COPIES 1000    /* on a CPU at most, */
#define COPY_PERIOD 24 /* of which one is forgotten in 2^24 ns */
#define COPIES_OF 500  /* of a process at most, until user space tells more of it */

/* Whether user space may be sent a copy of the stack that was just walked. A process whose walks always end in the same way is no use after a
 * while: nothing more will be known of it. */
static __always_inline bool may_copy(struct scratch *s, struct counters *c)
{
	__u64 past = (bpf_ktime_get_ns() - s->copies.at) >> COPY_PERIOD, seed = s->walk.seed;
	__u32 i = seed & (COPIED - 1);

	s->copies.at += past << COPY_PERIOD;
	s->copies.n = s->copies.n > past ? s->copies.n - past : 0;
	if (s->copies_of[i].seed != seed) {
		s->copies_of[i].seed = seed;
		s->copies_of[i].n = 0;
	}
	if (s->copies_of[i].n >= COPIES_OF)
		return false;
	/* Records of what can't be had again go first. */
	if (s->copies.n >= COPIES ||
	    bpf_ringbuf_query(&records, 0 /* BPF_RB_AVAIL_DATA */) > RING_BYTES / 2) {
		COUNT(c, copies_unsent);
		return false;
	}
	s->copies.n++;
	s->copies_of[i].n++;
	return true;
}

/* Sends a copy of the user stack of the current thread, which has been published as id. Not static, so that the verifier looks at it
 * once. */
__noinline int send_copy(struct scratch *s, __u64 id)
{
	struct task_struct *task = (void *)bpf_get_current_task_btf();
	struct pt_regs *regs = (void *)bpf_task_pt_regs(task);
	struct counters *c = get_counters();
	struct copy_record *copy;
	__u64 bytes, top;

	if (!s)
		return 0;
	copy = &s->copy;
	copy->h.type = REC_COPY;
	copy->id = id;
	copy->at = bpf_ktime_get_ns();
	copy->tgid = s->user.tgid;
	copy->exact = REGS_SYSCALL(regs) == NO_SYSCALL;
	copy->pc = REGS_IP(regs);
	copy->sp = REGS_SP(regs);
	copy->fp = REGS_FP(regs);
#if defined(__TARGET_ARCH_x86)
	read_registers(copy->registers, regs);
#else
	copy->lr = STRIP_PAC(regs->regs[30]);
#endif
	bytes = read_pages(copy->stack, COPY_BYTES, copy->sp, task);
	top = task->mm->start_stack - copy->sp; /* the stack of the first thread ends there */
	if (bytes > top)
		bytes = top;
	if (bytes > COPY_BYTES)
		bytes = COPY_BYTES;
	copy->h.n = bytes;
	if (bpf_ringbuf_output(&records, copy,
			       __builtin_offsetof(struct copy_record, stack) + bytes, 0))
		COUNT(c, copies_unsent);
	return 0;
}

/* Publishes the user stack of the current thread. Where its walk lacked what user space may know soon, that gets the stack itself, too, and
 * walks it again: such a stack has a name of its own. */
static __always_inline __u64 publish_walked(struct scratch *s, struct task_struct *task, __u32 tgid,
					    struct counters *c)
{
	struct walk *w = &s->walk;
	bool again = is_passing(w->reason) && may_copy(s, c);
	__u64 id;

	if (again)
		w->hash = mix(mix(w->hash, bpf_ktime_get_ns()), task->pid);
	id = publish(&s->user, w->n, w->hash, w->end, tgid, c);
	if (again)
		send_copy(s, id);
	return id;
}

/* The user stack of the current thread; ctx is that of the program. */
static __always_inline __u64 user_stack(void *ctx, struct scratch *s, struct task_struct *task,
					__u32 tgid, struct counters *c)
{
	struct pt_regs *regs = (void *)bpf_task_pt_regs(task);
	long bytes;
	__u32 n;

	s->user.python = 0;
	s->go.looked = false;
	if (REGS_64BIT(regs)) {
		s->user.python = python_stack(&s->python, task, tgid, hash_seed, c);
		if (!with_tables)
			return walk_user(s, regs, tgid, c);
		unwind(s, task, tgid, false);
		join_goroutine(s, task, tgid, c);
		return publish_walked(s, task, tgid, c);
	}
	bytes = bpf_get_stack(ctx, s->user.frames, sizeof(s->user.frames), BPF_F_USER_STACK);
	if (bytes <= 0)
		return 0;
	n = bytes / sizeof(__u64);
	return publish(&s->user, n, hash_frames(&s->user, n), STACK_USER_32BIT, tgid, c);
}
#endif

#endif
