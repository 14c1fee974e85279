// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/*
 * The kernel types that our programs read, with only the fields that they
 * read. CO-RE relocates each access on the running kernel, so the order and
 * the holes of these declarations don't matter. Where the kernel renamed a
 * field, a flavour (name___suffix) declares the other name.
 */
#ifndef ASSAY_KERNEL_H
#define ASSAY_KERNEL_H

#include <stdbool.h>
#include <stddef.h>

typedef signed char __s8;
typedef unsigned char __u8;
typedef short __s16;
typedef unsigned short __u16;
typedef int __s32;
typedef unsigned int __u32;
typedef long long __s64;
typedef unsigned long long __u64;
typedef __u16 __be16;
typedef __u32 __be32;
typedef __u64 __be64;
typedef __u32 __wsum;

/* Declared before bpf_helpers.h, whose prototypes name them. */
enum { BPF_F_USER_STACK = 1ULL << 8 };
enum { BPF_F_CURRENT_CPU = 0xffffffffULL };
enum { BPF_RB_NO_WAKEUP = 1ULL << 0, BPF_RB_FORCE_WAKEUP = 1ULL << 1 };
enum { BPF_ANY = 0, BPF_NOEXIST = 1 };
enum { BPF_LOCAL_STORAGE_GET_F_CREATE = 1ULL << 0 };

enum {
	BPF_MAP_TYPE_HASH = 1,
	BPF_MAP_TYPE_ARRAY = 2,
	BPF_MAP_TYPE_PERF_EVENT_ARRAY = 4,
	BPF_MAP_TYPE_PERCPU_ARRAY = 6,
	BPF_MAP_TYPE_LRU_HASH = 9,
	BPF_MAP_TYPE_ARRAY_OF_MAPS = 12,
	BPF_MAP_TYPE_RINGBUF = 27,
	BPF_MAP_TYPE_TASK_STORAGE = 29,
};
enum { BPF_F_NO_PREALLOC = 1U << 0, BPF_F_MMAPABLE = 1U << 10 };

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct ns_common {
	unsigned int inum;
};

struct pid_namespace {
	struct ns_common ns;
};

struct upid {
	int nr;
	struct pid_namespace *ns;
};

struct pid {
	unsigned int level;
	struct upid numbers[1];
};

struct sched_info {
	unsigned long long run_delay;
	unsigned long long last_arrival;
	unsigned long long last_queued;
};

#if defined(__TARGET_ARCH_x86)
struct thread_struct {
	unsigned long sp; /* of a thread that is not running */
	unsigned long fsbase; /* the thread pointer */
};
#else
struct thread_struct {
	struct {
		unsigned long tp_value; /* the thread pointer, as of the last switch */
	} uw;
};
#endif

struct rq {
	__u64 clock;
};

struct cfs_rq {
	struct rq *rq;
};

struct sched_entity {
	__u64 sum_exec_runtime;
	struct cfs_rq *cfs_rq;
};

struct kernfs_node {
	__u64 id;
};

struct cgroup;

struct cgroup_subsys_state {
	struct cgroup *cgroup;
	struct cgroup_subsys_state *parent;
};

struct cgroup {
	struct cgroup_subsys_state self;
	struct kernfs_node *kn;
};

struct css_set {
	struct cgroup_subsys_state *subsys[1];
	struct cgroup *dfl_cgrp;
};

struct maple_tree {
	void *ma_root;
};

struct maple_range_64 {
	unsigned long pivot[15];
	void *slot[16];
};

struct maple_arange_64 {
	unsigned long pivot[9];
	void *slot[10];
};

typedef struct {
	void *vdso;
} mm_context_t;

struct mm_struct {
	struct maple_tree mm_mt; /* its areas, since 6.1 */
	mm_context_t context;
	unsigned long start_code;
	unsigned long start_stack;
};

struct file;

struct vm_area_struct {
	unsigned long vm_start;
	unsigned long vm_end;
	unsigned long vm_pgoff;
	unsigned long vm_flags;
	struct file *vm_file;
};

struct task_struct {
	unsigned int __state;
	unsigned int flags;
	int pid;
	int tgid;
	struct task_struct *group_leader;
	struct mm_struct *mm;
	struct sched_info sched_info;
	struct sched_entity se;
	__u64 start_time;
	__u64 self_exec_id;
	unsigned int in_execve : 1;
	int exit_state;
	int on_cpu;
	char comm[16];
	struct pid *thread_pid;
	struct thread_struct thread;
	struct css_set *cgroups;
};

struct linux_binprm;

/* Of the registers of a thread only what a stack walk needs. */
#if defined(__TARGET_ARCH_x86)
struct pt_regs {
	unsigned long r15;
	unsigned long r14;
	unsigned long r13;
	unsigned long r12;
	unsigned long bp;
	unsigned long bx;
	unsigned long r11;
	unsigned long r10;
	unsigned long r9;
	unsigned long r8;
	unsigned long ax;
	unsigned long cx;
	unsigned long dx;
	unsigned long si;
	unsigned long di;
	unsigned long orig_ax;
	unsigned long ip;
	unsigned long cs;
	unsigned long sp;
};
#define REGS_IP(r) ((r)->ip)
#define REGS_FP(r) ((r)->bp)
#define REGS_SP(r) ((r)->sp)
#define REGS_64BIT(r) ((r)->cs == 0x33)
/* The number of the system call that the thread is in, or -1. The instruction leaves the address behind it in rcx: where that is not the
 * thread's own any more, it goes on elsewhere, in a signal handler or with the call once more. */
#define REGS_SYSCALL(r) (REGS_64BIT(r) && (r)->cx != (r)->ip ? -1 : (int)(long)(r)->orig_ax)
#elif defined(__TARGET_ARCH_arm64)
struct pt_regs {
	__u64 regs[31];
	__u64 sp;
	__u64 pc;
	__u64 pstate;
	__s32 syscallno;
};
#define REGS_IP(r) ((r)->pc)
#define REGS_FP(r) ((r)->regs[29])
#define REGS_SP(r) ((r)->sp)
#define REGS_64BIT(r) (!((r)->pstate & 0x10))
#define REGS_SYSCALL(r) ((r)->syscallno)
#else
#error "amd64 or arm64"
#endif

struct seq_file;

struct bpf_iter_meta {
	struct seq_file *seq;
	__u64 session_id;
	__u64 seq_num;
};

struct bpf_iter__task {
	struct bpf_iter_meta *meta;
	struct task_struct *task;
};

#pragma clang attribute pop

#endif
