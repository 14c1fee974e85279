// SPDX-License-Identifier: Apache-2.0
// over20ms: computes for 25 ms of CPU time, in a function a few calls deep. It asks the kernel for the time, not
// the vdso, so that all its code is its own.
#include <stddef.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static volatile unsigned long sink;

__attribute__((noinline)) static void work(void)
{
	for (int i = 0; i < 10000; i++)
		sink += i;
}

__attribute__((noinline)) static void until(long end_ns)
{
	struct timespec now;

	do {
		work();
		syscall(SYS_clock_gettime, CLOCK_PROCESS_CPUTIME_ID, &now);
	} while (now.tv_sec * 1000000000 + now.tv_nsec < end_ns);
}

int main(void)
{
	/* The C library keeps no frame pointers: what it left in the register is not a frame. Stacks end here, and we can't return. */
	*(void **)__builtin_frame_address(0) = NULL;
	until(25000000);
	_exit(0);
}
