// SPDX-License-Identifier: Apache-2.0

package unwind

import (
	"encoding/binary"
	"fmt"
)

// CFA says how the canonical frame address is computed, and with CFASignal to CFACloned all there is to say of a frame.
// The numbers are those of `enum unwind_cfa` in eBPF.
type CFA uint8

// Offsets are in words of 8 bytes. On x86-64 Aux says for CFASP and CFAFP where RBX of the caller is, from the CFA on: 0 for in its register, BXLost
// for where nobody knows. It is the one register beside the frame pointer by which frames are found that are not the innermost.
const (
	CFANone         CFA = iota // no row: code that no one described
	CFASP                      // stack pointer + CFAOffset
	CFAFP                      // frame pointer + CFAOffset
	CFAReg                     // the register that Aux numbers as DWARF does, + CFAOffset; but for RBX known in the innermost frame alone (x86-64)
	CFADerefSP                 // what lies at stack pointer + CFAOffset, + Aux (x86-64)
	CFADerefFP                 // what lies at frame pointer + CFAOffset, + Aux (x86-64)
	CFAPLT                     // stack pointer + 1 + 1 more when the low four bits of the address are at least Aux (x86-64)
	CFASignal                  // the trampoline that a signal handler returns to: all registers are in the kernel's rt_sigframe
	CFAEnd                     // the outermost frame of a thread
	CFAFramePointer            // not described; by frame pointer, if it was set
	CFAUnsupported             // described in a way that is not kept; Aux has the Reason
	CFACloned                  // the outermost frame where the system call that it comes from returned 0, as clone does in the new thread; else stack pointer + CFAOffset (x86-64)
	CFASPFar                   // as CFASP, and 65,536 * Aux words: a frame of more than 256 KiB (x86-64)
	CFAFPFar                   // as CFAFP, likewise
	CFAIndexed                 // what lies at stack pointer + CFAOffset + the register that the low byte of Aux numbers, in words, + its high byte; in the innermost frame alone (x86-64)
	CFALanding                 // libgcc is about to go on where an exception is caught. From the frame pointer on x86-64, the stack pointer on arm64, it keeps at CFAOffset the CFA of who catches, at FPOffset the frame pointer and the return address; at Aux was the CFA
	cfaKinds
)

// BXLost is the Aux of CFASP and CFAFP where RBX of the caller is not known. It is saved below the CFA where it is.
const BXLost = 1

// FP says where the frame pointer of the caller is (RBP, X29).
type FP uint8

// Offsets are in words of 8 bytes.
const (
	FPSame      FP = iota // in its register
	FPAtCFA               // at CFA + FPOffset
	FPAtFP                // at frame pointer + FPOffset (x86-64)
	FPUndefined           // lost
)

// RA says where the return address is.
type RA uint8

// Offsets are in words of 8 bytes.
const (
	RANone    RA = iota // the frame has none, or CFA says it
	RAAtCFA             // x86-64: at CFA - 1; arm64: at CFA + Aux
	RAInLR              // in the link register (arm64), known in the innermost frame alone
	RAInRDI             // in RDI: vfork of the GNU C library, as its parent shares the stack (x86-64)
	RAInRCX             // in RCX, known in the innermost frame alone: the last jump of who throws, to who catches (x86-64)
	RALanding           // where who catches goes on, to which no instruction called: at CFA - 1 on x86-64, in the link register on arm64. With CFALanding: it may be that, at FPOffset (arm64)
)

// Reason says why a rule is CFAUnsupported.
type Reason int16

// Reasons.
const (
	ReasonCFARegister   Reason = iota + 1 // CFA in a register that a walk doesn't know
	ReasonCFAExpression                   // CFA by an expression that is not among those kept
	ReasonRA                              // the return address elsewhere
	ReasonSP                              // the stack pointer of the caller is not the CFA
	ReasonOffset                          // an offset that is no multiple of 8 or doesn't fit
	ReasonMalformed                       // instructions that make no sense
	ReasonTooManyRules                    // the dictionary is full
	reasonEnd
)

var reasonNames = [reasonEnd]string{
	ReasonCFARegister: "CFA in a register", ReasonCFAExpression: "CFA by an expression", ReasonRA: "return address elsewhere",
	ReasonSP: "stack pointer elsewhere", ReasonOffset: "offset odd or too large", ReasonMalformed: "malformed",
	ReasonTooManyRules: "too many rules",
}

func (r Reason) String() string {
	if r > 0 && r < reasonEnd {
		return reasonNames[r]
	}
	return fmt.Sprintf("reason %d", int16(r))
}

// Rule says how to get from a frame to that of its caller. Offsets count words of 8 bytes.
type Rule struct {
	CFA                      CFA
	FP                       FP
	RA                       RA
	CFAOffset, FPOffset, Aux int16
}

// RuleSize is what a packed rule takes in bytes.
const RuleSize = 8

// Pack gives the rule as the kernel has it, little endian: u8 CFA; u8 FP | RA<<4; s16 CFAOffset, FPOffset, Aux.
func (r Rule) Pack() [RuleSize]byte {
	var b [RuleSize]byte
	binary.LittleEndian.PutUint64(b[:], r.word())
	return b
}

// word is the packed rule as one number.
func (r Rule) word() uint64 {
	return uint64(r.CFA) | uint64(r.FP&15)<<8 | uint64(r.RA&15)<<12 |
		uint64(uint16(r.CFAOffset))<<16 | uint64(uint16(r.FPOffset))<<32 | uint64(uint16(r.Aux))<<48
}

func unsupported(why Reason) Rule { return Rule{CFA: CFAUnsupported, Aux: int16(why)} }
