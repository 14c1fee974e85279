// SPDX-License-Identifier: Apache-2.0
/* deep SECONDS DEPTH: functions with frames of all kinds call each other DEPTH deep, and the last works: in itself and in the C library. */
#include <alloca.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define NOINLINE __attribute__((noinline, noclone))
#define ARRAY 512

typedef uint64_t step_fn(int depth, uint64_t x);
NOINLINE static step_fn plain, wide, aligned, dynamic, many;
static step_fn *const steps[] = { plain, wide, aligned, dynamic, many };

static volatile uint64_t sink;

static uint64_t mix(uint64_t x)
{
	x ^= x << 13;
	x ^= x >> 7;
	return x ^ x << 17;
}

NOINLINE static int by_value(const void *a, const void *b)
{
	const uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return (x > y) - (x < y);
}

/* The work at the end: arithmetic, a callback out of the library, its copies and its prints, and the system. */
NOINLINE static uint64_t work(uint64_t x)
{
	uint32_t numbers[ARRAY], copy[ARRAY];
	char text[64];
	struct timespec now;

	for (int i = 0; i < ARRAY; i++)
		numbers[i] = x = mix(x);
	memcpy(copy, numbers, sizeof(copy));
	qsort(copy, ARRAY, sizeof(*copy), by_value);
	snprintf(text, sizeof(text), "%u %g", copy[0], (double)copy[ARRAY / 2]);
	clock_gettime(CLOCK_MONOTONIC, &now);
	return x + strlen(text) + memcmp(copy, numbers, sizeof(copy));
}

static uint64_t next(int depth, uint64_t x)
{
	return depth > 0 ? steps[x % 5](depth - 1, mix(x)) : work(x);
}

static uint64_t plain(int depth, uint64_t x)
{
	return next(depth, x) + 1;
}

static uint64_t wide(int depth, uint64_t x)
{
	volatile char room[700];

	room[x % sizeof(room)] = depth;
	return next(depth, x) + room[x % sizeof(room)];
}

/* The stack pointer is rounded down, so that the way back is not a distance. */
static uint64_t aligned(int depth, uint64_t x)
{
	volatile char room[64] __attribute__((aligned(64)));

	room[x % sizeof(room)] = depth;
	return next(depth, x) + room[x % sizeof(room)];
}

static uint64_t dynamic(int depth, uint64_t x)
{
	volatile char *room = alloca(16 + x % 500);

	room[x % 16] = depth;
	return next(depth, x) + room[x % 16];
}

/* So many values live over the call that all registers are saved that can be. */
static uint64_t many(int depth, uint64_t x)
{
	const uint64_t a = mix(x), b = mix(a), c = mix(b), d = mix(c), e = mix(d), f = mix(e),
		       g = mix(f);

	return next(depth, x) + (a ^ b) * (c ^ d) + (e ^ f) * g;
}

int main(int argc, char **argv)
{
	const time_t end = time(NULL) + (argc > 1 ? atoi(argv[1]) : 1);
	const int depth = argc > 2 ? atoi(argv[2]) : 30;
	uint64_t x = 88172645463325252ull;

	while (time(NULL) < end)
		for (int i = 0; i < 100; i++)
			sink = x = mix(steps[x % 5](depth, x) | 1);
	return 0;
}
