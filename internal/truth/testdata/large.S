// SPDX-License-Identifier: Apache-2.0
/* Code whose unwind table is large: 70,000 functions of sixteen rows each, for a library of step.c. Nobody calls them. */
	.text
	.rept 70000
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
