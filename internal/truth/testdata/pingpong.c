// SPDX-License-Identifier: Apache-2.0
/*
 * pingpong WAITS: two threads on one CPU, one writing to and one reading from a pipe that holds a single page, so that each waits only as long
 * as the other needs to copy a page: a microsecond or less, as there is no way through user mode in between. Says for each its account, how
 * long it played and how often it waited (voluntary switches).
 */
#include "truth.h"

#define PAGE 4096
#define MANY (64 * PAGE)

static int ends[2];
static long pages;

/* Moves many pages in one system call, and waits after each. */
NOINLINE void move_pages(long syscall, int end)
{
	static __thread char memory[MANY];
	long done;

	for (long left = pages * PAGE; left > 0; left -= done) {
		done = sys4(syscall, end, (long)memory, left < MANY ? left : MANY, 0);
		if (done <= 0)
			exit(1);
	}
}

static void play(const char *name, long syscall, int end)
{
	struct rusage usage;
	ns_t before;

	prctl(PR_SET_NAME, name);
	before = mono_ns();
	move_pages(syscall, end);
	say("played_ns", name, mono_ns() - before);
	getrusage(RUSAGE_THREAD, &usage);
	say("waits", name, usage.ru_nvcsw);
	say_account(name);
}

static void *pong(void *unused)
{
	play("pong", SYS_read, ends[0]);
	return unused;
}

int main(int argc, char **argv)
{
	pthread_t thread;

	pages = argc > 1 ? atol(argv[1]) / 2 : 0;
	if (pipe(ends) || fcntl(ends[1], F_SETPIPE_SZ, PAGE) != PAGE)
		die("pipe");
	pin(sched_getcpu());
	be_polite();
	start(&thread, pong, NULL);
	play("ping", SYS_write, ends[1]);
	pthread_join(thread, NULL);
	return 0;
}
