// SPDX-License-Identifier: Apache-2.0
/* forced SECONDS: has libgcc unwind, as pthread_exit does, from the innermost of level9 to level0, which main calls. Each of these has something to
 * clean up, so that libgcc goes on in each of them. */
#include <setjmp.h>
#include <stdlib.h>
#include <time.h>
#include <unwind.h>

static volatile unsigned long sink;

static void clean(const int *cleaned)
{
	sink = sink + *cleaned;
}

static _Unwind_Reason_Code stop(int version, _Unwind_Action actions, _Unwind_Exception_Class class,
				struct _Unwind_Exception *exception,
				struct _Unwind_Context *context, void *start)
{
	(void)version, (void)class, (void)exception, (void)context;
	if (actions & _UA_END_OF_STACK)
		longjmp(start, 1);
	return _URC_NO_REASON;
}

static unsigned long leave(jmp_buf start)
{
	static struct _Unwind_Exception exception;

	return _Unwind_ForcedUnwind(&exception, stop, start);
}

#define LEVEL(name, next)                                                  \
	static __attribute__((noipa)) unsigned long name(jmp_buf start)    \
	{                                                                  \
		const int __attribute__((cleanup(clean))) cleaned = 1;     \
                                                                           \
		return next(start) + cleaned;                              \
	}

LEVEL(level9, leave)
LEVEL(level8, level9)
LEVEL(level7, level8)
LEVEL(level6, level7)
LEVEL(level5, level6)
LEVEL(level4, level5)
LEVEL(level3, level4)
LEVEL(level2, level3)
LEVEL(level1, level2)
LEVEL(level0, level1)

int main(int argc, char **argv)
{
	const time_t end = time(NULL) + (argc > 1 ? atoi(argv[1]) : 1);
	jmp_buf start;

	while (time(NULL) < end)
		if (!setjmp(start))
			sink = sink + level0(start);
	return 0;
}
