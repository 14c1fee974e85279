// SPDX-License-Identifier: Apache-2.0
/*
 * frames SECONDS DEPTH [gate]: at the bottom of DEPTH calls of down computes in bottom_spin, in compare as bottom_sort has qsort call it, in
 * the C library's memmove for bottom_copy, in on_signal that bottom_signal raises, in bottom_throw while it catches what its callees throw, and
 * on the call of a function that never returns; in the main thread (work, main), and in others (work, thread_main). Frames have
 * different sizes, some of them only known at run time, and some are aligned. Says how many rounds it went. With gate, work
 * starts when a byte comes on standard input.
 */
#include <alloca.h>
#include <csetjmp>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <pthread.h>
#include <unistd.h>

#ifdef __clang__
#define NOINLINE __attribute__((noinline))
#else
#define NOINLINE __attribute__((noinline, noclone))
#endif

static volatile unsigned long sink;
static thread_local jmp_buf home;
static double deadline;
static int depth;

static double now()
{
	timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec + t.tv_nsec * 1e-9;
}

static inline __attribute__((always_inline)) void turn(int turns)
{
	for (int i = 0; i < turns; i++)
		sink = sink * 6364136223846793005UL + 1442695040888963407UL;
}

extern "C" {

NOINLINE void bottom_spin() { turn(100000); }

NOINLINE int compare(const void *a, const void *b)
{
	turn(100);
	return *(const int *)a - *(const int *)b;
}

NOINLINE void bottom_sort()
{
	int values[128];

	for (int i = 0; i < 128; i++)
		values[i] = (i * 7919) % 128;
	qsort(values, 128, sizeof(int), compare);
	sink = sink + values[5];
}

NOINLINE void bottom_copy()
{
	static thread_local char bytes[1 << 18];

	for (int i = 0; i < 10; i++) {
		memmove(bytes + 1 + (sink & 1), bytes, sizeof(bytes) - 2);
		__asm__ volatile("" ::: "memory");
	}
}

NOINLINE void on_signal(int) { turn(100000); }

NOINLINE void bottom_signal()
{
	raise(SIGUSR1);
	sink = sink + 1;
}

NOINLINE void thrower(int n)
{
	turn(10);
	if (!n)
		throw n;
	thrower(n - 1);
	sink = sink + 1;
}

NOINLINE void bottom_throw()
{
	for (int i = 0; i < 5; i++) {
		try {
			thrower(5);
		} catch (int) {
			turn(10000);
		}
	}
}

NOINLINE __attribute__((noreturn)) void never_returns()
{
	turn(100000);
	longjmp(home, 1);
}

NOINLINE void bottom_never()
{
	if (!setjmp(home))
		never_returns();
	sink = sink + 1;
}

static void (*const bottoms[])() = { bottom_spin, bottom_sort, bottom_copy, bottom_signal, bottom_throw, bottom_never };

/* A frame of each kind: of a fixed size, of a size known at run time, and aligned. */
NOINLINE void down(int left, int bottom)
{
	if (!left) {
		bottoms[bottom]();
	} else if (left % 3 == 0) {
		char *room = (char *)alloca(left * 8 + 16);
		memset(room, left, left * 8 + 16);
		down(left - 1, bottom);
		sink = sink + room[3];
	} else if (left % 3 == 1) {
		alignas(64) char room[100];
		memset(room, left, sizeof(room));
		down(left - 1, bottom);
		sink = sink + room[sink & 63];
	} else {
		down(left - 1, bottom);
		sink = sink + 1;
	}
}

NOINLINE long work()
{
	long rounds = 0;

	for (; now() < deadline; rounds++)
		down(depth - 1, rounds % (sizeof(bottoms) / sizeof(bottoms[0])));
	return rounds;
}

NOINLINE void *thread_main(void *)
{
	long rounds = work();

	sink = sink + rounds; /* or the call of work would be a jump */
	return (void *)rounds;
}

} // extern "C"

int main(int argc, char **argv)
{
	char byte;
	long rounds;
	void *others;
	pthread_t thread;

	if (argc < 3)
		return 2;
	if (argc > 3 && read(0, &byte, 1) != 1)
		return 1;
	deadline = now() + atof(argv[1]);
	depth = atoi(argv[2]);
	signal(SIGUSR1, on_signal);
	pthread_create(&thread, nullptr, thread_main, nullptr);
	rounds = work();
	pthread_join(thread, &others);
	dprintf(1, "rounds=%ld\n", rounds + (long)others);
	return 0;
}
