// SPDX-License-Identifier: Apache-2.0
// Frames of many shapes: small, large, of unknown size, aligned anew, with many arguments, without return.

#include <alloca.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static jmp_buf back;

__attribute__((noinline)) int leaf(int n)
{
	return n * 3;
}

__attribute__((noinline)) int variable(int n)
{
	char *p = alloca(n + 1);
	memset(p, n, n + 1);
	return leaf(p[n]);
}

__attribute__((noinline)) int large(int n)
{
	volatile char p[300000];
	p[n] = 1;
	p[299999] = 2;
	return leaf(p[n]);
}

__attribute__((noinline)) int aligned(int n)
{
	volatile char p[64] __attribute__((aligned(64)));
	p[n & 63] = 3;
	return variable(p[n & 63]) + large(n);
}

__attribute__((noinline)) int many(int a, int b, int c, int d, int e, int f, int g, int h, int i, int j)
{
	return a + b + c + d + e + f + aligned(g) + leaf(h) + i + j;
}

__attribute__((noinline, noreturn)) void leave(int n)
{
	longjmp(back, n);
}

int main(int argc, char **argv)
{
	int n = setjmp(back);
	if (n == 0)
		leave(many(argc, 2, 3, 4, 5, 6, 7, 8, 9, 10) | 1);
	printf("%d %s\n", n, argv[0]);
	return n > 0 ? 0 : abs(n);
}
