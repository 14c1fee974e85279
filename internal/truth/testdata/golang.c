// SPDX-License-Identifier: Apache-2.0
/*
 * golang SECONDS looks like a program by Go 1.26 to who reads its memory, but lies: what its threads run is nowhere, its labels have
 * lengths that can't be, and all of it changes as it is read. It computes in lie and says cpu_ns of that.
 */
#include "truth.h"

typedef unsigned long word;

__attribute__((section(".go.buildinfo"), used, aligned(16)))
static const char build_info[] = "\xff Go buildinf:\x08\x02\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x06go1.26";

static __thread volatile word current; /* the only variable of its kind, as of Go */

static volatile word g[512 / 8], m[512 / 8], list[2], pairs[32];

static const word nowhere[] = { 0, 1, 8, 0x7fffffffffffUL, 0x800000000000UL, 0xffff888000000000UL, ~0UL, 1UL << 63 };

/* Mostly right, so that every step of the way is tried. */
static word either(word right, unsigned long turn, int bit)
{
	word wrong = nowhere[(turn >> bit) % (sizeof(nowhere) / sizeof(*nowhere))];

	return turn >> bit & 7 ? right : wrong;
}

NOINLINE void lie(ns_t end)
{
	unsigned long turn = 88172645463325252UL;

	while (mono_ns() < end)
		for (int i = 0; i < 1000; i++) {
			turn ^= turn << 13;
			turn ^= turn >> 7;
			turn ^= turn << 17;
			current = either((word)g, turn, 0);
			g[48 / 8] = either((word)m, turn, 4);
			m[184 / 8] = either((word)g, turn, 8);
			g[352 / 8] = either((word)list, turn, 12);
			list[0] = either((word)pairs, turn, 16);
			list[1] = either(turn >> 60, turn, 20);
			for (int k = 0; k < 32; k += 2) {
				pairs[k] = either((word)pairs, turn, 24);
				pairs[k + 1] = either(turn >> 58, turn, 28);
			}
		}
}

int main(int argc, char **argv)
{
	ns_t end = begin(argc, argv), before = cpu_ns();

	lie(end);
	say("cpu_ns", "lie", cpu_ns() - before);
	return 0;
}
