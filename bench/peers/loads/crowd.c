// SPDX-License-Identifier: Apache-2.0
// crowd COUNT: that many processes with address spaces of their own and several libraries; each works for some 500 us twice a second. They die
// with the first, which waits until it is killed.
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

static volatile unsigned long sink;

__attribute__((noinline)) static void work(void)
{
	for (int i = 0; i < 250000; i++)
		sink += i;
}

static void live(void)
{
	struct timespec pause = {0, 400000000 + getpid() % 1000 * 200000};

	for (;;) {
		work();
		nanosleep(&pause, NULL);
	}
}

int main(int argc, char **argv)
{
	char *args[] = {argv[0], NULL}, *environment[] = {NULL};
	pid_t child;

	if (argc < 2) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		live();
	}
	for (int i = 0; i < atoi(argv[1]); i++)
		if (posix_spawn(&child, "/proc/self/exe", NULL, NULL, args, environment))
			return 1;
	puts("ready");
	fflush(stdout);
	pause();
}
