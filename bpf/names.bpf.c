// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
//go:build ignore

/*
 * Names for addresses of the kernel, from the kernel's own tables. Text of /proc/kallsyms costs it some 35 ms to write, all of it for
 * each reader; this costs a microsecond an address, and needs no address to be shown.
 */
#include "headers/kernel.h"
#include <bpf/bpf_helpers.h>

char _license[] SEC("license") = "Dual BSD/GPL";

#define NAMES 64       /* in one run */
#define NAME_BYTES 640 /* KSYM_NAME_LEN (512 since 6.1) and a module's name in brackets */

__u64 addresses[NAMES];
char names[NAMES][NAME_BYTES];

/* Run by a system call; prints "name" or "name [module]" for each address, and the address itself where there is no name. */
SEC("syscall")
int assay_names(void *ctx)
{
	static const char format[] = "%ps";

	for (int i = 0; i < NAMES; i++) {
		__u64 address = addresses[i];

		bpf_snprintf(names[i], NAME_BYTES, format, &address, sizeof(address));
	}
	return 0;
}
