// SPDX-License-Identifier: Apache-2.0
// over20ms: computes for 25 ms of CPU time, in a function a few calls deep.
#include <time.h>

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
		clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
	} while (now.tv_sec * 1000000000 + now.tv_nsec < end_ns);
}

int main(void)
{
	until(25000000);
	return 0;
}
