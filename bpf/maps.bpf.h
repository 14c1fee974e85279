// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/*
 * The maps that all program families share. Each family is an object of its
 * own; user space makes the maps once and hands them to each object.
 */
#ifndef ASSAY_MAPS_BPF_H
#define ASSAY_MAPS_BPF_H

#include "headers/kernel.h"
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>
#include "types.h"

#define COUNTS_ENTRIES 16384
#define SEEN_SLOTS 65536
#define HEARD_SLOTS 4096
#define RING_BYTES (1 << 20)

/* The table of counts. Two take turns behind counts_active: user space puts
 * the empty one in, and the kernel's update of the outer map returns only when
 * no program holds the old one any more, so it is then read at rest. Most
 * recordings need few lines, and to make all would take longer than the verifier. */
struct counts_table {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, COUNTS_ENTRIES);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct count_key);
	__type(value, struct count_value);
} counts_a SEC(".maps"), counts_b SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, 1);
	__type(key, __u32);
	__array(values, struct counts_table);
} counts_active SEC(".maps") = { .values = { &counts_a } };

/* New entries in the active table; reset by user space when it swaps. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} counts_fill SEC(".maps");

/* Which stacks user space has: the slot of a stack holds its hash. A stack that
 * another has pushed out is only sent once more, so nothing is ever lost here and the
 * map needs no lock, no eviction and no allocation. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, SEEN_SLOTS);
	__type(key, __u32);
	__type(value, __u64);
} seen SEC(".maps");

/* Programs that the reader was woken for: the slot holds the hash of a process and its name, which changes at exec. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, HEARD_SLOTS);
	__type(key, __u32);
	__type(value, __u64);
} heard SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, RING_BYTES);
} records SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct counters);
} events SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, COST_MAX);
	__type(key, __u32);
	__type(value, struct cost);
} costs SEC(".maps");

/* Processes to record, by thread group ID; the value says whether their children are, too. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 65536);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __u32);
	__type(value, __u32);
} targets SEC(".maps");

/* The smaller of two sizes, compared just here: verifiers before 6.12 forget what was compared before a call. */
#define AT_MOST_BYTES(bytes, most)        \
	({                                \
		__u32 __bytes = (bytes);  \
		barrier_var(__bytes);     \
		if (__bytes > (most))     \
			__bytes = (most); \
		__bytes;                  \
	})

static __always_inline __u64 mix(__u64 h, __u64 word)
{
	h = (h ^ word) * 0xff51afd7ed558ccdULL;
	return h ^ h >> 32;
}

#define WAKE_GAP 20000000       /* ns */
#define URGENT_WAKE_GAP 5000000 /* ns: until it is heard, each sample is walked by a guess */

static __u64 woken_at;

/* For records that should be read soon, but may come in storms. */
static __always_inline __u64 wake_seldom(__u64 gap)
{
	__u64 now = bpf_ktime_get_ns();

	if (now - woken_at < gap)
		return BPF_RB_NO_WAKEUP;
	woken_at = now;
	return BPF_RB_FORCE_WAKEUP;
}

/* For records that can wait, until there are many. */
static __always_inline __u64 wake_when_filling(void)
{
	return bpf_ringbuf_query(&records, 0 /* BPF_RB_AVAIL_DATA */) > RING_BYTES / 4
		       ? BPF_RB_FORCE_WAKEUP
		       : BPF_RB_NO_WAKEUP;
}

static __always_inline struct counters *get_counters(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&events, &zero);
}

#define COUNT(c, field)               \
	do {                          \
		if (c)                \
			(c)->field++; \
	} while (0)

#endif
