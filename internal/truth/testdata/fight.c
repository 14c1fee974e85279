// SPDX-License-Identifier: Apache-2.0
/* fight SECONDS: four threads fight for one CPU in fight. Says the account of each, and fought_ns, the part of queued_ns in fight. */
#include "truth.h"

static ns_t end;

static struct fighter {
	char *name;
	pthread_t thread;
	ns_t tid, oncpu, queued, fought;
} fighters[] = { { "fighter0" }, { "fighter1" }, { "fighter2" }, { "fighter3" } };

NOINLINE void fight(void)
{
	while (mono_ns() < end)
		for (int i = 0; i < 10000; i++)
			TURN();
}

/* What it knows of itself is read out of the fight, and said by the first thread, or more would come to it meanwhile. */
static void *fighter(void *arg)
{
	struct fighter *f = arg;
	ns_t before;

	prctl(PR_SET_NAME, f->name);
	before = queued_ns();
	fight();
	be_first();
	f->queued = queued_ns();
	f->fought = f->queued - before;
	f->oncpu = cpu_ns();
	f->tid = sys4(SYS_gettid, 0, 0, 0, 0);
	return NULL;
}

int main(int argc, char **argv)
{
	end = begin(argc, argv);
	pin(sched_getcpu());
	for (int i = 0; i < 4; i++)
		start(&fighters[i].thread, fighter, &fighters[i]);
	for (int i = 0; i < 4; i++) {
		struct fighter *f = &fighters[i];

		pthread_join(f->thread, NULL);
		say("tid", f->name, f->tid);
		say("oncpu_ns", f->name, f->oncpu);
		say("queued_ns", f->name, f->queued);
		say("fought_ns", f->name, f->fought);
	}
	return 0;
}
