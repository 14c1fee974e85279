// SPDX-License-Identifier: Apache-2.0

package unwind

import (
	"cmp"
	"slices"
	"sync"
)

// Code that nothing describes (the C library musl, programs that don't unwind, assembly) can be followed: from the first instruction of
// a function, where the return address lies at the stack pointer, to its last, each instruction moves the stack pointer by what it
// says. The result is believed where it proves itself: the function is sure to begin where it does, or ways through it end with the stack
// pointer back at the return address. Where such a way leads from, the stack is as was thought; where only a call leads to that may never
// return, another function may begin, and what lies there has to prove itself. Elsewhere the frame pointer has to do, which is a guess.

// follower follows the instructions of one function, from the first to the last.
type follower struct {
	piece
	progress
	start, end uint32
	sure       bool             // it begins where it does
	labels     labels           // of jumps forward
	supposed   bitmap           // where no way was seen yet that leads there
	learnt     map[uint32]place // from jumps back to what was supposed otherwise
	lowest     uint32           // of those that were learnt this time
	doubts     []doubt
	confirmed  []int32 // doubts, in the order that they were
	spans      []stay
	snapshots  []snapshot
}

// progress is how far a function was followed.
type progress struct {
	pc        uint32 // next instruction
	n         int    // number in list of the first from there on
	at        place
	moved     bool   // since the last of spans
	reached   bool   // the instruction before leads on to the next
	lastCalls bool   // the last that was no nop is a call, which may not return
	system    bool   // the kernel was called
	jumps     bool   // there was a jump to a place in a register
	rets      bool   // it is sure that it returns
	callee    uint64 // vaddr of what the last call calls, 0 when no instruction tells
	proofs    int    // ways to end that prove something
	jumped    place  // before the last jump to a place in a register
}

// snapshot is what is needed to follow once more from there.
type snapshot struct {
	progress
	spans, doubts, confirmed, labels, changes int // how many there were
	spanEnd                                   uint32
}

// doubt is about code to which no way is known for sure: it lies behind a call, which may not return, so that another function may begin there;
// or it was supposed.
type doubt struct {
	from      [2]int32 // doubts about what leads there: if this is right, these are
	callee    uint64   // vaddr of the function whose return is in doubt
	supposed  bool     // it was supposed that a function begins there
	confirmed bool
}

// stay is code through which the stack stays as it is.
type stay struct {
	start, end uint32
	place      place
}

const (
	maxFunction   = 64 << 10 // bytes
	functionAlign = 16       // bytes; by compilers, unless they are told to make code small
	maxFollows    = 16       // times that a function is followed, to learn where jumps back lead
)

// maxSnapshots is how many are kept of a function; with fewer, more of it is followed once more. A test makes it smaller.
var maxSnapshots = 256

func newFollower() *follower {
	makeTables()
	return &follower{learnt: map[uint32]place{}}
}

// followers are those that aren't in use, whose room the next files may use.
var followers = sync.Pool{New: func() any { return newFollower() }}

// leave gives the follower to others, without what it knows of this file.
func (f *follower) leave() {
	f.text, f.doubts = nil, f.doubts[:0]
	followers.Put(f)
}

// load decodes a piece of code that is to be followed.
func (f *follower) load(text []byte, vaddr uint64, starts []uint64) {
	f.labels.goBack(0, 0)
	f.piece.load(text, vaddr, starts)
	f.labels.marked.reset(len(text))
	f.supposed.reset(len(text))
}

// follow gives the places of the function from start to end, each with a rule; false when its ends don't prove them. A jump to where another
// may begin is such an end; sure says that something calls it. What it gives is valid until the next call.
func (f *follower) follow(start, end uint32, sure bool) ([]stay, bool) {
	if end-start > maxFunction {
		return nil, false
	}
	f.begin(start, end, sure)
	for again := range maxFollows {
		if again > 0 {
			f.goBack()
		}
		known := len(f.learnt)
		f.lowest = end
		proven := f.run()
		if len(f.learnt) == known {
			f.settleSpans()
			return f.spans, proven && (f.proofs > 0 || f.never())
		}
	}
	return nil, false
}

// begin begins with a function.
func (f *follower) begin(start, end uint32, sure bool) {
	f.labels.goBack(0, 0)
	f.labels.start, f.labels.index = start, slices.Grow(f.labels.index[:0], int(end-start))[:end-start]
	f.supposed.clear(start, end)
	if len(f.learnt) > 0 {
		clear(f.learnt)
	}
	f.start, f.end, f.sure = start, end, sure
	f.doubts, f.confirmed, f.spans, f.snapshots = append(f.doubts[:0], doubt{}), f.confirmed[:0], f.spans[:0], f.snapshots[:0]
	f.progress = progress{pc: start, n: f.indexOf(start), at: atEntry, moved: true, reached: true}
	if !sure {
		f.at.doubt = f.raise(doubt{supposed: start == 0}) // where the code was cut
	}
	f.remember()
}

// remember takes a snapshot, if there is room.
func (f *follower) remember() {
	if len(f.snapshots) >= maxSnapshots {
		return
	}
	s := snapshot{
		progress: f.progress, spans: len(f.spans), doubts: len(f.doubts), confirmed: len(f.confirmed),
		labels: len(f.labels.list), changes: len(f.labels.changes),
	}
	if s.spans > 0 {
		s.spanEnd = f.spans[s.spans-1].end
	}
	f.snapshots = append(f.snapshots, s)
}

// goBack goes back to where the first of what was learnt this time makes a difference: up to there all would be as it was.
func (f *follower) goBack() {
	n := len(f.snapshots) - 1
	for f.snapshots[n].pc > f.lowest {
		n--
	}
	s := &f.snapshots[n]
	f.progress = s.progress
	f.spans = f.spans[:s.spans]
	if s.spans > 0 {
		f.spans[s.spans-1].end = s.spanEnd
	}
	for _, number := range f.confirmed[s.confirmed:] {
		f.doubts[number].confirmed = false
	}
	f.confirmed, f.doubts = f.confirmed[:s.confirmed], f.doubts[:s.doubts]
	f.labels.goBack(s.labels, s.changes)
	f.supposed.clear(s.pc, f.end)
	f.snapshots = f.snapshots[:max(n, 1)] // but for the first it is taken again
}

// run follows the instructions from pc on.
func (f *follower) run() bool {
	for f.pc < f.end {
		to := f.size()
		if f.n < len(f.list) {
			to = f.list[f.n].at
		}
		ok := false
		if to == f.pc {
			ok = f.runOne(&f.list[f.n])
		} else {
			ok = f.runOthers(to)
		}
		if !ok {
			return false
		}
	}
	return true
}

// runOne follows an instruction that does something.
func (f *follower) runOne(i *instruction) bool {
	next := i.next()
	if i.kind == bad || next > f.end || !f.arrive(i.kind == nop) {
		return false
	}
	f.pc = next
	f.n++
	if !f.reached { // padding
		return true
	}
	if !f.say(i.at, next) {
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
	return true
}

// runOthers follows instructions up to an offset that do nothing: only where one of them is a label something may change. An instruction that
// reaches beyond the end of the function isn't one of its.
func (f *follower) runOthers(to uint32) bool {
	whole := to
	if to > f.end {
		if whole = f.begins.next(f.end, to); whole > f.end {
			whole = f.begins.last(f.end)
		}
	}
	for f.pc < whole {
		if !f.arrive(false) {
			return false
		}
		next := f.labels.marked.nextBoth(f.begins, f.pc+1, whole)
		if !f.say(f.pc, next) {
			return false
		}
		f.lastCalls = false
		f.pc = next
	}
	return whole == min(to, f.end)
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
		f.confirmed = append(f.confirmed, number)
		f.confirm(d.from[0])
		f.confirm(d.from[1])
	}
}

// settle takes away a doubt that was confirmed since.
func (f *follower) settle(p *place) {
	if p.doubt != 0 && f.doubts[p.doubt].confirmed {
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

// say notes the place of instructions; false when it has no rule.
func (f *follower) say(start, end uint32) bool {
	n := len(f.spans)
	if !f.moved || n > 0 && f.spans[n-1].place == f.at {
		f.spans[n-1].end = end
		return true
	}
	f.moved = false
	_, ok := f.at.rule()
	f.spans = append(f.spans, stay{start, end, f.at})
	return ok
}

// arrive sets the place at the next instruction from the ways that lead there; false when these differ.
func (f *follower) arrive(nop bool) bool {
	label := f.labels.at(f.pc)
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
		behind := f.behindCall()
		f.at = *label
		ok = f.join(&f.at, &behind)
	case label != nil:
		ok = f.join(&f.at, label)
	case nop: // padding, perhaps
		return true
	case f.reached:
		if !f.aligned || (f.vaddr+uint64(f.pc))%functionAlign == 0 {
			f.at = f.behindCall()
		}
	default:
		f.suppose()
	}
	f.reached = true
	return ok
}

// behindCall gives the place behind a call, which may not return. Where the stack is as at an entry, what the code there proves says nothing of what
// was before: a function may begin.
func (f *follower) behindCall() place {
	p := f.at
	if at := f.callee - f.vaddr; at < uint64(f.size()) && f.returns.has(uint32(at)) {
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
func (f *follower) suppose() {
	f.remember()
	p, ok := f.learnt[f.pc]
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
	f.supposed.set(f.pc)
	f.at = p
}

// join joins two ways that lead to the same instruction in a; false when they don't fit, though neither is in doubt. Of two of which one is in doubt
// the other counts; if they fit, the doubt was none.
func (f *follower) join(a, b *place) bool {
	f.settle(a)
	second := b.doubt
	if f.doubts[second].confirmed {
		second = 0
	}
	switch fit := a.fits(b); {
	case fit && a.doubt != 0 && second != 0:
		a.is |= b.is
		a.doubt = f.raise(doubt{from: [2]int32{a.doubt, second}, supposed: f.doubts[a.doubt].supposed || f.doubts[second].supposed})
	case fit:
		f.confirm(a.doubt)
		f.confirm(second)
		a.is |= b.is
		a.doubt = 0
	case a.doubt == 0:
		return second != 0
	case second == 0, f.doubts[a.doubt].supposed && !f.doubts[second].supposed:
		*a = *b
		a.doubt = second
	}
	return true
}

// step runs an instruction; false when what it does can't be told.
func (f *follower) step(i *instruction, next uint32) bool {
	switch i.kind {
	case nop:
	case system:
		f.system = true
	case zeroFP:
		f.moved = true
		f.at.zeroFP(f.system)
	case call:
		f.callee = 0
	case callTo:
		f.callee = f.vaddr + uint64(int64(next)+int64(i.arg))
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
		return f.jump(int64(next)+int64(i.arg), next, true)
	case branchTo:
		return f.jump(int64(next)+int64(i.arg), next, false)
	default:
		f.moved = true
		return f.at.step(i)
	}
	return true
}

// jump notes where a jump leads. Out of the function it is a call in place of a return, when the stack is as at the entry.
func (f *follower) jump(target int64, next uint32, always bool) bool {
	if target < int64(f.start) || target >= int64(f.end) {
		if !f.function(target) {
			return false // into the midst of another: this is a part of it
		}
		if always && !f.jumps && !f.doubts[f.at.doubt].supposed {
			f.ends()
		}
		return true // perhaps to a part of this function that lies elsewhere
	}
	at := uint32(target)
	if at < next {
		return f.jumpBack(at)
	}
	to, ok := f.at, true
	if before := f.labels.at(at); before != nil {
		ok = f.join(&to, before)
	}
	f.labels.set(at, &to)
	return ok
}

// ends says whether the return address is where it was at the entry.
func (f *follower) ends() bool {
	if f.at.is&ended == 0 && !f.at.atEntry() {
		return false
	}
	f.confirm(f.at.doubt)
	f.proofs++
	return true
}

// jumpBack checks the place there, and learns it if it was supposed otherwise.
func (f *follower) jumpBack(target uint32) bool {
	n := f.spanAt(target)
	if n == len(f.spans) || target < f.spans[n].start {
		return true
	}
	was := f.spans[n].place
	fit := was.fits(&f.at)
	ok := f.join(&was, &f.at)
	if fit || !f.supposed.has(target) || f.doubts[f.at.doubt].supposed {
		return ok
	}
	if _, learnt := f.learnt[target]; learnt {
		return ok
	}
	f.learnt[target] = f.at
	f.lowest = min(f.lowest, target)
	return false
}

// spanAt gives the number of the span at an offset, or of the first behind it. It mostly is one of the last.
func (f *follower) spanAt(at uint32) int {
	high, step := len(f.spans), 1
	for high-step >= 0 && f.spans[high-step].end > at {
		high -= step
		step *= 2
	}
	low := max(high-step+1, 0)
	n, _ := slices.BinarySearchFunc(f.spans[low:high], at, func(s stay, at uint32) int { return cmp.Compare(s.end, at+1) })
	return low + n
}

// followCode lays out code at vaddr that has functions at starts and where its calls lead.
func (b *builder) followCode(text []byte, vaddr uint64, starts []uint64) error {
	f := b.follower
	f.load(text, vaddr, starts)
	at := f.starts.next(0, f.size())
	if err := b.layout.span(vaddr, vaddr+uint64(at), Rule{CFA: CFAFramePointer}); err != nil {
		return err
	}
	for at < f.size() {
		if err := b.followFunction(at); err != nil {
			return err
		}
		at = f.starts.next(at+1, f.size())
	}
	return nil
}

// followAt follows the function that begins at an offset, from which its body may be some bytes away, and notes whether it returns. One of nothing but
// padding gives no spans.
func (f *follower) followAt(at uint32) (spans []stay, whole extent, proven bool) {
	from, end := f.body(at)
	f.known.set(at)
	if from == end {
		return nil, extent{}, true
	}
	spans, proven = f.follow(from, end, f.certain.has(at))
	if proven && f.rets {
		f.returns.set(at)
	}
	return spans, extent{f.vaddr + uint64(from), f.vaddr + uint64(end)}, proven
}

// learnReturns follows the functions of which the last that was followed leaves open whether they return; false when there are none. That one may
// be of the piece before.
func (f *follower) learnReturns() bool {
	f.open = f.open[:0]
	for _, d := range f.doubts {
		if at := d.callee - f.vaddr; at < uint64(f.size()) && !d.confirmed && f.starts.has(uint32(at)) && !f.known.has(uint32(at)) {
			f.open = append(f.open, uint32(at))
		}
	}
	learnt := false
	for _, at := range f.open {
		if !f.known.has(at) {
			f.followAt(at)
			learnt = true
		}
	}
	return learnt
}

// followFunction lays out the function that begins at an offset.
func (b *builder) followFunction(at uint32) error {
	f := b.follower
	spans, whole, proven := f.followAt(at)
	if f.learnReturns() {
		spans, whole, proven = f.followAt(at)
	}
	if !proven {
		return b.layout.span(whole.start, whole.end, Rule{CFA: CFAFramePointer})
	}
	for _, s := range spans {
		if r, ok := s.place.rule(); ok {
			if err := b.layout.span(f.vaddr+uint64(s.start), f.vaddr+uint64(s.end), r); err != nil {
				return err
			}
		}
	}
	return nil
}
