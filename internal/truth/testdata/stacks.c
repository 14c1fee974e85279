// SPDX-License-Identifier: Apache-2.0
/*
 * stacks PATHS burn|wait ROUNDS: for each number below PATHS goes down 17 calls, into a where the number has a 1 bit and into b where it has
 * a 0, lowest bit first, and at the bottom computes in bottom_burn, or waits in bottom_wait for another thread. So each path is a stack
 * of its own, and can be read off it. Says cpu_ns of the burning, or the span of all waits, and how many there were.
 */
#include "truth.h"

#define DEPTH 17

static void (*bottom)(void);
static int turn; /* 0: the walker's, 1: the partner's */

NOINLINE void bottom_burn(void)
{
	for (int i = 0; i < 2000; i++)
		TURN();
}

static inline __attribute__((always_inline)) void pass_turn_and_wait(int mine)
{
	__atomic_store_n(&turn, !mine, __ATOMIC_SEQ_CST);
	sys4(SYS_futex, (long)&turn, FUTEX_WAKE_PRIVATE, 1, 0);
	while (__atomic_load_n(&turn, __ATOMIC_SEQ_CST) != mine)
		sys4(SYS_futex, (long)&turn, FUTEX_WAIT_PRIVATE, !mine, 0);
}

NOINLINE void bottom_wait(void) { pass_turn_and_wait(0); }

static void *partner(void *unused)
{
	while (turn != 1)
		sys4(SYS_futex, (long)&turn, FUTEX_WAIT_PRIVATE, 0, 0);
	for (;;)
		pass_turn_and_wait(1);
	return unused;
}

NOINLINE void b(unsigned path, int depth);

NOINLINE void a(unsigned path, int depth)
{
	if (!depth)
		bottom();
	else if (path & 1)
		a(path >> 1, depth - 1);
	else
		b(path >> 1, depth - 1);
	sink++;
}

NOINLINE void b(unsigned path, int depth)
{
	if (!depth)
		bottom();
	else if (path & 1)
		a(path >> 1, depth - 1);
	else
		b(path >> 1, depth - 1);
	sink++;
}

int main(int argc, char **argv)
{
	unsigned paths = argc > 3 ? atoi(argv[1]) : 0;
	int waits = argc > 3 && !strcmp(argv[2], "wait"), rounds = argc > 3 ? atoi(argv[3]) : 0;
	struct span span = { 0 };
	struct rusage usage;
	pthread_t thread;
	ns_t cpu;

	bottom = waits ? bottom_wait : bottom_burn;
	pin(sched_getcpu());
	be_polite();
	if (waits)
		start(&thread, partner, NULL);
	cpu = cpu_ns();
	span_begin(&span);
	for (int round = 0; round < rounds; round++)
		for (unsigned path = 0; path < paths; path++)
			(path & 1 ? a : b)(path >> 1, DEPTH - 1);
	span_end(&span);
	say("cpu_ns", NULL, cpu_ns() - cpu);
	span_say(&span, NULL);
	getrusage(RUSAGE_THREAD, &usage);
	say("waits", NULL, usage.ru_nvcsw);
	return 0;
}
