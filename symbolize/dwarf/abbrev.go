// SPDX-License-Identifier: Apache-2.0

package dwarf

import (
	"debug/dwarf"
	"slices"
)

const (
	maxAbbrevs = 1 << 16 // of one table
	maxSpecs   = 1 << 20 // attributes of one table

	// Abbreviations and their attributes that are read in all, of tables that are kept and in search of those of root entries.
	maxTablesRead = 1 << 26
	maxRootsRead  = 1 << 24
)

// spec is an attribute of an abbreviation.
type spec struct {
	attr     dwarf.Attr
	form     form
	implicit int64
}

// step is what a walk does with an attribute of an entry, or with several that it has no use for.
type step struct {
	attr dwarf.Attr // 0: pass over the value
	form form       // 0: pass over skip bytes
	skip uint32
	impl int64
}

// role says what a walk for functions does with an entry.
type role uint8

const (
	roleNone     role = iota // only its children may matter
	roleLeaf                 // its children hold no code
	roleFunction             // a function, or a call that was inlined
)

// abbrev describes entries of one kind.
type abbrev struct {
	tag      dwarf.Tag
	role     role
	children bool
	specs    []spec
	steps    []step
}

// abbrevs is a table of abbreviations. Codes count from 1 without gaps in most files.
type abbrevs struct {
	dense  []abbrev
	sparse map[uint64]*abbrev
	cost   int
}

func (a *abbrevs) get(code uint64) *abbrev {
	if code-1 < uint64(len(a.dense)) {
		return &a.dense[code-1]
	}
	return a.sparse[code]
}

// readAbbrevs reads the table at an offset of .debug_abbrev.
func (f *file) readAbbrevs(off uint64, e encoding) (*abbrevs, error) {
	t := &abbrevs{}
	err := f.eachAbbrev(off, &f.tablesLeft, func(code uint64, a *abbrev) bool {
		t.cost += 128 + 64*len(a.specs)
		a.specs = slices.Clone(a.specs)
		a.plan(e)
		t.add(code, *a)
		return true
	})
	return t, err
}

// eachAbbrev calls visit for the abbreviations of a table until it says false; their specs are lent. Many units may share one table, so what is read in all has a
// bound, of which so much is left.
func (f *file) eachAbbrev(off uint64, left *int, visit func(code uint64, a *abbrev) bool) error {
	s, c := f.abbrev, f.cursor(f.abbrev)
	c.seek(off, s.size)
	specs := 0
	for n := 0; ; n++ {
		code := c.uleb()
		if code == 0 || c.err != nil {
			return c.err
		}
		a := abbrev{tag: dwarf.Tag(c.uleb()), children: c.u8() != 0, specs: f.specs[:0]}
		a.readSpecs(c)
		f.specs = a.specs
		if *left -= 1 + len(a.specs); *left < 0 {
			return errWork
		}
		if specs += len(a.specs); specs > maxSpecs || n > maxAbbrevs {
			return s.badf(off, "more than %d abbreviations", n)
		}
		if c.err != nil || !visit(code, &a) {
			return c.err
		}
	}
}

func (t *abbrevs) add(code uint64, a abbrev) {
	if code == uint64(len(t.dense))+1 {
		t.dense = append(t.dense, a)
		return
	}
	if t.sparse == nil {
		t.sparse = make(map[uint64]*abbrev)
	}
	if t.sparse[code] == nil {
		t.sparse[code] = &a
	}
}

func (a *abbrev) readSpecs(c *cursor) {
	for c.err == nil {
		attr, f := c.uleb(), c.uleb()
		if attr == 0 && f == 0 {
			return
		}
		if attr > 0xffff || f > 0xffff || len(a.specs) == maxAbbrevs {
			c.badf("attribute %#x of form %#x", attr, f)
			return
		}
		s := spec{attr: dwarf.Attr(attr), form: form(f)}
		if s.form == formImplicitConst {
			s.implicit = c.sleb()
		}
		a.specs = append(a.specs, s)
	}
}

// wanted are the attributes that a walk for functions reads, by role.
var wanted = map[role]map[dwarf.Attr]bool{
	roleLeaf: {dwarf.AttrSibling: true},
	roleFunction: {
		dwarf.AttrSibling: true, dwarf.AttrLowpc: true, dwarf.AttrHighpc: true, dwarf.AttrRanges: true,
		dwarf.AttrDeclaration: true, dwarf.AttrAbstractOrigin: true, dwarf.AttrCallFile: true, dwarf.AttrCallLine: true,
	},
}

const (
	tagCallSite    dwarf.Tag = 0x48   // DW_TAG_call_site
	tagGNUCallSite dwarf.Tag = 0x4109 // DW_TAG_GNU_call_site
)

// plan works out how a walk reads entries of this kind.
func (a *abbrev) plan(e encoding) {
	switch a.tag {
	case dwarf.TagSubprogram, dwarf.TagInlinedSubroutine:
		a.role = roleFunction
	case dwarf.TagEnumerationType, dwarf.TagArrayType, dwarf.TagSubroutineType, dwarf.TagVariable, dwarf.TagFormalParameter,
		tagCallSite, tagGNUCallSite:
		a.role = roleLeaf
	}
	a.steps = make([]step, 0, len(a.specs))
	for _, s := range a.specs {
		n, fixed := e.size(s.form)
		switch {
		case wanted[a.role][s.attr]:
			a.steps = append(a.steps, step{attr: s.attr, form: s.form, impl: s.implicit})
		case !fixed:
			a.steps = append(a.steps, step{form: s.form})
		case n == 0:
		case len(a.steps) > 0 && a.steps[len(a.steps)-1].passes():
			a.steps[len(a.steps)-1].skip += uint32(n)
		default:
			a.steps = append(a.steps, step{skip: uint32(n)})
		}
	}
}

// passes says whether a step passes over a known number of bytes.
func (s *step) passes() bool { return s.attr == 0 && s.form == 0 }

// pass reads an entry of which nothing is wanted.
func (c *cursor) pass(a *abbrev, e encoding) {
	for i := range a.steps {
		if s := &a.steps[i]; s.form == 0 {
			c.skip(uint64(s.skip))
		} else {
			c.skipForm(s.form, e)
		}
	}
}
