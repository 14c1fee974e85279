// SPDX-License-Identifier: Apache-2.0

package dwarf

import (
	"debug/dwarf"
	"slices"
)

const (
	maxScopes = 1 << 20 // functions and inlined calls of one unit
	maxDepth  = 1 << 12 // of entries in each other
	noScope   = -1
)

// functions are those of a unit, and the calls that were inlined into them.
type functions struct {
	unit    *unit
	scopes  []scope
	entries []uint64 // that have the names of scopes, or lead to them
	names   []*name  // of entries, as far as they were asked for
	grown   int      // bytes that names took since the cost was told
}

// scope is a function with code of its own, or a call that was inlined.
type scope struct {
	name               int32 // index of names
	parent             int32 // what it was inlined into; noScope for a function
	callFile, callLine uint32
}

func (f *functions) cost() int { return 128 + len(f.scopes)*16 + len(f.entries)*16 }

// name is the name of a scope's function.
func (f *functions) name(s *scope) (*name, error) {
	if n := f.names[s.name]; n != nil {
		return n, nil
	}
	return f.readName(s.name)
}

func (f *functions) readName(i int32) (*name, error) {
	n, err := f.unit.file.nameOf(f.entries[i])
	if err != nil {
		return nil, err
	}
	f.names[i] = n
	f.grown += nameCost + len(n.text)
	return n, nil
}

// functionReader walks the entries of a unit.
type functionReader struct {
	*scratch
	u       *unit
	c       *cursor
	abbrevs *abbrevs
	isCode  func(uint64) bool
	stack   []int32 // the scope around the entries of each level
	ranges  int
}

// scratch is memory for the tables of a unit while it is read.
type scratch struct {
	scopes   []scope
	entries  []uint64 // of scopes
	sorted   []uint64
	spans    []span
	segments []segment // of scopes
	lines    lineRows
	packer   packer
}

// readFunctions reads the functions of a unit and the calls that were inlined into them. Which addresses are theirs is left in the segments of
// the scratch.
func (u *unit) readFunctions(isCode func(uint64) bool) (*functions, error) {
	table, err := u.file.abbrevsOf(u)
	if err != nil {
		return nil, err
	}
	r := &functionReader{scratch: &u.file.scratch, u: u, c: u.file.stream(u.file.info), abbrevs: table, isCode: isCode}
	r.scopes, r.entries, r.spans = r.scopes[:0], r.entries[:0], r.spans[:0]
	r.c.seek(u.dies, u.end)
	if err := r.walk(); err != nil {
		return nil, err
	}
	r.segments = flatten(r.segments[:0], r.spans)
	return r.functions(), nil
}

// functions are what was read, with one name for all scopes of an entry.
func (r *functionReader) functions() *functions {
	r.sorted = append(r.sorted[:0], r.entries...)
	slices.Sort(r.sorted)
	f := &functions{unit: r.u, scopes: slices.Clone(r.scopes), entries: slices.Clone(slices.Compact(r.sorted))}
	f.names = make([]*name, len(f.entries))
	for i, entry := range r.entries {
		n, _ := slices.BinarySearch(f.entries, entry)
		f.scopes[i].name = int32(n)
	}
	return f
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
	s, named := scope{parent: noScope}, off
	if a.tag == dwarf.TagInlinedSubroutine {
		s.parent = around
		s.callFile, s.callLine = uint32(min(e.callFile.u, 1<<32-1)), uint32(min(e.callLine.u, 1<<32-1))
		if ref, ok := r.u.reference(e.origin); ok {
			named = ref
		}
	}
	return r.add(s, named, k, around), false
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

// add notes a scope, the entry that leads to its name, and its ranges. A scope without code that the linker kept gives way to the one around it.
func (r *functionReader) add(s scope, named uint64, k code, around int32) int32 {
	n := int32(len(r.scopes))
	kept := false
	count, err := r.u.each(k, func(lo, hi uint64) {
		if lo < hi && r.isCode(lo) {
			r.spans = append(r.spans, span{lo, hi, n})
			kept = true
		}
	})
	if r.ranges += count; err == nil && (r.ranges > maxRanges || len(r.scopes) == maxScopes) {
		err = r.c.s.badf(named, "more than %d ranges or %d functions", maxRanges, maxScopes)
	}
	if err != nil {
		r.c.fail(err)
	}
	if !kept {
		return around
	}
	r.scopes = append(r.scopes, s)
	r.entries = append(r.entries, named)
	return n
}
