// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/*
 * What lies at an address of a process, from the kernel's own notes.
 *
 * The helper for that (bpf_find_vma) takes the lock of the address space, and in
 * an interrupt only once: it is given back later. So the tree of areas is read
 * without the lock. What is read may change meanwhile: each read is
 * one that can't fault, and a wrong area mostly does not cover the address, or
 * leads to a file without a table; at worst one stack is wrong.
 */
#ifndef ASSAY_AREA_BPF_H
#define ASSAY_AREA_BPF_H

#include "headers/file.h"
#include "maps.bpf.h"

#define VM_EXEC 4

const volatile __u32 page_shift = 12;

/* Nodes of a maple tree (lib/maple_tree.c): an address with the kind of the node in its low bits. */
#define MAPLE_ROOT 2 /* in the low two bits of the root */
#define MAPLE_LEAF 1
#define MAPLE_RANGE 2
#define MAPLE_ARANGE 3
#define MAPLE_KIND(node) ((node) >> 3 & 15)
#define MAPLE_NODE(node) ((node) & ~255ULL)
#define MAPLE_DEPTH 8
#define MAPLE_PIVOTS 15

/* Too big for the stack, as deep as it is called. */
struct area {
	__u64 start;
	__u64 offset; /* in the file */
	__u64 inode;  /* struct inode *; 0: no file */
	bool executable;
	struct unwind_inode name; /* of the file */
	__u64 pivots[MAPLE_PIVOTS];
};

/* 1 where a pivot is there and less than an address, else 0. The verifier would follow both ways of a comparison. */
#define PIVOT_BELOW(pivot, addr) (((((pivot) - 1) & ~(1ULL << 63)) - ((addr) - 1)) >> 63)

/* The entry of a tree node for an address; 0: none. */
static __always_inline __u64 maple_entry(struct area *area, __u64 node, __u64 addr)
{
	__u64 slots, entry = 0;
	__u32 n = 0, below = 1;

	if (MAPLE_KIND(node) == MAPLE_ARANGE) {
		struct maple_arange_64 *a = (void *)MAPLE_NODE(node);

		area->pivots[sizeof(a->pivot) / 8] = 0;
		if (bpf_probe_read_kernel(area->pivots, sizeof(a->pivot),
					  __builtin_preserve_access_index(&a->pivot)))
			return 0;
		slots = (__u64)__builtin_preserve_access_index(&a->slot);
	} else {
		struct maple_range_64 *r = (void *)MAPLE_NODE(node);

		if (bpf_probe_read_kernel(area->pivots, sizeof(r->pivot),
					  __builtin_preserve_access_index(&r->pivot)))
			return 0;
		slots = (__u64)__builtin_preserve_access_index(&r->slot);
	}
#pragma unroll
	for (int i = 0; i < MAPLE_PIVOTS; i++) {
		below &= PIVOT_BELOW(area->pivots[i], addr); /* behind the last one lie old ones */
		n += below;
		barrier_var(n); /* or all are loaded first, to the stack */
	}
	bpf_probe_read_kernel(&entry, sizeof(entry), (void *)(slots + n * 8));
	return entry;
}

/* The area of an address, a struct vm_area_struct *; 0: none, or a kernel before 6.1. Not static, so that the
 * verifier looks at it once. */
__noinline __u64 find_vma(struct area *area, __u64 mm, __u64 addr)
{
	struct mm_struct *space = (void *)mm;
	__u64 node;

	if (!area || !mm || !bpf_core_field_exists(space->mm_mt))
		return 0;
	node = (__u64)BPF_CORE_READ(space, mm_mt.ma_root);
	if ((node & 3) != MAPLE_ROOT) /* less than two areas */
		return 0;
#pragma clang loop unroll(disable)
	for (int i = 0; i < MAPLE_DEPTH; i++) {
		__u64 kind = MAPLE_KIND(node);

		if (kind < MAPLE_LEAF || kind > MAPLE_ARANGE)
			return 0;
		node = maple_entry(area, node, addr);
		if (kind == MAPLE_LEAF)
			return node;
	}
	return 0;
}

/* What is at an address of the address space mm. */
static __always_inline bool find_area(struct area *area, __u64 mm, __u64 addr)
{
	struct vm_area_struct *vma = (void *)find_vma(area, mm, addr);

	if (!vma)
		return false;
	area->start = BPF_CORE_READ(vma, vm_start);
	if (addr < area->start || addr >= BPF_CORE_READ(vma, vm_end))
		return false;
	area->offset = BPF_CORE_READ(vma, vm_pgoff) << page_shift;
	area->executable = BPF_CORE_READ(vma, vm_flags) & VM_EXEC;
	area->inode = (__u64)BPF_CORE_READ(vma, vm_file, f_inode);
	return true;
}

/* Finds the name of the file that an area of mm shows. */
static __always_inline bool name_file(struct area *area, __u64 mm)
{
	struct inode *inode = (void *)area->inode;
	struct unwind_inode *name = &area->name;

	__builtin_memset(name, 0, sizeof(*name));
	if (!inode) {
		area->offset = 0;
		return (__u64)BPF_CORE_READ((struct mm_struct *)mm, context.vdso) == area->start;
	}
	name->number = BPF_CORE_READ(inode, i_ino);
	name->dev = BPF_CORE_READ(inode, i_sb, s_dev);
	if (bpf_core_field_exists(inode->i_mtime_sec)) {
		name->mtime = BPF_CORE_READ(inode, i_mtime_sec) * 1000000000 +
			      BPF_CORE_READ(inode, i_mtime_nsec);
	} else if (bpf_core_field_exists(((struct inode___6_7 *)0)->__i_mtime)) {
		struct inode___6_7 *old = (void *)inode;

		name->mtime = BPF_CORE_READ(old, __i_mtime.tv_sec) * 1000000000 +
			      BPF_CORE_READ(old, __i_mtime.tv_nsec);
	} else {
		struct inode___5_15 *old = (void *)inode;

		name->mtime = BPF_CORE_READ(old, i_mtime.tv_sec) * 1000000000 +
			      BPF_CORE_READ(old, i_mtime.tv_nsec);
	}
	return true;
}

#endif
