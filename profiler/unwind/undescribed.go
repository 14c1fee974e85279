// SPDX-License-Identifier: Apache-2.0

package unwind

import (
	"bytes"
	"cmp"
	"debug/elf"
	"slices"
)

// Not all code is described: procedure linkage tables of some linkers, the first instructions of a program, assembly, and
// what Go compiles. Some of it is known all the same.

const (
	padding    = 16        // bytes; a shorter hole between functions is there for alignment
	maxFollow  = 4 << 20   // bytes that are followed
	maxGuess   = 256 << 20 // bytes of a file's code that are looked at
	pltEntry   = 16        // bytes of an entry of .plt (x86-64, arm64)
	pltArmHead = 32        // bytes before the first entry (arm64)

	maxLandmarks = 64 // of a file
)

// followPiece is how many bytes are followed at a time; a function across two pieces is lost from the cut on. A test makes it smaller.
var followPiece uint64 = 512 << 10

// EntryCode is how many bytes of assembly there are at the entry of a program, from which it doesn't return.
const EntryCode = 128

// known is code whose rule doesn't come from call frame information.
type known struct {
	extent
	rule Rule
}

// findKnown finds such code by what the file says of itself.
func (b *builder) findKnown() {
	if entry := b.file.Entry(); entry != 0 && !b.golang {
		b.know(entry, b.entryEnd(entry), Rule{CFA: CFAEnd})
	}
	b.findLandmarks()
	sections, err := b.file.Sections()
	if err != nil {
		return // a file may have lost them
	}
	for _, s := range sections {
		if s.Flags&elf.SHF_EXECINSTR == 0 || s.Size == 0 || s.Addr+s.Size < s.Addr {
			continue
		}
		switch s.Name {
		case ".plt":
			b.knowPLT(s.Addr, s.Addr+s.Size)
		case ".plt.got", ".plt.sec", ".iplt":
			b.know(s.Addr, s.Addr+s.Size, b.mach.atEntry())
		case ".init", ".fini":
			b.knowFrame(s.Addr, s.Addr+s.Size)
		}
	}
}

// knowFrame is about functions that the start code of C libraries is put together to, often shorter than a hole that is looked at: sub $8,
// %rsp, whatever it calls, add $8, %rsp and ret (x86-64).
func (b *builder) knowFrame(start, end uint64) {
	code, err := b.bytes(start, min(end-start, padding))
	branch, sub := []byte(endbr64), []byte("\x48\x83\xec\x08")
	if err != nil || b.mach != amd64 {
		return
	}
	body := start + uint64(len(code)-len(bytes.TrimPrefix(code, branch))+len(sub))
	tail, err := b.bytes(max(start, end-5), 5)
	if err != nil || !bytes.HasPrefix(bytes.TrimPrefix(code, branch), sub) || string(tail) != "\x48\x83\xc4\x08\xc3" {
		return
	}
	b.know(start, body, b.mach.atEntry())
	b.know(body, end-1, Rule{CFA: CFASP, CFAOffset: 2, RA: RAAtCFA})
	b.know(end-1, end, b.mach.atEntry())
}

// entryEnd is where the assembly at the entry ends: on x86-64 behind the call of what runs main, and a hlt that is never reached.
func (b *builder) entryEnd(entry uint64) uint64 {
	end := entry + EntryCode
	code, err := b.bytes(entry, EntryCode)
	if err != nil || b.mach != amd64 {
		return end
	}
	const call, hlt = 5, 0xf4 // bytes of a call, from its address or, behind 0xff, from memory
	for i := call + 1; i < len(code); i++ {
		if code[i] == hlt && (code[i-call] == 0xe8 || code[i-call-1] == 0xff && code[i-call] == 0x15) {
			return entry + uint64(i) + 1
		}
	}
	return end
}

// findLandmarks finds code of C libraries that doesn't say what is known of it.
func (b *builder) findLandmarks() {
	for _, l := range b.mach.landmarks {
		found := 0
		for _, c := range b.code {
			for at := c.start; found < maxLandmarks; found++ {
				next, err := b.find(at, c.end, &l.signature)
				if err != nil || next == c.end {
					break
				}
				b.know(next-l.before, next+l.after, l.rule)
				at = next + 1
			}
		}
	}
}

// knowPLT is about linkers that don't describe .plt: its entries jump, or push a number and go to the code at its head, which pushes
// another and jumps.
func (b *builder) knowPLT(start, end uint64) {
	head, err := b.bytes(start, min(end-start, 8))
	if err != nil || !bytes.HasPrefix(head, b.mach.pltHead) { // a static program's, which only jump
		b.know(start, end, b.mach.atEntry())
		return
	}
	if b.mach == arm64 {
		b.know(start, start+4, b.mach.atEntry())
		b.know(start+4, start+pltArmHead, Rule{CFA: CFASP, CFAOffset: 2, RA: RAAtCFA, Aux: -1})
		b.know(start+pltArmHead, end, b.mach.atEntry())
		return
	}
	const pushed = 6 // bytes of the push at the head, and of the first jump of an entry
	b.know(start, start+pushed, Rule{CFA: CFASP, CFAOffset: 2, RA: RAAtCFA})
	b.know(start+pushed, start+pltEntry, Rule{CFA: CFASP, CFAOffset: 3, RA: RAAtCFA})
	b.know(start+pltEntry, end, Rule{CFA: CFAPLT, CFAOffset: 1, RA: RAAtCFA, Aux: 11})
}

func (b *builder) know(start, end uint64, r Rule) {
	if start < end {
		b.known = append(b.known, known{extent{start, end}, r})
	}
}

// sortKnown sorts what is known; of two that overlap, the earlier ends where the other begins.
func (b *builder) sortKnown() {
	slices.SortStableFunc(b.known, func(x, y known) int { return cmp.Compare(x.start, y.start) })
	for i := range b.known[:max(len(b.known), 1)-1] {
		b.known[i].end = min(b.known[i].end, b.known[i+1].start)
	}
}

// fill lays out what is known of the code before a vaddr that no function describes.
func (b *builder) fill(to uint64) error {
	from := b.layout.end
	least := uint64(padding)
	if len(b.known) > 0 && b.known[0].start < to {
		least = 1
	}
	if to < from+least {
		return nil
	}
	for _, c := range b.code {
		if start, end := max(from, c.start), min(to, c.end); start+least <= end {
			if err := b.fillCode(start, end); err != nil {
				return err
			}
		}
	}
	return nil
}

// endClone lays out the end of the C library's clone, which lies before the start of the new thread, where all stacks
// end. It is not described, from its system call on, since what holds for who called it is wrong in the new thread: that is told from
// the other by what the call returned, on arm64 it is not.
func (b *builder) endClone(start uint64) error {
	end := b.layout.end
	if b.layout.last == 0 || start <= end || start-end >= padding {
		return nil
	}
	code, err := b.bytes(end, start-end)
	if err != nil || !bytes.HasPrefix(code, b.mach.syscall) {
		return err
	}
	r := b.table.Rules[b.layout.last]
	if r == amd64.atEntry() {
		r.CFA = CFACloned
	}
	return b.layout.span(end, start, r)
}

// fillCode is fill for code of one segment.
func (b *builder) fillCode(from, to uint64) error {
	for len(b.known) > 0 && b.known[0].start < to {
		k := b.known[0]
		if k.end > from && (k.start >= from || k.rule.CFA != CFAEnd) { // an entry that is described says itself where it ends
			if err := b.guess(from, min(k.start, to)); err != nil {
				return err
			}
			end := min(k.end, to)
			if err := b.layout.span(max(k.start, from), end, k.rule); err != nil {
				return err
			}
			from = end
			if k.end > to {
				return nil
			}
		}
		b.known = b.known[1:]
	}
	return b.guess(from, to)
}

// guess lays out code of which nothing is known but its bytes, piece by piece.
func (b *builder) guess(from, to uint64) error {
	if from+padding > to || b.guessed+to-from > maxGuess {
		return nil
	}
	b.guessed += to - from
	for from < to {
		at, err := b.trampoline(from, to)
		if err != nil {
			return err
		}
		if err := b.guessFunctions(from, at); err != nil {
			return err
		}
		from = min(at+1+uint64(len(b.mach.sigreturn.code)), to)
		if at < to {
			if err := b.layout.span(at, from, Rule{CFA: CFASignal}); err != nil {
				return err
			}
		}
	}
	return nil
}

// guessFunctions is guess without trampolines.
func (b *builder) guessFunctions(from, to uint64) error {
	if from+padding > to {
		return nil
	}
	if b.golang {
		return b.goFunctions(from, to)
	}
	return b.followAll(from, to)
}

// goFunctions lays out code of a program by Go.
func (b *builder) goFunctions(from, to uint64) error {
	if b.goTable == nil {
		return b.layout.span(from, to, goFrames)
	}
	at := from
	err := b.goTable.spans(from, to, func(start, end uint64, r Rule) error {
		if start > at { // C code of the same program
			if err := b.followAll(at, start); err != nil {
				return err
			}
		}
		at = max(at, end)
		return b.layout.span(start, end, r)
	})
	if err != nil || at >= to {
		return err
	}
	return b.followAll(at, to)
}

// followAll lays out code that is to be followed, at most maxFollow bytes of it.
func (b *builder) followAll(from, to uint64) error {
	if from+padding > to {
		return nil
	}
	if b.followed+to-from > maxFollow {
		return b.layout.span(from, to, Rule{CFA: CFAFramePointer})
	}
	b.followed += to - from
	if b.mach != amd64 {
		return b.followLeaves(from, to)
	}
	if b.follower == nil {
		b.follower, b.starts = followers.Get().(*follower), functionStarts(b.file, b.low)
	}
	begin := []uint64{from} // a further piece begins in the midst of a function
	for from < to {
		code, err := b.bytes(from, min(to-from, followPiece))
		if err != nil || len(code) == 0 {
			return err
		}
		end := from + uint64(len(code))
		if err := b.followCode(code, from, append(begin, b.startsIn(from, end)...)); err != nil {
			return err
		}
		begin, from = nil, end
	}
	return nil
}

// startsIn gives the functions that symbols tell in a stretch of code.
func (b *builder) startsIn(from, to uint64) []uint64 {
	low, _ := slices.BinarySearch(b.starts, uint32(from-b.low))
	var starts []uint64
	for ; low < len(b.starts) && b.low+uint64(b.starts[low]) < to; low++ {
		starts = append(starts, b.low+uint64(b.starts[low]))
	}
	return starts
}

// trampoline finds the code that a signal handler returns to, which asks the kernel for rt_sigreturn: the vaddr of the byte before it,
// because a walk asks for the return address - 1. It gives to when there is none.
func (b *builder) trampoline(from, to uint64) (uint64, error) {
	at, err := b.find(from, to, &b.mach.sigreturn)
	if err != nil || at == to {
		return to, err
	}
	return max(at, from+1) - 1, nil
}

// find finds the first place of a signature in code, to when there is none.
func (b *builder) find(from, to uint64, s *signature) (uint64, error) {
	for at := from; at < to; {
		n := min(to-at, windowSize)
		code, err := b.bytes(at, n)
		if err != nil {
			return to, err
		}
		if i := s.index(code); i >= 0 {
			return at + uint64(i), nil
		}
		if n < windowSize {
			break
		}
		at += n - uint64(len(s.code))
	}
	return to, nil
}

// index gives the first place of a signature in code, negative when there is none. It looks for the byte that is rare, for others make
// bytes.Index stop at each instruction.
func (s *signature) index(code []byte) int {
	for at := 0; at+s.rare < len(code); at++ {
		i := bytes.Index(code[at+s.rare:], s.code[s.rare:])
		if i < 0 {
			break
		}
		if at += i; bytes.HasPrefix(code[at:], s.code) {
			return at
		}
	}
	return -1
}

// bytes reads code.
func (b *builder) bytes(vaddr, n uint64) ([]byte, error) {
	off, _, ok := b.file.Offset(vaddr)
	if !ok {
		return nil, nil
	}
	return b.text.bytes(off, n)
}
