// SPDX-License-Identifier: Apache-2.0
// storm RATE SECONDS TINY LONG: starts RATE processes a second for SECONDS from two threads, every hundredth the program LONG, the others TINY,
// and says at its end how many it was: lines started=N, long=N and milliseconds=N.
#include <pthread.h>
#include <spawn.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>

#define STARTERS 2

static char *tiny, *longer;
static double rate;
static long long end_ns;
static atomic_long started, started_long;

static long long now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000LL + t.tv_nsec;
}

static void sleep_until(long long ns)
{
	struct timespec t = {ns / 1000000000, ns % 1000000000};

	clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL);
}

static void start(char *program)
{
	char *args[] = {program, NULL}, *environment[] = {NULL};
	pid_t child;

	if (posix_spawn(&child, program, NULL, NULL, args, environment))
		exit(1);
}

static void *starter(void *unused)
{
	long long next = now_ns();

	while (next < end_ns) {
		if (started++ % 100 == 99) {
			started_long++;
			start(longer);
		} else {
			start(tiny);
		}
		while (waitpid(-1, NULL, WNOHANG) > 0)
			;
		next += STARTERS * 1e9 / rate;
		sleep_until(next);
	}
	return unused;
}

int main(int argc, char **argv)
{
	long long begin = now_ns();
	pthread_t threads[STARTERS];

	if (argc != 5)
		return 2;
	rate = atof(argv[1]);
	end_ns = begin + atof(argv[2]) * 1e9;
	tiny = argv[3];
	longer = argv[4];
	puts("ready");
	fflush(stdout);
	for (int i = 0; i < STARTERS; i++)
		if (pthread_create(&threads[i], NULL, starter, NULL))
			return 1;
	for (int i = 0; i < STARTERS; i++)
		pthread_join(threads[i], NULL);
	printf("started=%ld\nlong=%ld\nmilliseconds=%lld\n", started, started_long, (now_ns() - begin) / 1000000);
}
