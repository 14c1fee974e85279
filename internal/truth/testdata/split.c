// SPDX-License-Identifier: Apache-2.0
/* split SECONDS: one thread computes, about 70% in seventy, 20% in twenty, 10% in ten. Says cpu_ns of each. */
#include "truth.h"

#define WORK(name)                        \
	NOINLINE void name(long turns)    \
	{                                 \
		while (turns-- > 0)       \
			TURN();           \
	}

WORK(seventy)
WORK(twenty)
WORK(ten)

static struct part {
	const char *name;
	void (*work)(long);
	ns_t mean, done;
} parts[] = { { "seventy", seventy, 7 * MS }, { "twenty", twenty, 2 * MS }, { "ten", ten, MS } };

NOINLINE void compute(struct part *p)
{
	ns_t before = cpu_ns();

	p->work(turns_for(vary(p->mean)));
	p->done += cpu_ns() - before;
}

int main(int argc, char **argv)
{
	ns_t end = begin(argc, argv);

	while (mono_ns() < end)
		for (int i = 0; i < 3; i++)
			compute(&parts[i]);
	for (int i = 0; i < 3; i++)
		say("cpu_ns", parts[i].name, parts[i].done);
	say_account("main");
	return 0;
}
