// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/* What the programs that record system calls share with user space. */
#ifndef ASSAY_SYSCALLS_H
#define ASSAY_SYSCALLS_H

#include "types.h"

#define CALL_ARGS 6
#define CALL_PATHS 2
#define PATH_READ 257 /* 255 bytes, a NUL, and one more to tell a longer path by */
#define PLANS 512     /* system calls have lower numbers than this */
#define NO_ARG 0xff
#define ADDRESS_BYTES 128 /* sizeof(struct sockaddr_storage) */
#define NOT_ENDED (~0ULL)

/* What is taken of the memory that a call is about, beside paths: into the place of the pointer, unless it is told otherwise. */
enum call_memory {
	MEMORY_NONE = 0,
	MEMORY_IOVEC = 1,  /* size: the sum over struct iovec, as many as the next argument says */
	MEMORY_MSGHDR = 2, /* the same of a struct msghdr */
	MEMORY_INT = 3,    /* 4 bytes */
	MEMORY_LONG = 4,   /* 8 bytes */
	MEMORY_PAIR = 5,   /* two file descriptors, once the call has ended */
	MEMORY_HOW = 6,    /* struct open_how: flags, and mode as argument 4 */
	MEMORY_FLOCK = 7,  /* for locks: type, and start and length as arguments 3 and 4 */
	MEMORY_OPTION = 8, /* 4 bytes, if the next argument is 4 */
	MEMORY_IOCTL = 9,  /* 4 bytes, for FIONBIO */
	MEMORY_ADDRESS =
		10, /* a socket address, as long as the next argument says, as the first path */
};

enum {
	PLAN_RETURNS_FD = 1,
	PLAN_FORKS = 2, /* the new thread, too, comes out of the call, with 0 */
	PLAN_EXECS = 4,
};

/* What of a system call is recorded beside its registers, by its number. */
struct call_plan {
	__u8 fd_arg; /* NO_ARG: none */
	__u8 path_arg[CALL_PATHS];
	__u8 memory_arg;
	__u8 memory; /* enum call_memory */
	__u8 flags;
};

/* What a file descriptor leads to. */
struct file_class {
	__u64 name; /* of an anonymous inode: its first 7 bytes; of what only looks like a regular file, not 0 */
	__u32 mode;   /* the type bits of i_mode; 0: no such file descriptor */
	__u32 rdev;   /* of a character device */
	__u16 family; /* of a socket */
	__u16 type;
	__u16 protocol;
	__u16 pad;
};

enum {
	CALL_PATH_UNREAD = 1, /* a path could not be read */
	CALL_MEMORY_UNREAD = 2,
	CALL_PATH_CUT = 4,
};

/* One system call. Its paths follow, with their NULs. */
struct call_record {
	__u64 start;    /* CLOCK_MONOTONIC */
	__u64 duration; /* or NOT_ENDED */
	__s64 result;
	__u64 args[CALL_ARGS];
	__u64 size;
	struct file_class file;
	__u32 tgid;
	__u32 tid;
	__s32 nr;
	__u16 flags;
	__u16 pad;
	__u16 path_len[CALL_PATHS]; /* with NUL; 0: none */
	__u8 paths[CALL_PATHS * PATH_READ + 2];
};

/* Calls and losses, one line a CPU. */
struct call_counters {
	__u64 calls;      /* sent */
	__u64 ring_full;  /* not sent */
	__u64 no_room;    /* no memory to note that a call began */
	__u64 no_begin;   /* ended without that its begin was noted */
	__u64 foreign;    /* of another ABI: 32 bits */
	__u64 unfollowed; /* processes that found no room among the targets */
	__u64 outside;    /* of threads that our PID namespace can't name */
};

/* What the table of targets says of a process. */
enum {
	FOLLOW = 1,       /* its calls, and its children */
	FOLLOW_EXEC = 2,  /* from its next successful execve on */
	FOLLOW_BIRTH = 3, /* not itself: children get FOLLOW_EXEC */
};

#endif
