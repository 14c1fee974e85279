// SPDX-License-Identifier: Apache-2.0
/* context SECONDS: two contexts with stacks of their own, each some calls deep, hand over to each other after each piece of work. */
#include <stdlib.h>
#include <time.h>
#include <ucontext.h>

#define ROOM (256 << 10)

static ucontext_t outside, contexts[2];
static volatile unsigned long sink;
static volatile int going = 1;

__attribute__((noinline)) static void work(void)
{
	for (int i = 0; i < 2000; i++)
		sink = sink * 6364136223846793005UL + 1442695040888963407UL;
}

__attribute__((noinline)) static void descend(int depth, int self)
{
	if (depth > 0) {
		descend(depth - 1, self);
		sink++;
		return;
	}
	while (going) {
		work();
		if (swapcontext(&contexts[self], self ? &outside : &contexts[1]))
			abort();
	}
}

static void begin(int self)
{
	descend(10, self);
}

int main(int argc, char **argv)
{
	const time_t end = time(NULL) + (argc > 1 ? atoi(argv[1]) : 1);

	for (int i = 0; i < 2; i++) {
		if (getcontext(&contexts[i]))
			return 1;
		contexts[i].uc_stack.ss_sp = malloc(ROOM);
		contexts[i].uc_stack.ss_size = ROOM;
		contexts[i].uc_link = &outside;
		if (!contexts[i].uc_stack.ss_sp)
			return 1;
		makecontext(&contexts[i], (void (*)(void))begin, 1, i);
	}
	while (time(NULL) < end)
		if (swapcontext(&outside, &contexts[0]))
			return 1;
	return 0;
}
