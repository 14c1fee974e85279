// SPDX-License-Identifier: Apache-2.0
/* Code whose unwind table is large and takes a while to make: functions of sixteen rows each. Nobody calls them. */
	.text
#ifndef FUNCTIONS
#define FUNCTIONS 70000
#endif
	.rept FUNCTIONS
	.cfi_startproc
	.rept 8
	push %rbx
	.cfi_adjust_cfa_offset 8
	.endr
	.rept 8
	pop %rbx
	.cfi_adjust_cfa_offset -8
	.endr
	ret
	.cfi_endproc
	.endr
	.section .note.GNU-stack,"",@progbits
