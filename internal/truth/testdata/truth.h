// SPDX-License-Identifier: Apache-2.0
/*
 * What the C programs of known truth share: clocks, work of a known length, waits without a
 * libc in between, and a way to say the truth: lines of KEY=INTEGER on standard output.
 *
 * Debian's libc has no frame pointers, so a wait inside it would hide the function that asked
 * for it. Hence the system calls are made right here.
 */
#ifndef TRUTH_H
#define TRUTH_H

#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/futex.h>
#include <linux/perf_event.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#ifndef __x86_64__
#error "these programs know the system calls and instructions of x86-64 only"
#endif

#define NOINLINE __attribute__((noinline, noclone))
#define US 1000LL
#define MS 1000000LL
#define SEC 1000000000LL

typedef long long ns_t; /* nanoseconds */

static inline __attribute__((always_inline)) long sys4(long n, long a, long b, long c, long d)
{
	register long r10 __asm__("r10") = d;
	long ret;

	__asm__ volatile("syscall" : "=a"(ret) : "0"(n), "D"(a), "S"(b), "d"(c), "r"(r10) : "rcx", "r11", "memory");
	return ret;
}

static inline ns_t clock_ns(clockid_t id)
{
	struct timespec t;

	clock_gettime(id, &t);
	return t.tv_sec * SEC + t.tv_nsec;
}

static inline ns_t mono_ns(void) { return clock_ns(CLOCK_MONOTONIC); }
static inline ns_t cpu_ns(void) { return clock_ns(CLOCK_THREAD_CPUTIME_ID); }

static inline void die(const char *what)
{
	perror(what);
	exit(1);
}

static inline int open_schedstat(void)
{
	int fd = open("/proc/thread-self/schedstat", O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		die("schedstat");
	return fd;
}

/* queued_in returns the run-queue time that a text of schedstat tells. */
static inline ns_t queued_in(const char *text)
{
	ns_t ran, queued;

	if (sscanf(text, "%lld %lld", &ran, &queued) != 2)
		die("schedstat");
	return queued;
}

/* How long the calling thread has stood in run queues: the second number of its schedstat, exact
 * for a thread that runs. (The first, its CPU time, lacks what ran since the last tick.) */
static inline ns_t queued_ns(void)
{
	char text[128] = "";
	int fd = open_schedstat();

	if (read(fd, text, sizeof(text) - 1) < 0)
		die("schedstat");
	close(fd);
	return queued_in(text);
}

/* say prints one truth; name may be NULL. */
static inline void say(const char *key, const char *name, ns_t value)
{
	dprintf(1, "%s%s%s=%lld\n", key, name ? "." : "", name ? name : "", value);
}

/* say_account tells what the kernel knows of the calling thread's whole life. */
static inline void say_account(const char *name)
{
	say("tid", name, sys4(SYS_gettid, 0, 0, 0, 0));
	say("oncpu_ns", name, cpu_ns());
	say("queued_ns", name, queued_ns());
}

static volatile unsigned long sink;

#define TURN() (sink = sink * 6364136223846793005UL + 1442695040888963407UL)

static double turns_per_ns;

static inline long turns_for(ns_t ns) { return ns * turns_per_ns; }

/* vary returns a random length between half and one and a half of the mean, so that no
 * sampling frequency can fall into step with the work. */
static inline ns_t vary(ns_t mean)
{
	static __thread unsigned long x;

	if (!x)
		x = mono_ns() | 1;
	x ^= x << 13;
	x ^= x >> 7;
	x ^= x << 17;
	return mean / 2 + (ns_t)(x % (unsigned long)mean);
}

/* begin learns how fast this machine turns and returns the time to stop at. Arguments: SECONDS [gate];
 * with gate, work starts when a byte comes on standard input. */
static inline ns_t begin(int argc, char **argv)
{
	const long turns = 2000000;
	ns_t before;
	char byte;

	if (argc < 2) {
		dprintf(2, "usage: %s SECONDS [gate]\n", argv[0]);
		exit(2);
	}
	if (argc > 2 && !strcmp(argv[2], "gate") && sys4(SYS_read, 0, (long)&byte, 1, 0) != 1)
		exit(1);
	before = cpu_ns();
	for (long i = 0; i < turns; i++)
		TURN();
	turns_per_ns = (double)turns / (cpu_ns() - before);
	return mono_ns() + (ns_t)(atof(argv[1]) * SEC);
}

static inline void pin(int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	if (sched_setaffinity(0, sizeof(set), &set))
		die("sched_setaffinity");
}

/* Threads of this policy don't push away whoever wakes them, so that each handing over of a turn is one wait. */
static inline void be_polite(void)
{
	struct sched_param none = { 0 };

	if (sched_setscheduler(0, SCHED_BATCH, &none))
		die("sched_setscheduler");
}

/* A thread of this policy is pushed away by none of the others. */
static inline __attribute__((always_inline)) void be_first(void)
{
	struct sched_param lowest = { .sched_priority = 1 };

	if (sys4(SYS_sched_setscheduler, 0, SCHED_FIFO, (long)&lowest, 0))
		die("sched_setscheduler");
}

static inline void start(pthread_t *thread, void *(*f)(void *), void *arg)
{
	if (pthread_create(thread, NULL, f, arg))
		die("pthread_create");
}

/* nap waits inside its caller. */
static inline __attribute__((always_inline)) void nap(ns_t length)
{
	struct timespec t = { length / SEC, length % SEC };

	sys4(SYS_nanosleep, (long)&t, 0, 0, 0);
}

/* How long the calling thread has had a CPU, from a beginning of its own: perf's task clock. */
static inline ns_t had_cpu_ns(void)
{
	static __thread int fd = -1;
	struct perf_event_attr attr = { .type = PERF_TYPE_SOFTWARE, .size = sizeof(attr),
					.config = PERF_COUNT_SW_TASK_CLOCK, .exclude_kernel = 1 };
	ns_t now;

	if (fd < 0)
		fd = syscall(SYS_perf_event_open, &attr, 0, -1, -1, PERF_FLAG_FD_CLOEXEC);
	if (read(fd, &now, sizeof(now)) != sizeof(now))
		die("task clock");
	return now;
}

/* A span is time by two readings of the clocks, added up: at most what passed, at least that without what the
 * thread had a CPU or stood in a run queue around these two; and the longest that passed at once. What had the CPU
 * goes by two clocks, for each lacks something that is no wait: cpu_ns what the host took from a guest meanwhile
 * (CONFIG_PARAVIRT_TIME_ACCOUNTING), and perf's what happens between the choice of the thread and its first instruction. */
struct span {
	ns_t least, most, longest;
	ns_t by_cpu; /* what the thread neither queued nor had a CPU for, by cpu_ns alone */
	ns_t wall, cpu, had, queued; /* at the beginning */
};

static inline void span_begin(struct span *s)
{
	s->queued = queued_ns();
	s->had = had_cpu_ns();
	s->cpu = cpu_ns();
	s->wall = mono_ns();
}

static inline void span_end(struct span *s)
{
	ns_t took = mono_ns() - s->wall, cpu = cpu_ns() - s->cpu, had = had_cpu_ns() - s->had;
	ns_t idle = took - (queued_ns() - s->queued);

	s->most += took;
	s->least += idle - (cpu > had ? cpu : had);
	s->by_cpu += idle - cpu;
	if (took > s->longest)
		s->longest = took;
}

static inline void span_say(const struct span *s, const char *name)
{
	say("least_ns", name, s->least);
	say("by_cpu_ns", name, s->by_cpu);
	say("most_ns", name, s->most);
	say("longest_ns", name, s->longest);
}

#endif
