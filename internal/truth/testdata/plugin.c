// SPDX-License-Identifier: Apache-2.0
/* A library that host loads when it has long been running. */
static volatile unsigned long sink;

__attribute__((noinline)) static void plugin_loop(long turns)
{
	while (turns-- > 0)
		sink = sink * 6364136223846793005UL + 1442695040888963407UL;
}

void plugin_work(long turns)
{
	plugin_loop(turns);
	sink++;
}
