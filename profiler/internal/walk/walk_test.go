// SPDX-License-Identifier: Apache-2.0

package walk

import (
	"encoding/binary"
	"maps"
	"slices"
	"testing"

	"github.com/assaylab/assay/bpf"
	"github.com/assaylab/assay/profiler/unwind"
)

const (
	sp   = 0x7000 // of the copies
	leaf = 0x100
	main = 0x200
	last = 0x300
)

var (
	entry = unwind.Rule{CFA: unwind.CFASP, CFAOffset: 1, RA: unwind.RAAtCFA}
	end   = unwind.Rule{CFA: unwind.CFAEnd}
)

// copyOf is a copy of a stack of words, on which the code at leaf runs.
func copyOf(words ...uint64) *bpf.Copy {
	c := &bpf.Copy{Exact: true, PC: leaf, SP: sp}
	for _, w := range words {
		c.Stack = binary.LittleEndian.AppendUint64(c.Stack, w)
	}
	return c
}

func guess(why bpf.UnwindReason) unwind.Rule {
	return unwind.Rule{CFA: unwind.CFAFramePointer, Aux: int16(why)}
}

// TestStack: each kind of rule, at the leaf or at the frame above.
func TestStack(t *testing.T) {
	with := func(c *bpf.Copy, change func(*bpf.Copy)) *bpf.Copy {
		change(c)
		return c
	}
	register := func(n int, v uint64) func(*bpf.Copy) { return func(c *bpf.Copy) { c.Registers[n] = v } }
	fp := func(c *bpf.Copy) { c.FP = sp + 16 }
	signal := make([]uint64, 40)
	signal[5+11], signal[5+10], signal[5+15], signal[5+16] = 7, sp+8, sp+38*8, main
	signal[38] = last
	arm := make([]uint64, 80)
	arm[39+29], arm[39+30], arm[39+31], arm[39+32] = 5, last, sp+79*8, main
	// libgcc has the context of who catches at sp, and its frame pointer at 14 words above; skipped called it, and main called that.
	const skipped, catching = 0x280, sp + 18*8
	throwing := map[uint64]unwind.Rule{
		leaf:        {CFA: unwind.CFALanding, CFAOffset: -2, Aux: 2, RA: unwind.RAAtCFA},
		skipped - 1: {CFA: unwind.CFASP, CFAOffset: 3, RA: unwind.RAAtCFA, FP: unwind.FPAtCFA, FPOffset: -2},
		main - 1:    {CFA: unwind.CFAFP, CFAOffset: 2, RA: unwind.RAAtCFA},
		main + 0x10: {CFA: unwind.CFAFP, CFAOffset: 2, RA: unwind.RAAtCFA},
	}
	framed := func(r unwind.Rule) map[uint64]unwind.Rule {
		rules := maps.Clone(throwing)
		rules[skipped-1] = r
		return rules
	}
	landing := func(own uint64) *bpf.Copy {
		stack := make([]uint64, 20)
		stack[0], stack[10], stack[12] = sp+17*8, sp+18*8, sp+19*8
		stack[14], stack[15] = own, skipped
		stack[17], stack[18], stack[19] = catching, main, last
		return with(copyOf(stack...), func(c *bpf.Copy) { c.FP = sp + 14*8 })
	}
	overSignal := landing(catching)
	overSignal.Stack = append(overSignal.Stack, make([]byte, 40*8)...)
	for at, v := range map[int]uint64{12: sp + 50*8, 16 + 5 + 10: sp + 43*8, 16 + 5 + 15: sp + 40*8, 16 + 5 + 16: main + 0x10, 44: last} {
		binary.LittleEndian.PutUint64(overSignal.Stack[at*8:], v)
	}
	// On arm64, at 6 words above sp, and its own frame has 80.
	throwingARM := map[uint64]unwind.Rule{
		leaf:        {CFA: unwind.CFALanding, CFAOffset: 75, Aux: 80, RA: unwind.RALanding},
		skipped - 1: {CFA: unwind.CFASP, CFAOffset: 2, RA: unwind.RAAtCFA, Aux: -1},
		main - 1:    {CFA: unwind.CFAFP, CFAOffset: 2, RA: unwind.RAAtCFA, Aux: -1},
		main + 16:   {CFA: unwind.CFAFP, CFAOffset: 2, RA: unwind.RAAtCFA, Aux: -1},
	}
	framedARM := maps.Clone(throwingARM)
	framedARM[skipped-1] = unwind.Rule{CFA: unwind.CFAFP, CFAOffset: 2, RA: unwind.RAAtCFA, Aux: -1, FP: unwind.FPAtCFA, FPOffset: -2}
	landingARM := func(fp, pc uint64) *bpf.Copy {
		const catching = sp + 82*8
		stack := make([]uint64, 84)
		stack[0], stack[1] = fp, pc
		stack[6], stack[7], stack[75], stack[76] = sp+80*8, sp+81*8, catching, main+16
		stack[80], stack[81], stack[82], stack[83] = catching, main, 0, last
		return copyOf(stack...)
	}
	whole := func(frames ...uint64) Result {
		return Result{Frames: append([]uint64{leaf}, frames...), End: bpf.UserWhole}
	}
	broken := func(why bpf.UnwindReason, frames ...uint64) Result {
		return Result{Frames: append([]uint64{leaf}, frames...), End: bpf.UserBroken, Reason: why, Fault: len(frames)}
	}
	for name, test := range map[string]struct {
		machine Machine
		copy    *bpf.Copy
		rules   map[uint64]unwind.Rule // at last: end
		want    Result
	}{
		"SP":                          {AMD64, copyOf(main, last), map[uint64]unwind.Rule{leaf: entry, main - 1: entry}, whole(main, last)},
		"FP":                          {AMD64, with(copyOf(1, 2, 3, main, last), fp), map[uint64]unwind.Rule{leaf: {CFA: unwind.CFAFP, CFAOffset: 2, RA: unwind.RAAtCFA}, main - 1: entry}, whole(main, last)},
		"FP saved at the CFA":         {AMD64, copyOf(sp+24, main, 0, 0, last), map[uint64]unwind.Rule{leaf: {CFA: unwind.CFASP, CFAOffset: 2, RA: unwind.RAAtCFA, FP: unwind.FPAtCFA, FPOffset: -2}, main - 1: {CFA: unwind.CFAFP, CFAOffset: 2, RA: unwind.RAAtCFA}}, whole(main, last)},
		"FP saved at itself":          {AMD64, with(copyOf(main, 0, sp+8, last), fp), map[uint64]unwind.Rule{leaf: {CFA: unwind.CFASP, CFAOffset: 1, RA: unwind.RAAtCFA, FP: unwind.FPAtFP}, main - 1: {CFA: unwind.CFAFP, CFAOffset: 3, RA: unwind.RAAtCFA}}, whole(main, last)},
		"FP lost":                     {AMD64, with(copyOf(main, last), fp), map[uint64]unwind.Rule{leaf: {CFA: unwind.CFASP, CFAOffset: 1, RA: unwind.RAAtCFA, FP: unwind.FPUndefined}, main - 1: guess(bpf.UnwindByFP)}, whole(main)},
		"register":                    {AMD64, with(copyOf(0, main, last), register(10, sp+8)), map[uint64]unwind.Rule{leaf: {CFA: unwind.CFAReg, CFAOffset: 1, Aux: 10, RA: unwind.RAAtCFA}, main - 1: entry}, whole(main, last)},
		"register above":              {AMD64, with(copyOf(main, last), register(10, sp+8)), map[uint64]unwind.Rule{leaf: entry, main - 1: {CFA: unwind.CFAReg, CFAOffset: 1, Aux: 10, RA: unwind.RAAtCFA}}, broken(bpf.UnwindUnsupported, main)},
		"register of no number":       {AMD64, copyOf(main), map[uint64]unwind.Rule{leaf: {CFA: unwind.CFAReg, Aux: -1, RA: unwind.RAAtCFA}}, broken(bpf.UnwindUnsupported)},
		"RBX above":                   {AMD64, with(copyOf(main, 0, last), register(3, sp+16)), map[uint64]unwind.Rule{leaf: entry, main - 1: {CFA: unwind.CFAReg, CFAOffset: 1, Aux: 3, RA: unwind.RAAtCFA}}, whole(main, last)},
		"RBX above, saved":            {AMD64, copyOf(sp+24, main, 0, last), map[uint64]unwind.Rule{leaf: {CFA: unwind.CFASP, CFAOffset: 2, Aux: -2, RA: unwind.RAAtCFA}, main - 1: {CFA: unwind.CFAReg, CFAOffset: 1, Aux: 3, RA: unwind.RAAtCFA}}, whole(main, last)},
		"RBX above, lost":             {AMD64, with(copyOf(main, 0, last), register(3, sp+16)), map[uint64]unwind.Rule{leaf: {CFA: unwind.CFASP, CFAOffset: 1, Aux: unwind.BXLost, RA: unwind.RAAtCFA}, main - 1: {CFA: unwind.CFAReg, CFAOffset: 1, Aux: 3, RA: unwind.RAAtCFA}}, broken(bpf.UnwindUnsupported, main)},
		"behind an array":             {AMD64, with(copyOf(0, 0, sp+24, main, last), register(9, 1)), map[uint64]unwind.Rule{leaf: {CFA: unwind.CFAIndexed, CFAOffset: 1, Aux: 9 | 1<<8, RA: unwind.RAAtCFA}, main - 1: entry}, whole(main, last)},
		"dereferenced SP":             {AMD64, copyOf(0, sp+16, 0, main, last), map[uint64]unwind.Rule{leaf: {CFA: unwind.CFADerefSP, CFAOffset: 1, Aux: 2, RA: unwind.RAAtCFA}, main - 1: entry}, whole(main, last)},
		"dereferenced FP":             {AMD64, with(copyOf(0, sp+32, 0, main, last), fp), map[uint64]unwind.Rule{leaf: {CFA: unwind.CFADerefFP, CFAOffset: -1, RA: unwind.RAAtCFA}, main - 1: entry}, whole(main, last)},
		"far":                         {AMD64, with(copyOf(main, last), func(c *bpf.Copy) { c.FP = sp + 8; c.FP -= 8 << 16 }), map[uint64]unwind.Rule{leaf: {CFA: unwind.CFAFPFar, Aux: 1, RA: unwind.RAAtCFA}, main - 1: entry}, whole(main, last)},
		"PLT":                         {AMD64, with(copyOf(0, main), func(c *bpf.Copy) { c.PC = leaf + 11 }), map[uint64]unwind.Rule{leaf + 11: {CFA: unwind.CFAPLT, CFAOffset: 1, Aux: 11, RA: unwind.RAAtCFA}, main - 1: end}, Result{Frames: []uint64{leaf + 11, main}, End: bpf.UserWhole}},
		"vfork":                       {AMD64, with(copyOf(last), register(5, main)), map[uint64]unwind.Rule{leaf: {CFA: unwind.CFASP, RA: unwind.RAInRDI}, main - 1: entry}, whole(main, last)},
		"throw":                       {AMD64, with(copyOf(0, last), register(2, main)), map[uint64]unwind.Rule{leaf: {CFA: unwind.CFASP, CFAOffset: 1, RA: unwind.RAInRCX}, main: entry}, whole(main+1, last)},
		"throw, landing":              {AMD64, copyOf(main, last), map[uint64]unwind.Rule{leaf: {CFA: unwind.CFASP, CFAOffset: 1, RA: unwind.RALanding}, main: entry}, whole(main+1, last)},
		"throw, nothing copied":       {AMD64, landing(1), throwing, whole(skipped, main, last)},
		"throw, FP not needed":        {AMD64, landing(catching), throwing, whole(skipped, main, last)},
		"throw, FP copied":            {AMD64, landing(catching), framed(unwind.Rule{CFA: unwind.CFAFP, CFAOffset: 2, RA: unwind.RAAtCFA}), whole(main, last)},
		"throw, guess":                {AMD64, landing(catching), framed(guess(bpf.UnwindNoRow)), whole(main, last)},
		"throw, all copied":           {AMD64, with(landing(catching), func(c *bpf.Copy) { copy(c.Stack[15*8:16*8], c.Stack[18*8:19*8]) }), throwing, whole(main, last)},
		"throw, FP nowhere else":      {AMD64, with(landing(catching), func(c *bpf.Copy) { copy(c.Stack, binary.LittleEndian.AppendUint64(nil, sp+14*8)) }), throwing, whole(skipped, main, last)},
		"throw, over a signal":        {AMD64, overSignal, framed(unwind.Rule{CFA: unwind.CFASignal}), whole(skipped, main+0x11, last)},
		"throw, downwards":            {AMD64, with(landing(catching), func(c *bpf.Copy) { clear(c.Stack[12*8 : 13*8]) }), throwing, broken(bpf.UnwindAstray)},
		"throw, no context":           {AMD64, copyOf(main), throwing, broken(bpf.UnwindUnreadable)},
		"throw, arm64, nothing":       {ARM64, landingARM(sp+80*8, skipped), framedARM, whole(skipped, main, last)},
		"throw, arm64, FP not needed": {ARM64, landingARM(sp+82*8, skipped), throwingARM, whole(skipped, main, last)},
		"throw, arm64, FP":            {ARM64, landingARM(sp+82*8, skipped), framedARM, whole(main, last)},
		"throw, arm64, all":           {ARM64, landingARM(sp+82*8, main), framedARM, whole(main, last)},
		"throw, arm64, landing":       {ARM64, landingARM(sp+82*8, 1<<52|(main+16)), framedARM, whole(main+17, last)},
		"throw, arm64, frame gone":    {ARM64, copyOf(main, last), map[uint64]unwind.Rule{leaf: {CFA: unwind.CFALanding, CFAOffset: -5, FPOffset: -80, RA: unwind.RALanding}}, broken(bpf.UnwindUnreadable)},
		"throw, arm64, jump":          {ARM64, with(copyOf(0, last), func(c *bpf.Copy) { c.LR, c.FP = main+16, sp }), map[uint64]unwind.Rule{leaf: {CFA: unwind.CFASP, RA: unwind.RALanding}, main + 16: throwingARM[main+16]}, whole(main+17, last)},
		"new thread":                  {AMD64, copyOf(main), map[uint64]unwind.Rule{leaf: {CFA: unwind.CFACloned, CFAOffset: 1, RA: unwind.RAAtCFA}}, whole()},
		"who made a thread":           {AMD64, with(copyOf(last), register(0, 77)), map[uint64]unwind.Rule{leaf: {CFA: unwind.CFACloned, CFAOffset: 1, RA: unwind.RAAtCFA}}, whole(last)},
		"signal":                      {AMD64, copyOf(signal...), map[uint64]unwind.Rule{leaf: {CFA: unwind.CFASignal}, main: entry}, whole(main+1, last)},
		"return address of 0":         {AMD64, copyOf(0), map[uint64]unwind.Rule{leaf: entry}, whole()},
		"guess":                       {AMD64, with(copyOf(0, 0, sp+32, main, 0, last), fp), map[uint64]unwind.Rule{leaf: guess(bpf.UnwindAnonymous), main - 1: guess(bpf.UnwindNoRow)}, Result{Frames: []uint64{leaf, main, last}, End: bpf.UserWhole, Reason: bpf.UnwindAnonymous}},
		"no code":                     {AMD64, copyOf(0x999), map[uint64]unwind.Rule{leaf: entry}, broken(bpf.UnwindNoMapping, 0x999)},
		"unsupported":                 {AMD64, copyOf(main), map[uint64]unwind.Rule{leaf: {CFA: unwind.CFAUnsupported}}, broken(bpf.UnwindUnsupported)},
		"behind the copy":             {AMD64, copyOf(main), map[uint64]unwind.Rule{leaf: entry, main - 1: entry}, broken(bpf.UnwindUnreadable, main)},
		"below the copy":              {AMD64, with(copyOf(main), func(c *bpf.Copy) { c.FP = sp - 8 }), map[uint64]unwind.Rule{leaf: {CFA: unwind.CFAFP, RA: unwind.RAAtCFA}}, broken(bpf.UnwindAstray)},
		"odd":                         {AMD64, with(copyOf(main), func(c *bpf.Copy) { c.FP = sp + 3 }), map[uint64]unwind.Rule{leaf: {CFA: unwind.CFAFP, CFAOffset: 1, RA: unwind.RAAtCFA}}, broken(bpf.UnwindUnreadable)},
		"a frame twice":               {AMD64, copyOf(main, last), map[uint64]unwind.Rule{leaf: entry, main - 1: {CFA: unwind.CFASP, RA: unwind.RAAtCFA}}, broken(bpf.UnwindAstray, main)},
		"arm64":                       {ARM64, with(copyOf(0, last), func(c *bpf.Copy) { c.LR = main | 0x5a<<52 }), map[uint64]unwind.Rule{leaf: {CFA: unwind.CFASP, RA: unwind.RAInLR}, main - 1: {CFA: unwind.CFASP, CFAOffset: 2, RA: unwind.RAAtCFA, Aux: -1}}, whole(main, last)},
		"arm64, no leaf's LR":         {ARM64, with(copyOf(0), func(c *bpf.Copy) { c.LR = main }), map[uint64]unwind.Rule{leaf: {CFA: unwind.CFASP, RA: unwind.RAInLR}, main - 1: {CFA: unwind.CFASP, CFAOffset: 1, RA: unwind.RAInLR}}, broken(bpf.UnwindUnreadable, main)},
		"arm64, signal":               {ARM64, copyOf(arm...), map[uint64]unwind.Rule{leaf: {CFA: unwind.CFASignal}, main: {CFA: unwind.CFASP, RA: unwind.RAInLR}}, whole(main+1, last)},
		"signal without a frame":      {AMD64, copyOf(main), map[uint64]unwind.Rule{leaf: {CFA: unwind.CFASignal}}, broken(bpf.UnwindUnreadable)},
	} {
		t.Run(name, func(t *testing.T) {
			got := Stack(test.copy, test.machine, func(pc uint64) (unwind.Rule, bool) {
				if pc == last-1 {
					return end, true
				}
				r, ok := test.rules[pc]
				return r, ok
			})
			if got.End != test.want.End || got.Reason != test.want.Reason || got.Fault != test.want.Fault || !slices.Equal(got.Frames, test.want.Frames) {
				t.Errorf("%#x %+v\nwant %#x %+v", got.Frames, got, test.want.Frames, test.want)
			}
		})
	}
}

// TestDeep: no more frames than the kernel has.
func TestDeep(t *testing.T) {
	c := copyOf(slices.Repeat([]uint64{leaf + 1}, 500)...)
	got := Stack(c, AMD64, func(uint64) (unwind.Rule, bool) { return entry, true })
	if len(got.Frames) != bpf.MaxFrames || got.End != bpf.UserCut {
		t.Errorf("%d frames, %v", len(got.Frames), got.End)
	}
}

// FuzzStack: whatever lies on a stack and whatever rules say, a walk ends, with no more frames than there may be and the one at fault among
// them.
func FuzzStack(f *testing.F) {
	pack := func(rules ...unwind.Rule) (b []byte) {
		for _, r := range rules {
			w := r.Pack()
			b = append(b, w[:]...)
		}
		return b
	}
	f.Add(copyOf(main, last).Stack, pack(entry, guess(bpf.UnwindByFP)), uint64(sp), false)
	f.Add(copyOf(make([]uint64, 80)...).Stack, pack(unwind.Rule{CFA: unwind.CFASignal}), ^uint64(0), true)
	f.Add([]byte("short"), pack(unwind.Rule{CFA: unwind.CFAIndexed, Aux: -1, RA: unwind.RAAtCFA}), uint64(7), false)
	f.Fuzz(func(t *testing.T, stack, rules []byte, fp uint64, arm bool) {
		c := &bpf.Copy{PC: leaf, SP: fp &^ 0xfff, FP: fp, LR: fp, Stack: stack}
		for i := range c.Registers {
			c.Registers[i] = fp + uint64(i)
		}
		machine := AMD64
		if arm {
			machine = ARM64
		}
		got := Stack(c, machine, func(pc uint64) (unwind.Rule, bool) {
			n := uint64(len(rules) / unwind.RuleSize)
			if n == 0 || pc%17 == 0 {
				return unwind.Rule{}, false
			}
			return unwind.UnpackRule(binary.LittleEndian.Uint64(rules[pc%n*unwind.RuleSize:])), true
		})
		if len(got.Frames) < 1 || len(got.Frames) > bpf.MaxFrames || got.Fault < 0 || got.Fault >= len(got.Frames) {
			t.Errorf("%+v", got)
		}
	})
}
