// SPDX-License-Identifier: Apache-2.0
// lying SECONDS: work in a function whose call frame information doesn't tell what it pushes, so that no walk finds its caller.
#include "truth.h"

void lie(long turns);

__asm__(".text\n"
	".type lie, @function\n"
	"lie:\n"
	".cfi_startproc\n"
	"push $0x1234\n"
	"1: dec %rdi\n"
	"jnz 1b\n"
	"pop %rdi\n"
	"ret\n"
	".cfi_endproc\n"
	".size lie, . - lie\n");

int main(int argc, char **argv)
{
	ns_t end = mono_ns() + (ns_t)(atof(argv[argc - 1]) * SEC);

	pin(0);
	while (mono_ns() < end)
		lie(1000000);
	return 0;
}
