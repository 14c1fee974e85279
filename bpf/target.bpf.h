// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/* Which threads are recorded, and what they are called in our PID namespace. */
#ifndef ASSAY_TARGET_BPF_H
#define ASSAY_TARGET_BPF_H

#include "maps.bpf.h"

#define PF_KTHREAD 0x00200000
#define CGROUP_DEPTH 32

/* Set before load, so that the verifier drops what is not asked for. */
const volatile __u32 target_kind = TARGET_ALL;
const volatile __u8 target_comm[COMM_LEN];
const volatile __u64 target_cgroup;      /* kernfs ID: the inode of the cgroup's folder */
const volatile __s32 target_subsys = -1; /* v1: index of the controller in css_set; v2: -1 */
const volatile __u32 pidns_level;        /* 0: the initial PID namespace, no translation */
const volatile __u32 pidns_inum;

struct ids {
	__u32 tgid;
	__u32 tid;
};

/* The number of a thread in our PID namespace, 0 when it has none there. */
static __always_inline __u32 number_in_pidns(struct task_struct *task)
{
	struct pid *pid = task->thread_pid;
	struct upid upid = {};

	if (!pid || pid->level < pidns_level)
		return 0;
	bpf_probe_read_kernel(&upid, sizeof(upid),
			      (void *)pid->numbers + pidns_level * sizeof(struct upid));
	if (!upid.ns || BPF_CORE_READ(upid.ns, ns.inum) != pidns_inum)
		return 0;
	return upid.nr;
}

static __always_inline bool get_ids(struct task_struct *task, struct ids *ids)
{
	if (!pidns_level) {
		ids->tgid = task->tgid;
		ids->tid = task->pid;
		return true;
	}
	ids->tid = number_in_pidns(task);
	ids->tgid = ids->tid ? number_in_pidns(task->group_leader) : 0;
	return ids->tgid != 0;
}

static __always_inline bool same_comm(const void *name)
{
	const __u8 *comm = name;

	for (int i = 0; i < COMM_LEN; i++) {
		if (comm[i] != target_comm[i])
			return false;
		if (!comm[i])
			break;
	}
	return true;
}

static __always_inline bool in_cgroup(struct task_struct *task)
{
	struct css_set *set = task->cgroups;
	struct cgroup_subsys_state *css = NULL;
	struct cgroup *cgroup;

	if (!set)
		return false;
	if (target_subsys >= 0) {
		bpf_probe_read_kernel(&css, sizeof(css),
				      (void *)set->subsys + target_subsys * sizeof(css));
		cgroup = BPF_CORE_READ(css, cgroup);
	} else {
		cgroup = BPF_CORE_READ(set, dfl_cgrp);
	}
	for (int i = 0; i < CGROUP_DEPTH && cgroup; i++) {
		if (BPF_CORE_READ(cgroup, kn, id) == target_cgroup)
			return true;
		cgroup = BPF_CORE_READ(cgroup, self.parent, cgroup);
	}
	return false;
}

static __always_inline bool wanted(struct task_struct *task)
{
	struct ids ids;

	switch (target_kind) {
	case TARGET_ALL:
		return true;
	case TARGET_PIDS:
		return get_ids(task, &ids) && bpf_map_lookup_elem(&targets, &ids.tgid);
	case TARGET_COMM:
		return same_comm(task->comm) || same_comm(task->group_leader->comm);
	case TARGET_CGROUP:
		return in_cgroup(task);
	}
	return false;
}

#endif
