// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/* What a file descriptor or a mapping leads to, as far as our programs read it. */
#ifndef ASSAY_FILE_H
#define ASSAY_FILE_H

#include "kernel.h"

#define S_IFMT 0170000
#define S_IFSOCK 0140000
#define S_IFCHR 0020000
#define S_IFREG 0100000
#define ANON_INODE_FS_MAGIC 0x09041934
#define PID_FS_MAGIC 0x50494446
#define NSFS_MAGIC 0x6e736673

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct super_block {
	unsigned long s_magic;
	__u32 s_dev;
};

struct inode {
	unsigned short i_mode;
	__u32 i_rdev;
	struct super_block *i_sb;
	long long i_size;
	unsigned long i_ino;
	long long i_mtime_sec; /* since 6.11 */
	__u32 i_mtime_nsec;
};

struct timespec64 {
	long long tv_sec;
	long tv_nsec;
};

struct inode___6_7 {
	struct timespec64 __i_mtime;
};

struct inode___5_15 {
	struct timespec64 i_mtime;
};

struct qstr {
	const unsigned char *name;
};

struct dentry {
	struct qstr d_name;
};

struct path {
	struct dentry *dentry;
};

struct file {
	struct inode *f_inode;
	struct path f_path;
	void *private_data;
};

struct sock_common {
	unsigned short skc_family;
};

struct sock {
	struct sock_common __sk_common;
	__u16 sk_protocol;
};

struct socket {
	short type;
	struct sock *sk;
};

struct fdtable {
	unsigned int max_fds;
	struct file **fd;
};

struct files_struct {
	struct fdtable *fdt;
};

/* More of task_struct and pt_regs than the other programs read. */
struct task_struct___files {
	struct files_struct *files;
};

#if defined(__TARGET_ARCH_x86)
struct pt_regs___args {
	unsigned long di;
	unsigned long si;
	unsigned long dx;
	unsigned long r10;
	unsigned long r8;
	unsigned long r9;
};
#else
struct pt_regs___args {
	__u64 regs[31];
};
#endif

#pragma clang attribute pop

#endif
