// SPDX-License-Identifier: Apache-2.0

package dwarf

import (
	"cmp"
	"debug/dwarf"
	"slices"
)

const (
	maxScopes = 1 << 20 // functions and inlined calls of one unit
	maxDepth  = 1 << 12 // of entries in each other
	noScope   = -1
)

// functions says for each address of a unit which function it belongs to, and which call that was inlined into that.
type functions struct {
	unit   *unit
	scopes []scope
	names  []*name // of the scopes, as far as they were asked for
	// Segment i has the addresses from starts[i] to starts[i+1]; owners[i] is its innermost scope.
	starts []uint64
	owners []int32
	last   int // hint of where to look next
}

// scope is a function with code of its own, or a call that was inlined.
type scope struct {
	entry              uint64 // offset of the entry that has the name, or leads to it
	parent             int32  // what it was inlined into; noScope for a function
	callFile, callLine uint32
}

func (f *functions) cost() int { return 128 + len(f.scopes)*32 + len(f.starts)*12 }

// find is the innermost scope of an address.
func (f *functions) find(pc uint64) int32 {
	f.last = after(len(f.starts), f.last, func(i int) bool { return f.starts[i] > pc })
	if f.last == 0 {
		return noScope
	}
	return f.owners[f.last-1]
}

// name is the name of a scope's function.
func (f *functions) name(n int32) (*name, error) {
	if f.names == nil {
		f.names = make([]*name, len(f.scopes))
	}
	if f.names[n] == nil {
		found, err := f.unit.file.nameOf(f.scopes[n].entry)
		if err != nil {
			return nil, err
		}
		f.names[n] = found
	}
	return f.names[n], nil
}

// span is a range of addresses that belongs to a scope.
type span struct {
	lo, hi uint64
	scope  int32
}

// functionReader walks the entries of a unit.
type functionReader struct {
	u       *unit
	c       *cursor
	abbrevs *abbrevs
	isCode  func(uint64) bool
	scopes  []scope
	spans   []span
	stack   []int32 // the scope around the entries of each level
	ranges  int
}

// readFunctions reads the functions of a unit and the calls that were inlined into them.
func (u *unit) readFunctions(isCode func(uint64) bool) (*functions, error) {
	table, err := u.file.abbrevsOf(u)
	if err != nil {
		return nil, err
	}
	r := &functionReader{u: u, c: u.file.stream(u.file.info), abbrevs: table, isCode: isCode}
	r.c.seek(u.dies, u.end)
	if err := r.walk(); err != nil {
		return nil, err
	}
	f := &functions{unit: u, scopes: slices.Clip(r.scopes)}
	f.flatten(r.spans)
	return f, nil
}

func (r *functionReader) walk() error {
	current := int32(noScope)
	for r.c.err == nil && r.c.left() > 0 {
		off := r.c.off()
		number := r.c.uleb()
		if number == 0 {
			if len(r.stack) <= 1 {
				break
			}
			r.stack = r.stack[:len(r.stack)-1]
			current = r.stack[len(r.stack)-1]
			continue
		}
		a := r.abbrevs.get(number)
		if a == nil {
			r.c.fail(r.c.s.badf(off, "no abbreviation %d", number))
			break
		}
		inside, skip := r.entry(a, off, current)
		if !a.children || skip {
			continue
		}
		if len(r.stack) == maxDepth {
			r.c.badf("entries more than %d deep", maxDepth)
		}
		r.stack = append(r.stack, inside)
		current = inside
	}
	return r.c.err
}

// entry reads an entry; its children lie inside a scope, or were passed over.
func (r *functionReader) entry(a *abbrev, off uint64, around int32) (inside int32, skip bool) {
	if a.role == roleNone {
		r.c.pass(a, r.u.encoding)
		return around, false
	}
	e := r.attributes(a)
	if a.role == roleLeaf {
		return around, r.skipTo(e.sibling)
	}
	k := code{e.low, e.high, e.ranges}
	if !k.ranges.present() && !k.high.present() {
		// An abstract function may hold a class of which functions have code, as gcc does for lambdas.
		return around, e.declaration && r.skipTo(e.sibling)
	}
	s := scope{entry: off, parent: noScope}
	if a.tag == dwarf.TagInlinedSubroutine {
		s.parent = around
		s.callFile, s.callLine = uint32(min(e.callFile.u, 1<<32-1)), uint32(min(e.callLine.u, 1<<32-1))
		if ref, ok := r.u.reference(e.origin); ok {
			s.entry = ref
		}
	}
	return r.add(s, k, around), false
}

// entryValues are the attributes of an entry that matter here.
type entryValues struct {
	low, high, ranges, origin, callFile, callLine, sibling value
	declaration                                            bool
}

func (r *functionReader) attributes(a *abbrev) (e entryValues) {
	for i := range a.steps {
		s := &a.steps[i]
		if s.passes() {
			r.c.skip(uint64(s.skip))
			continue
		}
		if s.attr == 0 {
			r.c.skipForm(s.form, r.u.encoding)
			continue
		}
		e.set(s.attr, r.c.read(s.form, s.impl, r.u.encoding))
	}
	return e
}

func (e *entryValues) set(attr dwarf.Attr, v value) {
	switch attr {
	case dwarf.AttrLowpc:
		e.low = v
	case dwarf.AttrHighpc:
		e.high = v
	case dwarf.AttrRanges:
		e.ranges = v
	case dwarf.AttrAbstractOrigin:
		e.origin = v
	case dwarf.AttrCallFile:
		e.callFile = v
	case dwarf.AttrCallLine:
		e.callLine = v
	case dwarf.AttrSibling:
		e.sibling = v
	case dwarf.AttrDeclaration:
		e.declaration = true
	}
}

// skipTo moves to the entry that a sibling attribute refers to, if it lies ahead.
func (r *functionReader) skipTo(sibling value) bool {
	to, ok := r.u.reference(sibling)
	if !ok || to <= r.c.off() || to > r.u.end {
		return false
	}
	r.c.skip(to - r.c.off())
	return true
}

// add notes a scope and its ranges. A scope without code that the linker kept gives way to the one around it.
func (r *functionReader) add(s scope, k code, around int32) int32 {
	n := int32(len(r.scopes))
	kept := false
	count, err := r.u.each(k, func(lo, hi uint64) {
		if lo < hi && r.isCode(lo) {
			r.spans = append(r.spans, span{lo, hi, n})
			kept = true
		}
	})
	if r.ranges += count; err == nil && (r.ranges > maxRanges || len(r.scopes) == maxScopes) {
		err = r.c.s.badf(s.entry, "more than %d ranges or %d functions", maxRanges, maxScopes)
	}
	if err != nil {
		r.c.fail(err)
	}
	if !kept {
		return around
	}
	r.scopes = append(r.scopes, s)
	return n
}

// flatten cuts spans that lie in each other into segments that don't. Where two overlap the one that begins later wins, and of two
// equal ones the inner, which has the higher number.
func (f *functions) flatten(spans []span) {
	slices.SortFunc(spans, func(a, b span) int {
		return cmp.Or(cmp.Compare(a.lo, b.lo), cmp.Compare(b.hi, a.hi), cmp.Compare(a.scope, b.scope))
	})
	var open []span
	closeUntil := func(addr uint64) {
		for len(open) > 0 && open[len(open)-1].hi <= addr {
			at := open[len(open)-1].hi
			for len(open) > 0 && open[len(open)-1].hi <= at {
				open = open[:len(open)-1]
			}
			owner := int32(noScope)
			if len(open) > 0 {
				owner = open[len(open)-1].scope
			}
			f.segment(at, owner)
		}
	}
	for _, s := range spans {
		closeUntil(s.lo)
		f.segment(s.lo, s.scope)
		open = append(open, s)
	}
	closeUntil(^uint64(0))
}

func (f *functions) segment(start uint64, owner int32) {
	if n := len(f.starts); n > 0 && f.starts[n-1] == start {
		f.owners[n-1] = owner
		return
	}
	f.starts = append(f.starts, start)
	f.owners = append(f.owners, owner)
}
