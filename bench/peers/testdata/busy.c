// SPDX-License-Identifier: Apache-2.0
/* Two threads that compute, 15 frames deep, for the seconds given. */
#include <pthread.h>
#include <stdlib.h>
#include <time.h>

static double until;

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec + t.tv_nsec / 1e9;
}

__attribute__((noinline)) static int deep(int n)
{
	volatile int x = 0;

	if (n > 0)
		return deep(n - 1) + 1;
	for (int i = 0; i < 20000; i++)
		x += i;
	return x;
}

static void *work(void *arg)
{
	while (now() < until)
		deep(12);
	return arg;
}

int main(int argc, char **argv)
{
	pthread_t other;

	until = now() + (argc > 1 ? atof(argv[1]) : 1);
	if (pthread_create(&other, NULL, work, NULL))
		return 1;
	work(NULL);
	return pthread_join(other, NULL);
}
