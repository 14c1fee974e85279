// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/*
 * Our own cost, measured in the program: a random share of the runs reads the
 * clock at its begin and its end. The kernel's meter (BPF_ENABLE_STATS) would
 * tax every program of the machine and wants CAP_SYS_ADMIN; this needs neither.
 */
#ifndef ASSAY_COST_BPF_H
#define ASSAY_COST_BPF_H

#include "maps.bpf.h"

struct cost_timer {
	struct cost *cost;
	__u64 start;
};

static __always_inline struct cost_timer cost_begin(__u32 slot, __u32 mean_gap)
{
	struct cost_timer t = { .cost = bpf_map_lookup_elem(&costs, &slot) };
	__u64 now;

	if (!t.cost)
		return t;
	t.cost->runs++;
	if (t.cost->until) {
		t.cost->until--;
		return t;
	}
	/* The gap is random, so that no rhythm of the workload can hide from it. */
	if (mean_gap > 1)
		t.cost->until = bpf_get_prandom_u32() & (2 * mean_gap - 1);
	/* Two readings, so that the clock's own price is known and can be taken off. */
	t.start = bpf_ktime_get_ns();
	now = bpf_ktime_get_ns();
	t.cost->clock_ns += now - t.start;
	t.start = now;
	return t;
}

static __always_inline void cost_end(struct cost_timer *t)
{
	if (!t->cost || !t->start)
		return;
	t->cost->timed_ns += bpf_ktime_get_ns() - t->start;
	t->cost->timed++;
}

#endif
