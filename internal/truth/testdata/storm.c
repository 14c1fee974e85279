// SPDX-License-Identifier: Apache-2.0
/*
 * storm SECONDS MILLISECONDS: starts itself again and again, one child at a time; each child computes in
 * storm_work for a random time, half to one and a half of MILLISECONDS. Says how many children there were, their CPU time and its own.
 */
#include "truth.h"

NOINLINE void storm_work(long turns)
{
	while (turns-- > 0)
		TURN();
}

static void child(const char *turns)
{
	storm_work(atol(turns));
	_exit(0);
}

static void spawn(const char *program, ns_t length)
{
	char text[32];
	pid_t pid = fork();

	if (pid < 0)
		die("fork");
	if (!pid) {
		snprintf(text, sizeof(text), "%ld", turns_for(length));
		execl(program, program, "child", text, NULL);
		die(program);
	}
	if (waitpid(pid, NULL, 0) != pid)
		die("waitpid");
}

static ns_t used(int who)
{
	struct rusage u;

	getrusage(who, &u);
	return (u.ru_utime.tv_sec + u.ru_stime.tv_sec) * SEC + (u.ru_utime.tv_usec + u.ru_stime.tv_usec) * US;
}

int main(int argc, char **argv)
{
	ns_t end, mean, children = 0;

	if (argc < 3)
		return 2;
	if (!strcmp(argv[1], "child"))
		child(argv[2]);
	end = begin(2, argv);
	mean = atof(argv[2]) * MS;
	for (; mono_ns() < end; children++)
		spawn(argv[0], vary(mean));
	say("children", NULL, children);
	say("cpu_ns", "children", used(RUSAGE_CHILDREN));
	say("cpu_ns", "self", used(RUSAGE_SELF));
	return 0;
}
