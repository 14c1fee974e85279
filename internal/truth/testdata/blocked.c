// SPDX-License-Identifier: Apache-2.0
/* blocked: two threads wait until standard input ends, one in wait_for_input, one in wait_for_ever. Says when both are about to. */
#include "truth.h"

NOINLINE void wait_for_input(void)
{
	char byte;

	while (sys4(SYS_read, 0, (long)&byte, 1, 0) > 0)
		;
}

NOINLINE void wait_for_ever(void)
{
	static int word;

	for (;;)
		sys4(SYS_futex, (long)&word, FUTEX_WAIT_PRIVATE, 0, 0);
}

static void *waiter(void *name)
{
	prctl(PR_SET_NAME, name);
	say("tid", name, sys4(SYS_gettid, 0, 0, 0, 0));
	wait_for_ever();
	return NULL;
}

int main(void)
{
	pthread_t thread;

	start(&thread, waiter, "waiter");
	nap(10 * MS);
	say("tid", "main", getpid());
	wait_for_input();
	return 0;
}
