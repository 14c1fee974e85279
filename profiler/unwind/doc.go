// SPDX-License-Identifier: Apache-2.0

// Package unwind turns the call frame information of an ELF file into a table small enough to be searched in the kernel: for
// each address of its code, how to find the frame of the caller.
//
// A compiler that leaves out frame pointers writes down instead, for exceptions and debuggers, how the stack looks at each
// instruction: a little program a function (DWARF call frame information), which computes the canonical frame address (CFA: the
// stack pointer of the caller before its call) and where registers were saved, relative to it. Build runs these programs once
// and keeps what a walk needs: the rules for CFA, frame pointer and return address. Few rules are different, so a Table holds a
// dictionary of them and, for each 64 KiB of code, sorted rows of an address and the number of its rule.
//
// What nobody wrote down is followed through the code itself (x86-64), or known by its form: procedure linkage tables, trampolines of signals, where
// threads begin. And where what is written down is wrong for a moment, as in libgcc before it goes on where an exception is caught, the code says
// where the frame is.
//
// All addresses are vaddrs, where the linker placed the code; the load bias of a process is the business of who walks. The
// package reads files and knows neither kernel nor eBPF. The files belong to the programs that are profiled, so they are hostile
// input: each length, count and amount of work has a bound.
//
// Formats: DWARF 5, section 6.4 (call frame information), https://dwarfstd.org; Linux Standard Base 5, Core, section 10.6
// (.eh_frame, .eh_frame_hdr, pointer encodings); System V ABI for x86-64, chapter 3.7, and DWARF for the Arm 64-bit
// Architecture (numbers of registers); GNU extensions as in binutils' include/dwarf2.def.
package unwind
