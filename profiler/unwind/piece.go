// SPDX-License-Identifier: Apache-2.0

package unwind

import (
	"cmp"
	"encoding/binary"
	"math/bits"
	"slices"
)

// piece is code that is followed, decoded once. Of most instructions, which do nothing to the stack, only where they begin is kept.
// Offsets count from its vaddr.
type piece struct {
	text  []byte
	vaddr uint64
	list  []instruction // those that do something, by offset
	// Of instructions, and of functions: all, those that begin there for sure, those of which it was looked whether they return, and that do.
	begins, starts, certain, known, returns bitmap

	aligned bool // functions begin at multiples of functionAlign
	refs    []reference
	rank    []uint32 // functions before each word of starts
	near    int      // where indexOf found the last one
	open    []uint32 // for learnReturns
}

// reference is an address that an instruction takes, or that it jumps to.
type reference struct {
	at, to uint32
	takes  bool
}

// load decodes code at vaddr that has functions at starts and where its calls lead.
func (p *piece) load(text []byte, vaddr uint64, starts []uint64) {
	p.text, p.vaddr = text, vaddr
	for _, b := range []*bitmap{&p.begins, &p.starts, &p.certain, &p.known, &p.returns} {
		b.reset(len(text))
	}
	p.list, p.refs, p.near = slices.Grow(p.list[:0], len(text)/8), p.refs[:0], 0
	p.decode()
	p.findFunctions(starts)
	p.aligned = p.areAligned()
}

// size is that of the code.
func (p *piece) size() uint32 { return uint32(len(p.text)) }

// decode decodes all instructions. What is none takes a byte. Each is put into the list, where the next one replaces it if it does nothing.
func (p *piece) decode() {
	text, begins := p.text, p.begins
	list, n := p.list[:cap(p.list)], 0
	for at := 0; at < len(text); {
		begins[at/64] |= 1 << (at % 64)
		var i instruction
		if rest := text[at:]; len(rest) > maxInstruction {
			i = decodeQuick(binary.LittleEndian.Uint64(rest))
		}
		if i.size == 0 {
			i = decodeOne(text[at:])
			p.takeAddress(&i, at)
		}
		i.at = uint32(at)
		if n == len(list) {
			list = slices.Grow(list, n+1)
			list = list[:cap(list)]
		}
		list[n] = i
		n += int(-uint64(i.kind) >> 63) // without a jump
		if i.kind == callTo || i.kind == jumpTo {
			p.leads(&i)
		}
		at += int(i.size)
	}
	p.list = list[:n]
}

// leads notes where an instruction leads.
func (p *piece) leads(i *instruction) {
	if i.kind == jumpTo {
		p.refer(i.at, i.next(), i.arg, false)
	} else if to, ok := p.target(i.next(), i.arg); ok && to > 0 {
		p.starts.set(to)
	}
}

// takeAddress notes where an instruction leads that takes an address.
func (p *piece) takeAddress(i *instruction, at int) {
	if code := p.text[at:]; i.size == leaSize && takesAddress(code) {
		p.refer(uint32(at), uint32(at+leaSize), int32(binary.LittleEndian.Uint32(code[leaSize-4:])), true)
	}
}

// refer notes where an instruction leads if a function may begin there.
func (p *piece) refer(at, next uint32, distance int32, takes bool) {
	if to, ok := p.target(next, distance); ok && to > 0 && (p.vaddr+uint64(to))%functionAlign == 0 {
		p.refs = append(p.refs, reference{at, to, takes})
	}
}

// target is the offset that lies so far behind another; false when it is not in the code.
func (p *piece) target(next uint32, distance int32) (uint32, bool) {
	to := int64(next) + int64(distance)
	return uint32(to), uint64(to) < uint64(len(p.text))
}

const leaSize = 7 // bytes of lea with an address relative to the instruction pointer

// takesAddress says whether an instruction of that size is such a lea.
func takesAddress(code []byte) bool {
	return code[0]&0xf8 == 0x48 && code[1] == 0x8d && code[2]&0xc7 == 0x05
}

// findFunctions finds where functions begin: at starts, where calls lead, which is sure; and if something ends before, jumps from one function
// into another, and addresses that one takes in another.
func (p *piece) findFunctions(starts []uint64) {
	last := p.begins.last(p.size())
	p.starts.clear(last+1, p.size())
	for _, vaddr := range starts {
		p.starts.set(uint32(vaddr - p.vaddr))
	}
	copy(p.certain, p.starts)
	p.certain.unset(0) // where the code was cut
	p.rank = slices.Grow(p.rank[:0], len(p.starts))
	sum := uint32(0)
	for _, word := range p.starts {
		p.rank = append(p.rank, sum)
		sum += uint32(bits.OnesCount64(word))
	}
	p.refs = slices.DeleteFunc(p.refs, func(r reference) bool {
		return r.to > last || p.startsBefore(r.at+1) == p.startsBefore(r.to) || !p.endsBefore(r.to)
	})
	for _, r := range p.refs {
		p.starts.set(r.to)
		if r.takes {
			p.certain.set(r.to)
		}
	}
}

// startsBefore counts the functions before an offset, as long as none came since they were counted.
func (p *piece) startsBefore(at uint32) uint32 {
	return p.rank[at/64] + uint32(bits.OnesCount64(p.starts[at/64]&(1<<(at%64)-1)))
}

// endsBefore says whether the instruction before an offset, which is not the first, is padding or doesn't lead on.
func (p *piece) endsBefore(at uint32) bool {
	n := p.indexOf(at)
	if n == 0 || p.list[n-1].at != p.begins.last(at) {
		return false
	}
	k := p.list[n-1].kind
	return k == nop || k == ret || k == stop || k == jump || k == jumpTo
}

// indexOf gives the number in list of the first instruction at or behind an offset. It mostly lies a little behind that of the last time.
func (p *piece) indexOf(at uint32) int {
	low, step := p.near, 1
	if low >= len(p.list) || p.list[low].at > at {
		low = 0
	}
	for low+step < len(p.list) && p.list[low+step].at < at {
		low += step
		step *= 2
	}
	n, _ := slices.BinarySearchFunc(p.list[low:min(low+step, len(p.list))], at, func(i instruction, at uint32) int { return cmp.Compare(i.at, at) })
	p.near = low + n
	return p.near
}

// areAligned says whether nearly all of the functions that are sure begin at multiples of functionAlign.
func (p *piece) areAligned() bool {
	all, aligned := 0, 0
	multiples := uint64(0x0001_0001_0001_0001) << (-p.vaddr % functionAlign)
	for _, word := range p.certain {
		all += bits.OnesCount64(word)
		aligned += bits.OnesCount64(word & multiples)
	}
	return aligned*8 >= all*7
}

// function says whether one may begin at an offset, which may lie outside of the code.
func (p *piece) function(at int64) bool {
	return uint64(at) >= uint64(len(p.text)) || p.starts.has(uint32(at))
}

// body is the function that begins at an offset, without padding before it; one of no bytes when there is nothing else.
func (p *piece) body(start uint32) (from, end uint32) {
	end = p.starts.next(start+1, p.size())
	from = p.begins.next(start, end)
	for n := p.indexOf(from); from < end && n < len(p.list) && p.list[n].at == from; n++ {
		if k := p.list[n].kind; k != nop && k != stop {
			break
		}
		from = min(p.list[n].next(), end)
	}
	return from, end
}
