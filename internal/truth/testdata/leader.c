// SPDX-License-Identifier: Apache-2.0
/* leader SECONDS: the first thread starts a second and exits; the second computes in orphan_work. Says its cpu_ns and account. */
#include "truth.h"

static ns_t end;

NOINLINE void orphan_work(void)
{
	while (mono_ns() < end)
		for (int i = 0; i < 10000; i++)
			TURN();
}

static void *orphan(void *name)
{
	ns_t before;

	prctl(PR_SET_NAME, name);
	nap(100 * MS);
	before = cpu_ns();
	orphan_work();
	say("cpu_ns", "orphan_work", cpu_ns() - before);
	say_account(name);
	exit(0);
}

int main(int argc, char **argv)
{
	pthread_t thread;

	end = begin(argc, argv);
	start(&thread, orphan, "orphan");
	pthread_exit(NULL);
}
