// SPDX-License-Identifier: Apache-2.0
/* fight SECONDS: four threads fight for the first CPU that they may use. Says the account of each. */
#include "truth.h"

static ns_t end;

NOINLINE void fight(void)
{
	while (mono_ns() < end)
		for (int i = 0; i < 10000; i++)
			TURN();
}

static void *fighter(void *name)
{
	prctl(PR_SET_NAME, name);
	fight();
	say_account(name);
	return NULL;
}

int main(int argc, char **argv)
{
	static char *names[] = { "fighter0", "fighter1", "fighter2", "fighter3" };
	pthread_t threads[4];

	end = begin(argc, argv);
	pin(sched_getcpu());
	for (int i = 0; i < 4; i++)
		start(&threads[i], fighter, names[i]);
	for (int i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	return 0;
}
