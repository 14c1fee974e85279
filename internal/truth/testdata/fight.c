// SPDX-License-Identifier: Apache-2.0
/* fight SECONDS: four threads fight for one CPU in fight. Says the account of each, and fought_ns, the part of queued_ns in fight. */
#include "truth.h"

static ns_t end;

static struct fighter {
	char *name;
	pthread_t thread;
	ns_t tid, oncpu, queued, fought;
	int schedstat;
	char before[128], after[128];
} fighters[] = { { "fighter0" }, { "fighter1" }, { "fighter2" }, { "fighter3" } };

/* called_ns is mono_ns by a system call, for the clock that a library reads has no frame of its caller above it. */
static inline __attribute__((always_inline)) ns_t called_ns(void)
{
	struct timespec t;

	sys4(SYS_clock_gettime, CLOCK_MONOTONIC, (long)&t, 0, 0);
	return t.tv_sec * SEC + t.tv_nsec;
}

/* All from the first reading to the last is in fight itself, with no call to a library: a thread that is pushed away there is seen in fight. */
NOINLINE void fight(struct fighter *f)
{
	sys4(SYS_pread64, f->schedstat, (long)f->before, sizeof(f->before) - 1, 0);
	while (called_ns() < end)
		for (int i = 0; i < 10000; i++)
			TURN();
	be_first();
	sys4(SYS_pread64, f->schedstat, (long)f->after, sizeof(f->after) - 1, 0);
}

/* What it knows of itself is read out of the fight, and said by the first thread, or more would come to it meanwhile. */
static void *fighter(void *arg)
{
	struct fighter *f = arg;

	prctl(PR_SET_NAME, f->name);
	f->schedstat = open_schedstat();
	fight(f);
	f->queued = queued_in(f->after);
	f->fought = f->queued - queued_in(f->before);
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
