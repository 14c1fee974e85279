// SPDX-License-Identifier: Apache-2.0
/*
 * python3.9 SECONDS looks like Python 3.9 to who reads its memory, but lies: its frames call each other in a circle, their code is
 * nowhere, and all of it changes as it is read. It computes in _PyEval_EvalFrameDefault and says cpu_ns of that.
 */
#include "truth.h"

typedef unsigned long word;

word _PyRuntime[656 / 8];         /* _PyRuntimeState */
static word state[264 / 8];       /* PyThreadState */
static volatile word frames[3][368 / 8]; /* PyFrameObject */

NOINLINE void _PyEval_EvalFrameDefault(ns_t end)
{
	word turns = 0;

	while (mono_ns() < end)
		for (int i = 0; i < 100000; i++) {
			turns++;
			frames[i % 3][104 / 8] = turns;                           /* f_lasti */
			frames[i % 3][32 / 8] = turns % 7 ? turns << 20 : ~turns; /* f_code */
		}
}

int main(int argc, char **argv)
{
	ns_t end = begin(argc, argv), before = cpu_ns();
	pthread_key_t key;

	if (pthread_key_create(&key, NULL) || pthread_setspecific(key, state))
		die("thread-specific value");
	state[176 / 8] = pthread_self();  /* thread_id */
	state[24 / 8] = (word)frames[0]; /* frame */
	for (int i = 0; i < 3; i++)
		frames[i][24 / 8] = (word)frames[(i + 1) % 3]; /* f_back */
	_PyRuntime[584 / 8] = 1 | (word)key << 32;             /* autoTSSkey */
	_PyEval_EvalFrameDefault(end);
	say("cpu_ns", "_PyEval_EvalFrameDefault", cpu_ns() - before);
	return 0;
}
