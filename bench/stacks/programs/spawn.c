// SPDX-License-Identifier: Apache-2.0
/* spawn SECONDS: starts a program by vfork, waits for its end, and begins anew. */
#include <spawn.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>

extern char **environ;

__attribute__((noinline)) static int descend(int depth)
{
	char *const args[] = { "true", NULL };
	pid_t child;
	int status;

	if (depth > 0)
		return descend(depth - 1) + 1;
	if (posix_spawnp(&child, args[0], NULL, NULL, args, environ) ||
	    waitpid(child, &status, 0) != child)
		exit(1);
	return status;
}

int main(int argc, char **argv)
{
	const time_t end = time(NULL) + (argc > 1 ? atoi(argv[1]) : 1);

	while (time(NULL) < end)
		if (descend(10) != 10)
			return 1;
	return 0;
}
