# SPDX-License-Identifier: Apache-2.0
# Places where an address that is off by one belongs to another function. Lines marked with HERE are the ones that a profile has to show.
	.text

	.macro FUNCTION name
	.globl \name
	.type \name, @function
\name:
	.endm
	.macro END name
	.size \name, . - \name
	.endm

# A system call returns behind the syscall instruction: to the next function.
FUNCTION syscall_at_end # (struct timespec *)
	push %rbp
	mov %rsp, %rbp
	mov $35, %eax # nanosleep
	xor %esi, %esi
	syscall # HERE syscall_at_end
END syscall_at_end
FUNCTION behind_syscall
	pop %rbp
	ret
END behind_syscall

# A call returns behind the call instruction: to the next function.
FUNCTION call_at_end # (void (*)(void))
	push %rbp
	mov %rsp, %rbp
	call *%rdi # HERE call_at_end
END call_at_end
FUNCTION behind_call
	pop %rbp
	ret
END behind_call

# A page fault leaves the address of the instruction itself, here the first one of its function.
FUNCTION before_fault
	ret
END before_fault
FUNCTION fault_at_start # (char *)
	movb $1, (%rdi) # HERE fault_at_start
	ret
END fault_at_start

# So does an interrupt, and a signal in what it interrupts.
FUNCTION before_spin
	ret
END before_spin
FUNCTION spin_at_start # (long turns)
	dec %rdi # HERE spin_at_start
	jnz spin_at_start # HERE spin_at_start
	ret
END spin_at_start

	.section .note.GNU-stack, "", @progbits
