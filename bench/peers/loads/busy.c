// SPDX-License-Identifier: Apache-2.0
// busy THREADS: computes in that many threads, under 15 frames of our own, until it is killed.
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

static volatile unsigned long sink;

__attribute__((noinline)) static unsigned long descend(int depth)
{
	unsigned long sum = depth;

	if (depth)
		return descend(depth - 1) + 1;
	for (int i = 0; i < 100000; i++)
		sink = sum += i;
	return sum;
}

static void *forever(void *unused)
{
	for (;;)
		descend(13);
	return unused;
}

int main(int argc, char **argv)
{
	int threads = argc > 1 ? atoi(argv[1]) : 2;
	pthread_t thread;

	for (int i = 1; i < threads; i++)
		if (pthread_create(&thread, NULL, forever, NULL))
			return 1;
	puts("ready");
	fflush(stdout);
	forever(NULL);
}
