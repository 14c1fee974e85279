// SPDX-License-Identifier: Apache-2.0
// threads COUNT: that many threads; each works for some 50 us, then sleeps for 1 to 2 seconds, until it is killed.
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static volatile unsigned long sink;

__attribute__((noinline)) static void work(void)
{
	for (int i = 0; i < 25000; i++)
		sink += i;
}

static void *live(void *number)
{
	unsigned int random = (uintptr_t)number;

	for (;;) {
		struct timespec pause = {1, rand_r(&random) % 1000000000};

		nanosleep(&pause, NULL);
		work();
	}
	return NULL;
}

int main(int argc, char **argv)
{
	int threads = argc > 1 ? atoi(argv[1]) : 10;
	pthread_attr_t small;
	pthread_t thread;

	pthread_attr_init(&small);
	pthread_attr_setstacksize(&small, 64 << 10);
	for (int i = 1; i < threads; i++)
		if (pthread_create(&thread, &small, live, (void *)(uintptr_t)i))
			return 1;
	puts("ready");
	fflush(stdout);
	live(NULL);
}
