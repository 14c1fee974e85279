// SPDX-License-Identifier: Apache-2.0
/*
 * jit SECONDS [keep]: writes two functions into memory, names them in /tmp/perf-PID.map as a JIT compiler does, and computes
 * about 75% in jit_hot and 25% in jit_warm. Says cpu_ns of each. With a second
 * argument it leaves the map to whoever started it, otherwise it removes it at its end.
 */
#include "truth.h"

static const unsigned char code[] = {
	0x55,		  /* push %rbp */
	0x48, 0x89, 0xe5, /* mov %rsp,%rbp */
	0x48, 0xff, 0xcf, /* dec %rdi */
	0x75, 0xfb,	  /* jnz to the dec */
	0x5d,		  /* pop %rbp */
	0xc3,		  /* ret */
};

static struct part {
	const char *name;
	void (*work)(long);
	ns_t mean, done;
} parts[] = { { "jit_hot", NULL, 6 * MS }, { "jit_warm", NULL, 2 * MS } };

static char map_path[64];

static void compile(void)
{
	char *memory = mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	FILE *map;

	snprintf(map_path, sizeof(map_path), "/tmp/perf-%d.map", getpid());
	map = fopen(map_path, "w");
	if (memory == MAP_FAILED || !map)
		die(map_path);
	for (int i = 0; i < 2; i++) {
		char *at = memory + 64 * i;

		memcpy(at, code, sizeof(code));
		parts[i].work = (void (*)(long))at;
		fprintf(map, "%lx %zx %s\n", (long)at, sizeof(code), parts[i].name);
	}
	if (fclose(map))
		die(map_path);
}

NOINLINE void compute(struct part *p, double turns_of_code)
{
	ns_t before = cpu_ns();

	p->work(1 + vary(p->mean) * turns_of_code);
	p->done += cpu_ns() - before;
}

int main(int argc, char **argv)
{
	const long turns = 10000000;
	ns_t end = begin(argc, argv), before;
	double rate;

	compile();
	before = cpu_ns();
	parts[0].work(turns);
	parts[0].done = cpu_ns() - before;
	rate = (double)turns / parts[0].done;
	while (mono_ns() < end)
		for (int i = 0; i < 2; i++)
			compute(&parts[i], rate);
	for (int i = 0; i < 2; i++)
		say("cpu_ns", parts[i].name, parts[i].done);
	if (argc < 3)
		unlink(map_path);
	return 0;
}
