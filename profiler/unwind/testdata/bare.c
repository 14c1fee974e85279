// SPDX-License-Identifier: Apache-2.0
// A program of its own code alone.

int sink;

__attribute__((noinline)) int leaf(int n)
{
	return n * 3 + sink;
}

__attribute__((noinline)) int middle(int n)
{
	volatile char p[100];
	p[n & 63] = leaf(n);
	return leaf(n + 1) + p[n & 31];
}

__attribute__((noinline)) int outer(int n)
{
	return middle(n) * middle(n + 1) + middle(n + 2);
}

void _start(void)
{
	for (;;)
		sink = outer(sink);
}
