// SPDX-License-Identifier: Apache-2.0
/* signals SECONDS: a timer of CPU time interrupts work, some calls deep, each millisecond; the handler works too, some calls deep, on a stack of its own. */
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <time.h>

static volatile unsigned long sink;

__attribute__((noinline)) static void work(int turns)
{
	for (int i = 0; i < turns; i++)
		sink = sink * 6364136223846793005UL + 1442695040888963407UL;
}

__attribute__((noinline)) static void descend(int depth, int turns)
{
	if (depth > 0)
		descend(depth - 1, turns);
	else
		work(turns);
	sink++;
}

static void handle(int signal)
{
	(void)signal;
	descend(8, 300000);
}

int main(int argc, char **argv)
{
	const time_t end = time(NULL) + (argc > 1 ? atoi(argv[1]) : 1);
	const struct itimerval each = { { 0, 1000 }, { 0, 1000 } };
	const stack_t stack = { .ss_sp = malloc(1 << 16), .ss_size = 1 << 16 };
	struct sigaction action;

	memset(&action, 0, sizeof(action));
	action.sa_handler = handle;
	action.sa_flags = SA_RESTART | SA_ONSTACK;
	if (!stack.ss_sp || sigaltstack(&stack, NULL) || sigaction(SIGPROF, &action, NULL) ||
	    setitimer(ITIMER_PROF, &each, NULL))
		return 1;
	while (time(NULL) < end)
		descend(12, 20000);
	return 0;
}
