// SPDX-License-Identifier: Apache-2.0

package unwind

// place is how the stack looks before an instruction. Distances are in bytes below the CFA.
type place struct {
	sp    int64
	fp    int64 // where RBP points to when it is framed
	saved int64 // where the RBP of the caller lies; 0 when it was not saved
	is    traits
	doubt int32 // number of the doubt whether it is right, 0 for none
}

// traits are what else is known of a place.
type traits uint32

const (
	framed  traits = 1 << iota // RBP points into the frame
	spLost                     // moved by a number that the instructions don't tell
	clobber                    // RBP has another value, and was not saved
	ended                      // the ABI's mark of the outermost frame: RBP is 0
)

var atEntry = place{sp: word}

// rule is the rule of a place; ok is false when it has none.
func (p *place) rule() (r Rule, ok bool) {
	switch {
	case p.doubt != 0:
		return Rule{CFA: CFAFramePointer}, true
	case p.is&ended != 0:
		return Rule{CFA: CFAEnd}, true
	}
	r = Rule{RA: RAAtCFA}
	from, distance := CFASP, p.sp
	switch {
	case p.is&framed != 0:
		from, distance = CFAFP, p.fp
	case p.is&spLost != 0:
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
	case p.is&clobber != 0:
		r.FP = FPUndefined
	}
	return r, ok
}

// fits says whether two places are the same but for their doubts, and for what may be in RBP.
func (p *place) fits(other *place) bool {
	return p.sp == other.sp && p.fp == other.fp && p.saved == other.saved && (p.is^other.is)&^clobber == 0
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
		p.is |= spLost
	case spFromFP:
		p.sp = p.fp - arg
		p.is &^= spLost
		return p.is&framed != 0
	case spUnknown:
		return false
	case leave:
		ok := p.is&framed != 0 && p.saved == p.fp
		*p = place{sp: p.fp - word, is: p.is & ended, doubt: p.doubt}
		return ok
	default:
		p.stepFP(i.kind, arg)
	}
	return true
}

// stepFP runs an instruction about the frame pointer: it saves it, sets it to the frame, reads it back, or sets it to something else.
func (p *place) stepFP(k kind, arg int64) {
	callers := p.saved == 0 && p.is&(framed|clobber) == 0
	switch {
	case k == pushFP:
		p.sp += word
		if callers {
			p.saved = p.sp
		}
	case k == popFP:
		p.popFP()
	case k == saveFP:
		if callers && p.is&spLost == 0 && p.sp-arg > 0 {
			p.saved = p.sp - arg
		}
	case k == fpFromSP && p.saved != 0 && p.is&spLost == 0:
		p.fp = p.sp - arg
		p.is |= framed
	case k == loadFP && p.saved != 0 && p.is&spLost == 0 && p.sp-arg == p.saved:
		p.saved = 0
		p.is &^= framed
	default:
		p.loseFP()
	}
}

// zeroFP sets the frame pointer to 0: in a thread that the kernel has just begun that marks the end of its stack.
func (p *place) zeroFP(begun bool) {
	if begun && p.atEntry() {
		p.is |= ended
		return
	}
	p.stepFP(zeroFP, 0)
}

// atEntry says whether the stack pointer is as at the entry of a function.
func (p *place) atEntry() bool { return p.sp == word && p.is&(spLost|framed) == 0 }

func (p *place) popFP() {
	if p.saved == p.sp && p.is&spLost == 0 {
		p.saved = 0
		p.is &^= framed | clobber
	} else {
		p.loseFP()
	}
	p.sp -= word
}

// loseFP is where RBP gets another value.
func (p *place) loseFP() {
	p.is &^= framed | clobber
	if p.saved == 0 {
		p.is |= clobber
	}
}
