// SPDX-License-Identifier: Apache-2.0
/* sleeper SECONDS: one thread waits, about 30% in in_futex, 50% in in_nanosleep, 20% in in_pipe. Says the span of each. */
#include "truth.h"

static int ask[2], answer[2];

NOINLINE void in_nanosleep(ns_t length) { nap(length); }

/* Waits for a word that nobody will change, until its time is over. */
NOINLINE void in_futex(ns_t length)
{
	struct timespec t = { length / SEC, length % SEC };
	static int word;

	sys4(SYS_futex, (long)&word, FUTEX_WAIT_PRIVATE, 0, (long)&t);
}

NOINLINE void in_pipe(ns_t length)
{
	char token;

	sys4(SYS_write, ask[1], (long)&length, sizeof(length), 0);
	sys4(SYS_read, answer[0], (long)&token, 1, 0);
}

/* Answers each question after the time that it asks for. */
static void *ringer(void *unused)
{
	ns_t length;

	while (sys4(SYS_read, ask[0], (long)&length, sizeof(length), 0) == sizeof(length)) {
		nap(length);
		sys4(SYS_write, answer[1], (long)"!", 1, 0);
	}
	return unused;
}

static struct part {
	const char *name;
	void (*wait)(ns_t);
	ns_t mean;
	struct span done;
} parts[] = { { "in_nanosleep", in_nanosleep, 10 * MS }, { "in_futex", in_futex, 6 * MS }, { "in_pipe", in_pipe, 4 * MS } };

NOINLINE void await(struct part *p)
{
	span_begin(&p->done);
	p->wait(vary(p->mean));
	span_end(&p->done);
}

int main(int argc, char **argv)
{
	ns_t end = begin(argc, argv);
	pthread_t thread;

	if (pipe(ask) || pipe(answer))
		die("pipe");
	start(&thread, ringer, NULL);
	while (mono_ns() < end)
		for (int i = 0; i < 3; i++)
			await(&parts[i]);
	for (int i = 0; i < 3; i++)
		span_say(&parts[i].done, parts[i].name);
	say_account("main");
	return 0;
}
