// SPDX-License-Identifier: Apache-2.0
/* oddname SECONDS: computes in odd_work under a thread name of bytes that no text has. Says its cpu_ns. */
#include "truth.h"

static ns_t end;

NOINLINE void odd_work(void)
{
	while (mono_ns() < end)
		for (int i = 0; i < 10000; i++)
			TURN();
}

int main(int argc, char **argv)
{
	ns_t before;

	end = begin(argc, argv);
	prctl(PR_SET_NAME, "\xff;\n\x1b[31m\"=\\");
	before = cpu_ns();
	odd_work();
	say("cpu_ns", "odd_work", cpu_ns() - before);
	return 0;
}
