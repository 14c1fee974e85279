// SPDX-License-Identifier: Apache-2.0
/* host SECONDS gate|now LIBRARY: computes in host_work, loads the library, then computes about 60% in its plugin_work. Says cpu_ns of each. */
#include "truth.h"
#include <dlfcn.h>

NOINLINE void host_work(long turns)
{
	while (turns-- > 0)
		TURN();
}

NOINLINE void compute(void (*work)(long), ns_t mean, ns_t *done)
{
	ns_t before = cpu_ns();

	work(turns_for(vary(mean)));
	*done += cpu_ns() - before;
}

int main(int argc, char **argv)
{
	ns_t end = begin(argc, argv), host = 0, plugin = 0;
	void (*plugin_work)(long);
	void *library;

	for (int i = 0; i < 25; i++)
		compute(host_work, 4 * MS, &host);
	library = dlopen(argc > 3 ? argv[3] : "", RTLD_NOW);
	plugin_work = library ? (void (*)(long))dlsym(library, "plugin_work") : NULL;
	if (!plugin_work) {
		dprintf(2, "%s\n", dlerror());
		return 1;
	}
	do {
		compute(host_work, 4 * MS, &host);
		compute(plugin_work, 6 * MS, &plugin);
	} while (mono_ns() < end);
	say("cpu_ns", "host_work", host);
	say("cpu_ns", "plugin_work", plugin);
	return 0;
}
