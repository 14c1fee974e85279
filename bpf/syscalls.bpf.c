// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
//go:build ignore

/*
 * System calls: what a thread enters is noted with it, and sent when it comes out. Calls that never come out are sent
 * when their thread ends, or by a sweep at the end of the recording.
 */
#include "headers/file.h"
#include "syscalls.h"
#include "target.bpf.h"

char _license[] SEC("license") = "Dual BSD/GPL";

#define CALLS_RING_BYTES (32 << 20)
#define MAX_IOVECS 1024 /* UIO_MAXIOV */

enum { BPF_RB_AVAIL_DATA = 0 };

const volatile struct call_plan plans[PLANS];
const volatile __u32 own_tgid;

/* The call that a thread is in. */
struct call {
	struct call_record record;
	__u32 active;
	__u32 pending; /* an execve that only counts when it succeeds */
	__u64 sent;
};

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct call);
} calls SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, CALLS_RING_BYTES);
} calls_ring SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct call_counters);
} call_events SEC(".maps");

struct iovec {
	__u64 base;
	__u64 len;
};

struct msghdr {
	__u64 name;
	__u64 namelen;
	__u64 iov;
	__u64 iovlen;
};

struct open_how {
	__u64 flags;
	__u64 mode;
};

struct flock {
	__s16 type;
	__s16 whence;
	__s32 pad;
	__s64 start;
	__s64 len;
};

#define FIONBIO 0x5421

static __always_inline bool is_lock(__u64 fcntl)
{
	return (fcntl >= 5 && fcntl <= 7) ||
	       (fcntl >= 36 && fcntl <= 38); /* F_GETLK … F_OFD_SETLKW */
}

static __always_inline struct call_counters *get_call_counters(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&call_events, &zero);
}

static __always_inline const volatile struct call_plan *plan_of(long nr)
{
	if (nr < 0 || nr >= PLANS)
		return NULL;
	barrier_var(nr); /* the mask changes nothing, but the verifier loses the bound without it */
	return &plans[nr & (PLANS - 1)];
}

/* Whether the calls of a process are recorded; with pending, only if this one is a successful execve. */
static __always_inline bool followed(struct task_struct *task, struct ids *ids, bool named,
				     bool *pending, struct call_counters *c)
{
	__u32 *follow;

	if (target_kind == TARGET_CGROUP && (!named || ids->tgid != own_tgid)) {
		if (!in_cgroup(task))
			return false;
		if (!named)
			COUNT(c, outside);
		return named;
	}
	if (!named)
		return false;
	follow = bpf_map_lookup_elem(&targets, &ids->tgid);
	if (!follow || *follow == FOLLOW_BIRTH)
		return false;
	*pending = *follow == FOLLOW_EXEC;
	return true;
}

/* A thread's own note, if its call is to be recorded. */
static __always_inline struct call *get_call(struct task_struct *task, long nr,
					     struct call_counters *c)
{
	struct call *call = bpf_task_storage_get(&calls, task, NULL, 0);
	const volatile struct call_plan *plan = plan_of(nr);
	struct ids ids = {};
	bool named = get_ids(task, &ids), pending = false;

	/* Who has been followed by its number is so until its end; but we ourselves only for a moment. */
	if (!call || call->pending || target_kind == TARGET_CGROUP || ids.tgid == own_tgid) {
		if (!followed(task, &ids, named, &pending, c))
			return NULL;
		if (pending && (!plan || !(plan->flags & PLAN_EXECS)))
			return NULL;
		if (!call)
			call = bpf_task_storage_get(&calls, task, NULL,
						    BPF_LOCAL_STORAGE_GET_F_CREATE);
		if (!call) {
			COUNT(c, no_room);
			return NULL;
		}
		call->pending = pending;
	}
	call->record.tgid = ids.tgid;
	call->record.tid = ids.tid;
	return call;
}

static __always_inline void take_args(struct call_record *r, struct pt_regs___args *regs)
{
#if defined(__TARGET_ARCH_x86)
	r->args[0] = regs->di;
	r->args[1] = regs->si;
	r->args[2] = regs->dx;
	r->args[3] = regs->r10;
	r->args[4] = regs->r8;
	r->args[5] = regs->r9;
#else
	for (int i = 0; i < CALL_ARGS; i++)
		r->args[i] = regs->regs[i];
#endif
}

static __always_inline void take_socket(struct file_class *f, struct file *file)
{
	struct socket *socket = BPF_CORE_READ(file, private_data);
	struct sock *sk = BPF_CORE_READ(socket, sk);

	f->type = BPF_CORE_READ(socket, type);
	f->family = BPF_CORE_READ(sk, __sk_common.skc_family);
	f->protocol = BPF_CORE_READ(sk, sk_protocol);
}

static __always_inline void take_regular(struct call_record *r, struct file *file,
					 struct inode *inode, bool with_size)
{
	__u64 magic = BPF_CORE_READ(inode, i_sb, s_magic);

	if (magic == ANON_INODE_FS_MAGIC)
		bpf_probe_read_kernel_str(&r->file.name, sizeof(r->file.name),
					  BPF_CORE_READ(file, f_path.dentry, d_name.name));
	else if (magic == PID_FS_MAGIC || magic == NSFS_MAGIC)
		r->file.name = magic;
	else if (with_size)
		r->size = BPF_CORE_READ(inode, i_size);
}

static __always_inline struct file *get_file(struct task_struct *task, __u32 fd)
{
	struct files_struct *files = ((struct task_struct___files *)task)->files;
	struct file *file = NULL;
	struct fdtable *fdt;

	if (!files)
		return NULL;
	fdt = files->fdt;
	if (!fdt || fd >= fdt->max_fds)
		return NULL;
	bpf_probe_read_kernel(&file, sizeof(file), (void *)fdt->fd + fd * sizeof(file));
	return file;
}

static __always_inline void take_file(struct call_record *r, struct task_struct *task, __u32 fd,
				      bool with_size)
{
	struct file *file = get_file(task, fd);
	struct file_class *f = &r->file;
	struct inode *inode;

	if (!file)
		return;
	inode = BPF_CORE_READ(file, f_inode);
	f->mode = BPF_CORE_READ(inode, i_mode) & S_IFMT;
	switch (f->mode) {
	case S_IFSOCK:
		take_socket(f, file);
		break;
	case S_IFCHR:
		f->rdev = BPF_CORE_READ(inode, i_rdev);
		break;
	case S_IFREG: /* anonymous inodes are regular files since 6.15, and had no type before */
	case 0:
		take_regular(r, file, inode, with_size);
		break;
	}
}

/* Reads the paths that a call was given. What is not in memory yet can't be read here: the call itself will bring it in. */
static __always_inline void take_paths(struct call_record *r, const volatile struct call_plan *plan)
{
	__u32 at = 0;

	for (int i = 0; i < CALL_PATHS; i++) {
		__u32 arg = plan->path_arg[i];
		long len;

		r->path_len[i] = 0;
		if (arg >= CALL_ARGS || !r->args[arg])
			continue;
		if (at > PATH_READ)
			return;
		len = bpf_probe_read_user_str(&r->paths[at], PATH_READ, (void *)r->args[arg]);
		if (len <= 0 || len > PATH_READ) {
			r->flags |= CALL_PATH_UNREAD;
			continue;
		}
		if (len == PATH_READ)
			r->flags |= CALL_PATH_CUT;
		r->path_len[i] = len;
		at += len;
	}
}

/* The sum of the lengths of an array of struct iovec. */
static __noinline int take_iovecs(struct call_record *r, __u64 vec, __u64 n)
{
	struct iovec v;
	__u64 sum = 0;

	if (!r)
		return 0;
	for (int i = 0; i < MAX_IOVECS; i++) {
		if (i >= n)
			break;
		if (bpf_probe_read_user(&v, sizeof(v), (void *)vec + i * sizeof(v))) {
			r->flags |= CALL_MEMORY_UNREAD;
			break;
		}
		sum += v.len;
	}
	r->size = sum;
	return 0;
}

/* Puts the first bytes of what an argument points to in its place. */
static __always_inline void take_value(struct call_record *r, __u32 arg, __u32 bytes)
{
	__u64 value = 0;

	if (!r->args[arg])
		return;
	if (bpf_probe_read_user(&value, bytes, (void *)r->args[arg]))
		r->flags |= CALL_MEMORY_UNREAD;
	else
		r->args[arg] = value;
}

static __always_inline void take_msghdr(struct call_record *r, __u32 arg)
{
	struct msghdr m;

	if (bpf_probe_read_user(&m, sizeof(m), (void *)r->args[arg]))
		r->flags |= CALL_MEMORY_UNREAD;
	else
		take_iovecs(r, m.iov, m.iovlen);
}

static __always_inline void take_how(struct call_record *r)
{
	struct open_how how;

	if (bpf_probe_read_user(&how, sizeof(how), (void *)r->args[2])) {
		r->flags |= CALL_MEMORY_UNREAD;
		return;
	}
	r->args[2] = how.flags;
	r->args[4] = how.mode;
}

static __always_inline void take_flock(struct call_record *r)
{
	struct flock lock;

	r->args[3] = r->args[4] = 0;
	if (!is_lock(r->args[1]))
		return;
	if (bpf_probe_read_user(&lock, sizeof(lock), (void *)r->args[2])) {
		r->flags |= CALL_MEMORY_UNREAD;
		return;
	}
	r->args[2] = lock.type;
	r->args[3] = lock.start;
	r->args[4] = lock.len;
}

static __always_inline void take_address(struct call_record *r, __u32 arg)
{
	__u64 len = r->args[arg + 1];

	if (len > ADDRESS_BYTES)
		len = ADDRESS_BYTES;
	if (bpf_probe_read_user(r->paths, len, (void *)r->args[arg]))
		r->flags |= CALL_MEMORY_UNREAD;
	else
		r->path_len[0] = len;
}

static __always_inline void take_memory(struct call_record *r,
					const volatile struct call_plan *plan)
{
	__u32 arg = plan->memory_arg;

	if (arg >= CALL_ARGS - 1)
		return;
	switch (plan->memory) {
	case MEMORY_IOVEC:
		take_iovecs(r, r->args[arg], r->args[arg + 1]);
		break;
	case MEMORY_MSGHDR:
		take_msghdr(r, arg);
		break;
	case MEMORY_INT:
		take_value(r, arg, sizeof(__u32));
		break;
	case MEMORY_LONG:
		take_value(r, arg, sizeof(__u64));
		break;
	case MEMORY_HOW:
		take_how(r);
		break;
	case MEMORY_FLOCK:
		take_flock(r);
		break;
	case MEMORY_OPTION:
		if (r->args[arg + 1] == sizeof(__u32))
			take_value(r, arg, sizeof(__u32));
		else
			r->args[arg] = 0;
		break;
	case MEMORY_IOCTL:
		if ((__u32)r->args[1] == FIONBIO)
			take_value(r, arg, sizeof(__u32));
		break;
	case MEMORY_ADDRESS:
		take_address(r, arg);
		break;
	}
}

static __always_inline void send(struct call *call, struct call_counters *c)
{
	struct call_record *r = &call->record;
	__u64 len = r->path_len[0] + r->path_len[1], wake = BPF_RB_NO_WAKEUP;

	call->active = 0;
	if (len > sizeof(r->paths))
		len = 0;
	barrier_var(len);
	len += offsetof(struct call_record, paths);
	/* User space looks by itself every 50 ms; a thread that calls more often looks whether that is enough. */
	if (!(call->sent++ % 64) &&
	    bpf_ringbuf_query(&calls_ring, BPF_RB_AVAIL_DATA) > CALLS_RING_BYTES / 8)
		wake = BPF_RB_FORCE_WAKEUP;
	if (bpf_ringbuf_output(&calls_ring, r, len, wake))
		COUNT(c, ring_full);
	else
		COUNT(c, calls);
}

SEC("tp_btf/sys_enter")
int assay_enter(__u64 *ctx)
{
	struct task_struct *task = (void *)bpf_get_current_task_btf();
	struct call_counters *c = get_call_counters();
	const volatile struct call_plan *plan;
	struct pt_regs *regs = (void *)ctx[0];
	long nr = ctx[1];
	struct call_record *r;
	struct call *call;
	__u32 fd_arg;

	call = get_call(task, nr, c);
	if (!call)
		return 0;
	call->active = 0; /* of an rt_sigreturn that was not seen to end, say */
	plan = plan_of(nr);
	if (!REGS_64BIT(regs) || !plan) {
		COUNT(c, foreign);
		return 0;
	}
	r = &call->record;
	__builtin_memset(&r->file, 0, sizeof(r->file));
	r->result = 0;
	r->size = 0;
	r->nr = nr;
	r->flags = 0;
	r->duration = NOT_ENDED;
	take_args(r, (void *)regs);
	take_paths(r, plan);
	take_memory(r, plan);
	fd_arg = plan->fd_arg;
	if (fd_arg < CALL_ARGS)
		take_file(r, task, r->args[fd_arg], false);
	call->active = 1;
	r->start = bpf_ktime_get_ns();
	return 0;
}

/* What is known only when a call has ended. */
static __always_inline void take_results(struct call_record *r, struct task_struct *task,
					 const volatile struct call_plan *plan)
{
	__u32 arg = plan->memory_arg;

	if (r->flags & CALL_PATH_UNREAD && !(plan->flags & PLAN_EXECS)) {
		r->flags &= ~(CALL_PATH_UNREAD | CALL_PATH_CUT);
		take_paths(r, plan);
	}
	if (r->flags & CALL_MEMORY_UNREAD) {
		r->flags &= ~CALL_MEMORY_UNREAD;
		take_memory(r, plan);
	}
	if (plan->memory == MEMORY_PAIR && arg < CALL_ARGS) {
		if (r->result)
			r->args[arg] = 0;
		else
			take_value(r, arg, sizeof(__u64));
		if (r->args[arg])
			take_file(r, task, r->args[arg], false);
	}
	if (r->result >= 0 && plan->flags & PLAN_RETURNS_FD) {
		__builtin_memset(&r->file, 0, sizeof(r->file));
		take_file(r, task, r->result, true);
	}
}

/* A call ends of which no begin was noted: it began before, or it is the other end of a fork. */
static __always_inline void end_unseen(struct task_struct *task, struct pt_regs *regs, long result,
				       struct call_counters *c)
{
	const volatile struct call_plan *plan = plan_of(REGS_SYSCALL(regs));
	struct ids ids = {};
	bool named = get_ids(task, &ids), pending = false;

	if (plan && plan->flags & PLAN_FORKS && !result)
		return;
	if (ids.tgid != own_tgid && followed(task, &ids, named, &pending, c) && !pending)
		COUNT(c, no_begin);
}

SEC("tp_btf/sys_exit")
int assay_exit(__u64 *ctx)
{
	__u64 now = bpf_ktime_get_ns();
	struct task_struct *task = (void *)bpf_get_current_task_btf();
	struct call_counters *c = get_call_counters();
	const volatile struct call_plan *plan;
	__u32 follow = FOLLOW;
	struct call_record *r;
	struct call *call;

	call = bpf_task_storage_get(&calls, task, NULL, 0);
	if (!call || !call->active) {
		end_unseen(task, (void *)ctx[0], ctx[1], c);
		return 0;
	}
	r = &call->record;
	r->result = ctx[1];
	r->duration = now - r->start;
	plan = plan_of(r->nr);
	if (plan)
		take_results(r, task, plan);
	if (call->pending) {
		call->active = 0;
		if (r->result)
			return 0;
		call->pending = 0;
		bpf_map_update_elem(&targets, &r->tgid, &follow, BPF_ANY);
	}
	send(call, c);
	return 0;
}

/* A thread ends in a call: exit, or whatever it was in when it was killed. */
SEC("tp_btf/sched_process_exit")
int assay_end(__u64 *ctx)
{
	struct task_struct *task = (void *)ctx[0];
	struct call *call = bpf_task_storage_get(&calls, task, NULL, 0);

	if (call && call->active && !call->pending)
		send(call, get_call_counters());
	return 0;
}

/* Children are followed as their parents are. */
SEC("tp_btf/sched_process_fork")
int assay_child(__u64 *ctx)
{
	struct ids parent, child;
	__u32 *follow, inherited;

	if (!get_ids((void *)ctx[0], &parent) || !get_ids((void *)ctx[1], &child) ||
	    child.tgid == parent.tgid)
		return 0;
	follow = bpf_map_lookup_elem(&targets, &parent.tgid);
	if (!follow)
		return 0;
	inherited = *follow == FOLLOW_BIRTH ? FOLLOW_EXEC : *follow;
	if (bpf_map_update_elem(&targets, &child.tgid, &inherited, BPF_ANY)) {
		struct call_counters *c = get_call_counters();

		COUNT(c, unfollowed);
	}
	return 0;
}

/* The number of a process may soon be another's. */
SEC("tp_btf/sched_process_free")
int assay_gone(__u64 *ctx)
{
	struct task_struct *task = (void *)ctx[0];
	struct ids ids;

	if (task->pid == task->tgid && get_ids(task, &ids))
		bpf_map_delete_elem(&targets, &ids.tgid);
	return 0;
}

/* Calls that go on when the recording ends. */
SEC("iter/task")
int assay_unended(struct bpf_iter__task *ctx)
{
	struct task_struct *task = ctx->task;
	struct call *call;

	if (!task)
		return 0;
	call = bpf_task_storage_get(&calls, task, NULL, 0);
	if (call && call->active && !call->pending)
		send(call, get_call_counters());
	return 0;
}
