// SPDX-License-Identifier: Apache-2.0
/*
 * hop SECONDS: a thread waits in hop_wait, and while it does, the first thread moves it to another CPU, so that it goes to sleep on
 * one and wakes up on the other. Says the span of the waits, the account of the thread, and how often it woke up elsewhere.
 */
#include "truth.h"

static ns_t end;
static volatile int hopper_tid;

NOINLINE void hop_wait(ns_t length) { nap(length); }

static void *hopper(void *name)
{
	struct span waits = { 0 };
	ns_t hops = 0;

	prctl(PR_SET_NAME, name);
	hopper_tid = sys4(SYS_gettid, 0, 0, 0, 0);
	while (mono_ns() < end) {
		int from = sched_getcpu();

		span_begin(&waits);
		hop_wait(vary(5 * MS));
		span_end(&waits);
		hops += sched_getcpu() != from;
	}
	span_say(&waits, "hop_wait");
	say("hops", NULL, hops);
	say_account(name);
	return NULL;
}

int main(int argc, char **argv)
{
	int cpus = sysconf(_SC_NPROCESSORS_ONLN);
	pthread_t thread;
	cpu_set_t set;

	end = begin(argc, argv);
	start(&thread, hopper, "hopper");
	while (!hopper_tid)
		nap(MS);
	for (int cpu = 0; mono_ns() < end; cpu = (cpu + 1) % cpus) {
		CPU_ZERO(&set);
		CPU_SET(cpu, &set);
		sched_setaffinity(hopper_tid, sizeof(set), &set);
		nap(3 * MS);
	}
	pthread_join(thread, NULL);
	return 0;
}
