// SPDX-License-Identifier: Apache-2.0

package unwind

import (
	"cmp"
	"encoding/binary"
	"slices"
)

// Code that nothing describes (the C library musl, programs that don't unwind, assembly) can be followed: from the first instruction of
// a function, where the return address lies at the stack pointer, to its last, each instruction moves the stack pointer by what it
// says. The result is believed where it proves itself: all ways through the function end with the stack pointer back at the return
// address; or that it is sure to begin where it does, and never returns. Elsewhere the frame pointer has to do, which is a guess.

// place is how the stack looks before an instruction. Distances are in bytes below the CFA.
type place struct {
	sp      int64
	fp      int64 // where RBP points to when it is framed
	saved   int64 // where the RBP of the caller lies; 0 when it was not saved
	framed  bool  // RBP points into the frame
	spLost  bool  // moved by a number that the instructions don't tell
	clobber bool  // RBP has another value, and was not saved
	end     bool  // the ABI's mark of the outermost frame: RBP is 0
	doubt   bool  // supposed, and not confirmed
}

var atEntry = place{sp: word}

// rule is the rule of a place; ok is false when it has none.
func (p *place) rule() (r Rule, ok bool) {
	switch {
	case p.doubt:
		return Rule{CFA: CFAFramePointer}, true
	case p.end:
		return Rule{CFA: CFAEnd}, true
	}
	r = Rule{RA: RAAtCFA}
	from, distance := CFASP, p.sp
	switch {
	case p.framed:
		from, distance = CFAFP, p.fp
	case p.spLost:
		return r, false
	}
	if ok = amd64.reach(&r, from, distance); !ok {
		return r, false
	}
	amd64.loseBX(&r)
	switch {
	case p.saved != 0:
		r.FP = FPAtCFA
		r.FPOffset, ok = words(-p.saved)
	case p.clobber:
		r.FP = FPUndefined
	}
	return r, ok
}

// follower follows the instructions of one function, from the first to the last.
type follower struct {
	code       []instruction // room for those of a piece
	start, end uint64
	function   func(vaddr uint64) bool // whether a function may begin there
	labels     places                  // of jumps forward
	supposed   places                  // where no way was seen yet that leads there
	learnt     map[uint64]place        // from jumps back to what was supposed otherwise
	at         place
	moved      bool  // since the last of spans
	reached    bool  // the instruction before leads on to the next
	called     bool  // and is a call, which may not return
	lastCalls  bool  // the last that was no nop is a call
	jumped     place // before the last jump to a place in a register
	jumps      bool  // there was one
	returns    int   // ways to end that prove something
	sure       bool  // it begins where it does
	spans      []stay
	doubted    int // the first of spans that was supposed last
}

// stay is code through which the stack stays as it is.
type stay struct {
	extent
	place place
}

// places are those of some addresses of a function.
type places struct {
	start uint64
	index []uint16 // for each byte of the function: 0, or 1 + index in list
	list  []place
}

// reset forgets all, for a function from start to end.
func (p *places) reset(start, end uint64) {
	n := int(end - start)
	p.index = slices.Grow(p.index[:0], n)[:n]
	clear(p.index)
	p.start, p.list = start, p.list[:0]
}

// at gives the place of an address, nil when there is none.
func (p *places) at(vaddr uint64) *place {
	if i := p.index[vaddr-p.start]; i > 0 {
		return &p.list[i-1]
	}
	return nil
}

func (p *places) set(vaddr uint64, at place) {
	if was := p.at(vaddr); was != nil {
		*was = at
		return
	}
	p.list = append(p.list, at)
	p.index[vaddr-p.start] = uint16(len(p.list))
}

const (
	maxFunction = 64 << 10 // bytes
	maxFollows  = 16       // times that a function is followed, to learn where jumps back lead
)

func newFollower() *follower {
	return &follower{learnt: map[uint64]place{}}
}

// follow gives the places of the function from start to end, each with a rule; false when its ends don't prove them. A jump to where function
// says that one may begin is such an end; sure says that something calls it. The instructions are those of code at vaddr. What it gives is valid until the next call.
func (f *follower) follow(code []instruction, vaddr, start, end uint64, sure bool, function func(vaddr uint64) bool) ([]stay, bool) {
	if end-start > maxFunction {
		return nil, false
	}
	clear(f.learnt)
	for range maxFollows {
		known := len(f.learnt)
		f.labels.reset(start, end)
		f.supposed.reset(start, end)
		*f = follower{
			code: f.code, start: start, end: end, function: function, labels: f.labels, supposed: f.supposed, learnt: f.learnt,
			at: atEntry, moved: true, reached: true, spans: f.spans[:0], sure: sure,
		}
		proven := f.run(code, vaddr)
		if len(f.learnt) == known {
			return f.spans, proven && (f.returns > 0 || f.never())
		}
	}
	return nil, false
}

func (f *follower) run(code []instruction, vaddr uint64) bool {
	for n := range code {
		i := &code[n]
		pc, next := vaddr+uint64(i.at), vaddr+uint64(i.next())
		if i.kind == bad || next > f.end || !f.arrive(pc, i.kind == nop) {
			return false
		}
		if !f.reached { // padding
			continue
		}
		if !f.say(pc, next) {
			return false
		}
		f.called = i.kind == call || i.kind == callTo
		f.lastCalls = f.called || f.lastCalls && i.kind == nop
		if !f.step(i, next) {
			if !f.at.doubt {
				return false
			}
			f.reached = false // what was supposed is wrong
		}
	}
	return true
}

// never says whether the function never returns: nothing is in doubt, and it ends with a call, or nothing leads to its end.
func (f *follower) never() bool {
	return f.sure && (!f.reached || f.lastCalls) && !slices.ContainsFunc(f.spans, func(s stay) bool { return s.place.doubt })
}

// confirm says that what was supposed is right.
func (f *follower) confirm() {
	if f.at.doubt {
		for i := range f.spans[f.doubted:] {
			f.spans[f.doubted+i].place.doubt = false
		}
		f.at.doubt = false
	}
}

// say notes the place of an instruction; false when it has no rule.
func (f *follower) say(start, end uint64) bool {
	n := len(f.spans)
	if !f.moved || n > 0 && n != f.doubted && f.spans[n-1].place == f.at {
		f.spans[n-1].end = end
		return true
	}
	f.moved = false
	_, ok := f.at.rule()
	f.spans = append(f.spans, stay{extent{start, end}, f.at})
	return ok
}

// arrive sets the place at an instruction from the ways that lead there; false when these differ.
func (f *follower) arrive(pc uint64, nop bool) bool {
	label := f.labels.at(pc)
	if label == nil && f.reached {
		return true
	}
	f.moved = true
	switch {
	case label != nil && (!f.reached || f.called):
		f.at = *label
	case label != nil:
		return f.meet(*label)
	case !f.reached && nop:
		return true
	case !f.reached:
		f.suppose(pc)
	}
	f.reached = true
	return true
}

// suppose sets the place at code to which no way was seen yet: a jump from further down leads there, or it is a case of a switch, or another
// function, or the landing pad of an exception.
func (f *follower) suppose(pc uint64) {
	f.doubted = len(f.spans)
	p, ok := f.learnt[pc]
	switch {
	case ok:
	case f.jumps:
		p = f.jumped
	default:
		p = atEntry
		p.doubt = true
	}
	f.supposed.set(pc, p)
	f.at = p
}

// meet joins another way that leads to the same instruction; false when they don't fit, though neither is in doubt.
func (f *follower) meet(label place) bool {
	was := f.at
	switch {
	case f.at.doubt && !label.doubt:
		was.doubt = false
		if was.merge(label) {
			f.confirm()
		}
		f.at = label
		return true
	case label.doubt:
		return true
	}
	return f.at.merge(label)
}

// merge joins two places; false when they differ.
func (p *place) merge(other place) bool {
	p.clobber = p.clobber || other.clobber
	other.clobber = p.clobber
	return *p == other
}

// step runs an instruction; false when what it does can't be told.
func (f *follower) step(i *instruction, next uint64) bool {
	target := next + uint64(int64(i.arg))
	switch i.kind {
	case other, nop, call, callTo:
	case ret:
		f.reached = false
		return f.ends()
	case stop:
		f.reached = false
	case jump:
		f.reached = false
		f.jumped, f.jumps = f.at, true
	case jumpTo:
		f.reached = false
		return f.jump(target, next, true)
	case branchTo:
		return f.jump(target, next, false)
	default:
		f.moved = true
		return f.at.step(i)
	}
	return true
}

// jump notes where a jump leads. Out of the function it is a call in place of a return, when the stack is as at the entry.
func (f *follower) jump(target, next uint64, always bool) bool {
	if target < f.start || target >= f.end {
		if !f.function(target) {
			return false // into the midst of another: this is a part of it
		}
		if always && !f.jumps && !f.at.doubt {
			f.ends()
		}
		return true // perhaps to a part of this function that lies elsewhere
	}
	if target < next {
		return f.jumpBack(target)
	}
	to := f.at
	if before := f.labels.at(target); before != nil && !before.doubt {
		if to.doubt {
			return true
		}
		if !to.merge(*before) {
			return false
		}
	}
	f.labels.set(target, to)
	return true
}

// ends says whether the return address is where it was at the entry.
func (f *follower) ends() bool {
	if !f.at.end && (f.at.sp != word || f.at.spLost || f.at.framed) {
		return false
	}
	f.confirm()
	f.returns++
	return true
}

// jumpBack checks what was supposed of the place there.
func (f *follower) jumpBack(target uint64) bool {
	supposed := f.supposed.at(target)
	if supposed == nil || f.at.doubt {
		return true
	}
	if p := *supposed; p.merge(f.at) {
		return true
	}
	if _, twice := f.learnt[target]; twice {
		return false
	}
	f.learnt[target] = f.at
	return false
}

// step runs an instruction that leads to the next.
func (p *place) step(i *instruction) bool {
	switch arg := int64(i.arg); i.kind {
	case push:
		p.sp += word
	case pop:
		p.sp -= word
	case moveSP:
		p.sp -= arg
	case alignSP:
		p.spLost = true
	case spFromFP:
		p.sp, p.spLost = p.fp-arg, false
		return p.framed
	case spUnknown:
		return false
	case leave:
		ok := p.framed && p.saved == p.fp
		*p = place{sp: p.fp - word, end: p.end, doubt: p.doubt}
		return ok
	default:
		p.stepFP(i.kind, arg)
	}
	return true
}

// stepFP runs an instruction about the frame pointer: it saves it, sets it to the frame, reads it back, or sets it to something else.
func (p *place) stepFP(k kind, arg int64) {
	callers := p.saved == 0 && !p.framed && !p.clobber
	switch {
	case k == pushFP:
		p.sp += word
		if callers {
			p.saved = p.sp
		}
	case k == popFP:
		p.popFP()
	case k == saveFP:
		if callers && !p.spLost && p.sp-arg > 0 {
			p.saved = p.sp - arg
		}
	case k == zeroFP && p.saved == 0 && !p.framed:
		p.end = true
	case k == fpFromSP && p.saved != 0 && !p.spLost:
		p.framed, p.fp = true, p.sp-arg
	case k == loadFP && p.saved != 0 && !p.spLost && p.sp-arg == p.saved:
		p.framed, p.saved = false, 0
	default:
		p.framed, p.clobber = false, p.saved == 0
	}
}

func (p *place) popFP() {
	if p.saved == p.sp && !p.spLost {
		p.saved, p.clobber = 0, false
	} else {
		p.clobber = p.saved == 0
	}
	p.framed = false
	p.sp -= word
}

// functionsOf gives where functions begin in code at vaddr, sorted: at starts, which it may change, where calls lead, which is sure; and
// if something ends before, jumps from one function into another, and addresses that one takes in another.
func functionsOf(text []byte, code []instruction, vaddr uint64, starts []uint64) (all, sure []uint64) {
	for n := range code {
		if i := &code[n]; i.kind == callTo {
			if to, ok := targetOf(code, i); ok {
				starts = append(starts, vaddr+to)
			}
		}
	}
	slices.Sort(starts)
	starts = slices.Compact(starts)
	sure = slices.DeleteFunc(slices.Clone(starts), func(start uint64) bool { return start == vaddr }) // where the code was cut
	for n := range code {
		i := &code[n]
		takes := i.size == leaSize && takesAddress(text[i.at:])
		switch {
		case takes:
			i = &instruction{at: i.at, size: i.size, arg: int32(binary.LittleEndian.Uint32(text[i.at+leaSize-4:]))}
		case i.kind != jumpTo:
			continue
		}
		to, ok := targetOf(code, i)
		if !ok || (vaddr+to)%16 != 0 || !endsBefore(code, to) {
			continue
		}
		from, _ := slices.BinarySearch(starts, vaddr+uint64(i.at)+1)
		into, _ := slices.BinarySearch(starts, vaddr+to)
		if from == into {
			continue
		}
		all = append(all, vaddr+to)
		if takes {
			sure = append(sure, vaddr+to)
		}
	}
	all = append(all, starts...)
	slices.Sort(all)
	slices.Sort(sure)
	return slices.Compact(all), slices.Compact(sure)
}

const leaSize = 7 // bytes of lea with an address relative to the instruction pointer

// takesAddress says whether an instruction of that size is such a lea.
func takesAddress(code []byte) bool {
	return code[0]&0xf8 == 0x48 && code[1] == 0x8d && code[2]&0xc7 == 0x05
}

// targetOf is the offset in the code where an instruction leads; false when that is elsewhere.
func targetOf(code []instruction, i *instruction) (uint64, bool) {
	to := int64(i.next()) + int64(i.arg)
	return uint64(to), to > 0 && to <= int64(code[len(code)-1].at)
}

// endsBefore says whether the instruction before an offset is padding or doesn't lead on.
func endsBefore(code []instruction, off uint64) bool {
	n := indexOf(code, off)
	if n == 0 {
		return true
	}
	k := code[n-1].kind
	return k == nop || k == ret || k == stop || k == jump || k == jumpTo
}

// indexOf gives the number of the first instruction at or behind an offset.
func indexOf(code []instruction, off uint64) int {
	n, _ := slices.BinarySearchFunc(code, off, func(i instruction, off uint64) int { return cmp.Compare(uint64(i.at), off) })
	return n
}

// followCode lays out code at vaddr that has functions at starts and where its calls lead.
func (b *builder) followCode(bytes []byte, vaddr uint64, starts []uint64) error {
	end := vaddr + uint64(len(bytes))
	code := appendInstructions(b.follower.code[:0], bytes)
	b.follower.code = code
	starts, sure := functionsOf(bytes, code, vaddr, starts)
	function := func(target uint64) bool {
		_, ok := slices.BinarySearch(starts, target)
		return ok || target < vaddr || target >= end
	}
	code = code[indexOf(code, starts[0]-vaddr):]
	for n, start := range starts {
		limit := end
		if n+1 < len(starts) {
			limit = starts[n+1]
		}
		next := indexOf(code, limit-vaddr)
		body := code[:next]
		code = code[next:]
		for len(body) > 0 && (body[0].kind == nop || body[0].kind == stop) {
			body = body[1:]
		}
		if len(body) > 0 {
			_, isSure := slices.BinarySearch(sure, start)
			if err := b.followFunction(body, vaddr, limit, isSure, function); err != nil {
				return err
			}
		}
	}
	return nil
}

// followFunction lays out the function of some of the instructions of the code at vaddr.
func (b *builder) followFunction(body []instruction, vaddr, end uint64, sure bool, function func(vaddr uint64) bool) error {
	start := vaddr + uint64(body[0].at)
	spans, proven := b.follower.follow(body, vaddr, start, end, sure, function)
	if !proven {
		return b.layout.span(start, end, Rule{CFA: CFAFramePointer})
	}
	for _, s := range spans {
		if r, ok := s.place.rule(); ok {
			if err := b.layout.span(s.start, s.end, r); err != nil {
				return err
			}
		}
	}
	return nil
}
