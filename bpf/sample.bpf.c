// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
//go:build ignore

/*
 * On-CPU sampling: one run for each overflow of a perf event. The stack of
 * what ran is walked, named by its hash and counted.
 */
#include "cost.bpf.h"
#include "process.bpf.h"

#define SIGSTOP 19

char _license[] SEC("license") = "Dual BSD/GPL";

const volatile bool with_cpu;     /* a line for each CPU */
const volatile bool stop_sampled; /* for a debugger to see the same */

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct scratch);
} sample_scratch SEC(".maps");

/* The context of a perf_event program starts with the interrupted registers in
 * their user-space layout. */
struct sample_ctx {
	__u64 regs[34];
};

static __always_inline bool in_user_mode(struct sample_ctx *ctx)
{
#if defined(__TARGET_ARCH_x86)
	return (ctx->regs[17] & 3) == 3; /* cs: privilege level 3 */
#else
	return (ctx->regs[33] & 0xf) == 0; /* pstate: EL0 */
#endif
}

static __always_inline void take_sample(struct sample_ctx *ctx, struct task_struct *task,
					struct counters *c)
{
	__u32 zero = 0;
	struct scratch *s = bpf_map_lookup_elem(&sample_scratch, &zero);
	struct count_key *key;
	struct ids ids;

	if (!s)
		return;
	if (!get_ids(task, &ids)) {
		COUNT(c, samples_outside);
		return;
	}
	key = &s->count.key;
	__builtin_memset(&s->count, 0, sizeof(s->count));
	key->tgid = ids.tgid;
	key->tid = ids.tid;
	key->cpu = with_cpu ? bpf_get_smp_processor_id() : NO_CPU;
	key->syscall = NO_SYSCALL;
	bpf_get_current_comm(key->comm, sizeof(key->comm));
	if (task->flags & PF_KTHREAD) {
		key->flags |= KEY_KERNEL_THREAD;
	} else if (user_side_gone(task)) {
		key->flags |= KEY_USER_GONE;
	} else {
		key->user_stack = user_stack(ctx, s, task, ids.tgid, c);
		key->labels = go_labels(&s->go, task, ids.tgid, hash_seed, c);
	}
	if (!in_user_mode(ctx)) {
		key->flags |= KEY_IN_KERNEL;
		if (!(task->flags & PF_KTHREAD))
			key->syscall = REGS_SYSCALL((struct pt_regs *)bpf_task_pt_regs(task));
		key->kernel_stack = publish_kernel(
			s, bpf_get_stack(ctx, s->kernel.frames, sizeof(s->kernel.frames), 0),
			ids.tgid, c);
	}
	if (stop_sampled)
		key->moment = bpf_ktime_get_ns();
	s->count.value.count = 1;
	s->count.value.weight = 1;
	count(&s->count, c);
	COUNT(c, samples);
	if (stop_sampled && !(task->flags & PF_KTHREAD))
		bpf_send_signal(SIGSTOP);
}

SEC("perf_event")
int assay_sample(struct sample_ctx *ctx)
{
	struct counters *c = get_counters();
	struct task_struct *task = (void *)bpf_get_current_task_btf();
	struct cost_timer timer;

	if (!task->pid) {
		COUNT(c, samples_idle);
		return 0;
	}
	if (!wanted(task)) {
		COUNT(c, samples_other);
		return 0;
	}
	timer = cost_begin(COST_SAMPLE, 1);
	take_sample(ctx, task, c);
	cost_end(&timer);
	return 0;
}
