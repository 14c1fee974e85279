// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/*
 * What is heard of processes, whatever is recorded of them: that they fork, become
 * another program and end. And for CPU mode, what the scheduler has counted as run
 * by their threads. These programs are in two objects, so that a recording of
 * CPU samples needs no second one, and are loaded from one of them.
 */
#ifndef ASSAY_PROCESS_BPF_H
#define ASSAY_PROCESS_BPF_H

#include "target.bpf.h"
#include "unwind.bpf.h"

/* CPU time of the wanted threads: [0] summed by a sweep, [1] of those that ended. */
struct cpu_time {
	__u64 ns;
	__u64 threads;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 2);
	__type(key, __u32);
	__type(value, struct cpu_time);
} cpu_times SEC(".maps");

static __always_inline void add_cpu_time(struct task_struct *task, __u32 slot)
{
	struct cpu_time *t = bpf_map_lookup_elem(&cpu_times, &slot);

	if (!t || !task->pid || !wanted(task))
		return;
	__sync_fetch_and_add(&t->ns, task->se.sum_exec_runtime);
	__sync_fetch_and_add(&t->threads, 1);
}

SEC("iter/task")
int assay_sum(struct bpf_iter__task *ctx)
{
	struct task_struct *task = ctx->task;

	if (task)
		add_cpu_time(task, 0);
	return 0;
}

/* The last that is heard of a thread, when its time is complete. */
SEC("tp_btf/sched_process_free")
int assay_free(__u64 *ctx)
{
	struct task_struct *task = (void *)ctx[0];
	struct ids ids;

	add_cpu_time(task, 1);
	if (target_kind == TARGET_PIDS && task->pid == task->tgid && get_ids(task, &ids))
		bpf_map_delete_elem(&targets, &ids.tgid);
	return 0;
}

/* A child starts with its parent's mappings. User space hears of it later. */
static __always_inline void inherit_mappings(__u32 parent, __u32 child)
{
	struct unwind_process *p = bpf_map_lookup_elem(&unwind_processes, &parent), copy;

	if (!p) {
		/* Whatever is known of that number is of a process that is gone. */
		bpf_map_delete_elem(&unwind_processes, &child);
		return;
	}
	copy = *p;
	bpf_map_update_elem(&unwind_processes, &child, &copy, BPF_ANY);
}

SEC("tp_btf/sched_process_fork")
int assay_fork(__u64 *ctx)
{
	struct ids parent, child;
	__u32 *with_children, yes = 1;

	if (!get_ids((void *)ctx[0], &parent) || !get_ids((void *)ctx[1], &child) ||
	    child.tgid == parent.tgid)
		return 0;
	if (with_tables)
		inherit_mappings(parent.tgid, child.tgid);
	with_children = bpf_map_lookup_elem(&targets, &parent.tgid);
	if (with_children && *with_children)
		bpf_map_update_elem(&targets, &child.tgid, &yes, BPF_ANY);
	return 0;
}

/* Nothing is left of what a process had mapped before. */
SEC("tp_btf/sched_process_exec")
int assay_exec(__u64 *ctx)
{
	struct ids ids;

	if (!get_ids((void *)ctx[0], &ids))
		return 0;
	bpf_map_delete_elem(&unwind_processes, &ids.tgid);
	bpf_map_delete_elem(&go_processes, &ids.tgid);
	return 0;
}

#endif
