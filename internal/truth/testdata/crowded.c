// SPDX-License-Identifier: Apache-2.0
/*
 * crowded SECONDS gate|now COUNT FOLDER: maps the libraries of step.c in the folder, each again and again, as code in COUNT places of its own, and
 * computes in bottom below HOPS calls that each lie in another of these. Says cpu_ns.bottom.
 */
#include "truth.h"
#include <dirent.h>
#include <dlfcn.h>
#include <sys/stat.h>

#define HOPS 40

struct step {
	unsigned long (*next)(struct step *);
};

static ns_t computed;

NOINLINE unsigned long bottom(struct step *s)
{
	ns_t before = cpu_ns();
	long turns = turns_for(vary(MS / 2));

	while (turns-- > 0)
		TURN();
	computed += cpu_ns() - before;
	return s != NULL;
}

/* Where step is in a library. */
static size_t offset_of_step(const char *file)
{
	void *library = dlopen(file, RTLD_NOW), *step = library ? dlsym(library, "step") : NULL;
	Dl_info info;
	size_t offset;

	if (!step || !dladdr(step, &info)) {
		dprintf(2, "%s\n", dlerror());
		exit(1);
	}
	offset = (char *)step - (char *)info.dli_fbase;
	dlclose(library);
	return offset;
}

/* Maps a file as code, with a page that is not mapped behind it. */
static char *map(const char *file)
{
	int fd = open(file, O_RDONLY);
	struct stat st;
	char *at;

	if (fd < 0 || fstat(fd, &st))
		die(file);
	at = mmap(NULL, st.st_size + 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (at == MAP_FAILED || mmap(at, st.st_size, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_FIXED, fd, 0) == MAP_FAILED)
		die(file);
	close(fd);
	return at;
}

int main(int argc, char **argv)
{
	long count = argc > 3 ? atol(argv[3]) : 0, files;
	struct step steps[HOPS + 1];
	char **places = calloc(count, sizeof(*places));
	size_t *offsets;
	struct dirent **names;
	ns_t end;

	if (argc < 5 || chdir(argv[4]) || (files = scandir(".", &names, NULL, alphasort)) < 3 || !places)
		die("crowded SECONDS gate|now COUNT FOLDER");
	files -= 2; /* . and .. are the first */
	offsets = calloc(files, sizeof(*offsets));
	for (long i = 0; i < count; i++) {
		char file[300];

		snprintf(file, sizeof(file), "./%s", names[2 + i % files]->d_name);
		if (i < files)
			offsets[i] = offset_of_step(file);
		places[i] = map(file) + offsets[i % files];
	}
	end = begin(argc, argv);
	do {
		for (int i = 0; i < HOPS; i++)
			steps[i].next = (void *)places[random() % count];
		steps[HOPS].next = bottom;
		steps[0].next(steps);
	} while (mono_ns() < end);
	say("cpu_ns", "bottom", computed);
	return 0;
}
