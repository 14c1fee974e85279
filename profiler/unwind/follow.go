// SPDX-License-Identifier: Apache-2.0

package unwind

import (
	"cmp"
	"encoding/binary"
	"slices"
)

// Code that nothing describes (the C library musl, programs that don't unwind, assembly) can be followed: from the first instruction of
// a function, where the return address lies at the stack pointer, to its last, each instruction moves the stack pointer by what it
// says. The result is believed where it proves itself: the function is sure to begin where it does, or ways through it end with the stack
// pointer back at the return address. Where such a way leads from, the stack is as was thought; where only a call leads to that may never
// return, another function may begin, and what lies there has to prove itself. Elsewhere the frame pointer has to do, which is a guess.

// place is how the stack looks before an instruction. Distances are in bytes below the CFA.
type place struct {
	sp      int64
	fp      int64 // where RBP points to when it is framed
	saved   int64 // where the RBP of the caller lies; 0 when it was not saved
	framed  bool  // RBP points into the frame
	spLost  bool  // moved by a number that the instructions don't tell
	clobber bool  // RBP has another value, and was not saved
	end     bool  // the ABI's mark of the outermost frame: RBP is 0
	doubt   int32 // number of the doubt whether it is right, 0 for none
}

var atEntry = place{sp: word}

// rule is the rule of a place; ok is false when it has none.
func (p *place) rule() (r Rule, ok bool) {
	switch {
	case p.doubt != 0:
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
	moved      bool            // since the last of spans
	reached    bool            // the instruction before leads on to the next
	lastCalls  bool            // the last that was no nop is a call, which may not return
	callee     uint64          // what it calls, 0 when no instruction tells
	system     bool            // the kernel was called
	jumped     place           // before the last jump to a place in a register
	jumps      bool            // there was one
	returns    int             // ways to end that prove something
	rets       bool            // it is sure that it returns
	returning  map[uint64]bool // functions of which it is known whether they return for sure
	sure       bool            // it begins where it does
	aligned    bool            // functions begin at multiples of functionAlign
	doubts     []doubt
	spans      []stay
}

// doubt is about code to which no way is known for sure: it lies behind a call, which may not return, so that another function may begin there;
// or it was supposed.
type doubt struct {
	from      [2]int32 // doubts about what leads there: if this is right, these are
	callee    uint64   // the function whose return is in doubt
	supposed  bool     // it was supposed that a function begins there
	confirmed bool
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
	maxFunction   = 64 << 10 // bytes
	functionAlign = 16       // bytes; by compilers, unless they are told to make code small
	maxFollows    = 16       // times that a function is followed, to learn where jumps back lead
)

func newFollower() *follower {
	return &follower{learnt: map[uint64]place{}, returning: map[uint64]bool{}}
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
			at: atEntry, moved: true, reached: true, spans: f.spans[:0], sure: sure, aligned: f.aligned, returning: f.returning, doubts: append(f.doubts[:0], doubt{}),
		}
		if !sure {
			f.at.doubt = f.raise(doubt{supposed: start == vaddr}) // where the code was cut
		}
		proven := f.run(code, vaddr)
		if len(f.learnt) == known {
			f.settleSpans()
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
		f.lastCalls = i.kind == call || i.kind == callTo || f.lastCalls && i.kind == nop
		ok := f.step(i, next)
		f.settle(&f.at)
		if !ok {
			if f.at.doubt == 0 {
				return false
			}
			f.reached = false // what was supposed is wrong
		}
	}
	return true
}

// never says whether the function never returns: it ends with a call, or nothing leads to its end.
func (f *follower) never() bool { return f.sure && (!f.reached || f.lastCalls) }

// raise gives the number of a new doubt.
func (f *follower) raise(d doubt) int32 {
	f.doubts = append(f.doubts, d)
	return int32(len(f.doubts) - 1)
}

// confirm says that what was in doubt is right.
func (f *follower) confirm(number int32) {
	if d := &f.doubts[number]; number != 0 && !d.confirmed {
		d.confirmed = true
		f.confirm(d.from[0])
		f.confirm(d.from[1])
	}
}

// settle takes away a doubt that was confirmed since.
func (f *follower) settle(p *place) {
	if f.doubts[p.doubt].confirmed {
		p.doubt = 0
	}
}

// settleSpans settles all, which makes some the same as the one before; padding between them counts to it.
func (f *follower) settleSpans() {
	settled := f.spans[:0]
	for _, s := range f.spans {
		f.settle(&s.place)
		if n := len(settled); n > 0 && settled[n-1].place == s.place {
			settled[n-1].end = s.end
		} else {
			settled = append(settled, s)
		}
	}
	f.spans = settled
}

// say notes the place of an instruction; false when it has no rule.
func (f *follower) say(start, end uint64) bool {
	n := len(f.spans)
	if !f.moved || n > 0 && f.spans[n-1].place == f.at {
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
	if label == nil && f.reached && !f.lastCalls {
		return true
	}
	f.moved = true
	ok := true
	switch {
	case label != nil && !f.reached:
		f.at = *label
		f.settle(&f.at)
	case label != nil && f.lastCalls:
		f.at, ok = f.join(*label, f.behindCall())
	case label != nil:
		f.at, ok = f.join(f.at, *label)
	case nop: // padding, perhaps
		return true
	case f.reached:
		if !f.aligned || pc%functionAlign == 0 {
			f.at = f.behindCall()
		}
	default:
		f.suppose(pc)
	}
	f.reached = true
	return ok
}

// behindCall gives the place behind a call, which may not return. Where the stack is as at an entry, what the code there proves says nothing of what
// was before: a function may begin.
func (f *follower) behindCall() place {
	p := f.at
	if f.returning[f.callee] {
		return p
	}
	d := doubt{from: [2]int32{p.doubt}, callee: f.callee, supposed: f.doubts[p.doubt].supposed}
	if p.atEntry() {
		p, d = atEntry, doubt{callee: f.callee, supposed: true}
	}
	p.doubt = f.raise(d)
	return p
}

// suppose sets the place at code to which no way was seen yet: a jump from further down leads there, or it is a case of a switch, or another
// function, or the landing pad of an exception.
func (f *follower) suppose(pc uint64) {
	p, ok := f.learnt[pc]
	switch {
	case ok && p.doubt != 0:
		p.doubt = f.raise(doubt{})
	case ok:
	case f.jumps:
		p = f.jumped
		p.doubt = f.raise(doubt{supposed: f.doubts[p.doubt].supposed})
	default:
		p = atEntry
		p.doubt = f.raise(doubt{supposed: true})
	}
	f.supposed.set(pc, p)
	f.at = p
}

// join joins two ways that lead to the same instruction; false when they don't fit, though neither is in doubt. Of two of which one is in doubt
// the other counts; if they fit, the doubt was none.
func (f *follower) join(a, b place) (place, bool) {
	f.settle(&a)
	f.settle(&b)
	both, fit := a.merge(b)
	switch {
	case fit && a.doubt != 0 && b.doubt != 0:
		both.doubt = f.raise(doubt{from: [2]int32{a.doubt, b.doubt}, supposed: f.doubts[a.doubt].supposed || f.doubts[b.doubt].supposed})
		return both, true
	case fit:
		f.confirm(a.doubt)
		f.confirm(b.doubt)
		return both, true
	case a.doubt == 0:
		return a, b.doubt != 0
	case b.doubt == 0, f.doubts[a.doubt].supposed && !f.doubts[b.doubt].supposed:
		return b, true
	}
	return a, true
}

// merge joins two places but for their doubts; false when they differ.
func (p place) merge(other place) (place, bool) {
	p.doubt, other.doubt = 0, 0
	p.clobber = p.clobber || other.clobber
	other.clobber = p.clobber
	return p, p == other
}

// step runs an instruction; false when what it does can't be told.
func (f *follower) step(i *instruction, next uint64) bool {
	target := next + uint64(int64(i.arg))
	switch i.kind {
	case other, nop:
	case system:
		f.system = true
	case zeroFP:
		f.moved = true
		f.at.zeroFP(f.system)
	case call:
		f.callee = 0
	case callTo:
		f.callee = target
	case ret:
		f.reached = false
		sure := !f.doubts[f.at.doubt].supposed
		ok := f.ends()
		f.rets = f.rets || ok && sure
		return ok
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
		if always && !f.jumps && !f.doubts[f.at.doubt].supposed {
			f.ends()
		}
		return true // perhaps to a part of this function that lies elsewhere
	}
	if target < next {
		return f.jumpBack(target)
	}
	to, ok := f.at, true
	if before := f.labels.at(target); before != nil {
		to, ok = f.join(f.at, *before)
	}
	f.labels.set(target, to)
	return ok
}

// ends says whether the return address is where it was at the entry.
func (f *follower) ends() bool {
	if !f.at.end && !f.at.atEntry() {
		return false
	}
	f.confirm(f.at.doubt)
	f.returns++
	return true
}

// jumpBack checks the place there, and learns it if it was supposed otherwise.
func (f *follower) jumpBack(target uint64) bool {
	n, _ := slices.BinarySearchFunc(f.spans, target, func(s stay, at uint64) int { return cmp.Compare(s.end, at+1) })
	if n == len(f.spans) || target < f.spans[n].start {
		return true
	}
	was := f.spans[n].place
	_, fit := was.merge(f.at)
	_, ok := f.join(was, f.at)
	_, learnt := f.learnt[target]
	if fit || learnt || f.supposed.at(target) == nil || f.doubts[f.at.doubt].supposed {
		return ok
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
	case k == fpFromSP && p.saved != 0 && !p.spLost:
		p.framed, p.fp = true, p.sp-arg
	case k == loadFP && p.saved != 0 && !p.spLost && p.sp-arg == p.saved:
		p.framed, p.saved = false, 0
	default:
		p.framed, p.clobber = false, p.saved == 0
	}
}

// zeroFP sets the frame pointer to 0: in a thread that the kernel has just begun that marks the end of its stack.
func (p *place) zeroFP(begun bool) {
	if begun && p.atEntry() {
		p.end = true
		return
	}
	p.stepFP(zeroFP, 0)
}

// atEntry says whether the stack pointer is as at the entry of a function.
func (p *place) atEntry() bool { return p.sp == word && !p.spLost && !p.framed }

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

// piece is decoded code at vaddr that is followed.
type piece struct {
	code         []instruction
	vaddr, end   uint64
	starts, sure []uint64 // where functions begin, and where they do for sure; sorted
}

// followCode lays out code at vaddr that has functions at starts and where its calls lead.
func (b *builder) followCode(bytes []byte, vaddr uint64, starts []uint64) error {
	p := piece{code: appendInstructions(b.follower.code[:0], bytes), vaddr: vaddr, end: vaddr + uint64(len(bytes))}
	p.starts, p.sure = functionsOf(bytes, p.code, vaddr, starts)
	b.follower.code, b.follower.aligned = p.code, areAligned(p.sure)
	clear(b.follower.returning)
	first := p.end
	if len(p.starts) > 0 {
		first = p.starts[0]
	}
	if err := b.layout.span(vaddr, first, Rule{CFA: CFAFramePointer}); err != nil {
		return err
	}
	for n := range p.starts {
		if err := b.followFunction(&p, n); err != nil {
			return err
		}
	}
	return nil
}

// function says whether one may begin somewhere.
func (p *piece) function(vaddr uint64) bool {
	_, ok := slices.BinarySearch(p.starts, vaddr)
	return ok || vaddr < p.vaddr || vaddr >= p.end
}

// follow follows the function that begins at the start of a number, which gives no spans if there is no code.
func (p *piece) follow(f *follower, n int) (spans []stay, whole extent, proven bool) {
	limit := p.end
	if n+1 < len(p.starts) {
		limit = p.starts[n+1]
	}
	body := p.code[indexOf(p.code, p.starts[n]-p.vaddr):indexOf(p.code, limit-p.vaddr)]
	for len(body) > 0 && (body[0].kind == nop || body[0].kind == stop) {
		body = body[1:]
	}
	if len(body) == 0 {
		return nil, extent{}, true
	}
	whole = extent{p.vaddr + uint64(body[0].at), limit}
	_, sure := slices.BinarySearch(p.sure, p.starts[n])
	spans, proven = f.follow(body, p.vaddr, whole.start, limit, sure, p.function)
	f.returning[p.starts[n]] = f.returning[p.starts[n]] || proven && f.rets
	return spans, whole, proven
}

// learnReturns follows the functions of which the last that was followed leaves open whether they return; false when there are none.
func (p *piece) learnReturns(f *follower) bool {
	learnt := false
	for _, d := range slices.Clone(f.doubts) {
		n, ok := slices.BinarySearch(p.starts, d.callee)
		if _, known := f.returning[d.callee]; ok && !known && !d.confirmed {
			p.follow(f, n)
			learnt = true
		}
	}
	return learnt
}

// areAligned says whether nearly all of some functions begin at multiples of functionAlign.
func areAligned(starts []uint64) bool {
	aligned := 0
	for _, start := range starts {
		if start%functionAlign == 0 {
			aligned++
		}
	}
	return aligned*8 >= len(starts)*7
}

// followFunction lays out the function that begins at the start of a number.
func (b *builder) followFunction(p *piece, n int) error {
	spans, whole, proven := p.follow(b.follower, n)
	if p.learnReturns(b.follower) {
		spans, whole, proven = p.follow(b.follower, n)
	}
	if !proven {
		return b.layout.span(whole.start, whole.end, Rule{CFA: CFAFramePointer})
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
