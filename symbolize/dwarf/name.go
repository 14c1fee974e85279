// SPDX-License-Identifier: Apache-2.0

package dwarf

import "debug/dwarf"

// maxHops bounds the way from an entry to its name: an inlined call leads to an abstract function, that to a declaration.
const maxHops = 16

// name is what a function is called.
type name struct {
	text string // as the linker knows it, in C as the source has it
	line int64  // at which the function is declared
}

const nameCost = 56 // bytes of a name, beside its text

// nameReader collects what the entries on the way to a name say.
type nameReader struct {
	linkage, plain text
	line           int64
}

// text is a string of an attribute, not read yet.
type text struct {
	u *unit
	v value
}

func (t text) read() (string, error) {
	if t.u == nil {
		return "", nil
	}
	return t.u.string(t.v)
}

// nameOf finds the name of the function that an entry stands for.
func (f *file) nameOf(entry uint64) (*name, error) {
	var r nameReader
	if err := r.follow(f, entry); err != nil {
		return nil, err
	}
	n := &name{line: r.line}
	var err error
	if n.text, err = r.linkage.read(); err == nil && n.text == "" {
		n.text, err = r.plain.read()
	}
	return n, err
}

func (r *nameReader) follow(f *file, entry uint64) (err error) {
	for range maxHops {
		if entry&refAlt != 0 {
			if f, err = f.alternate(); err != nil {
				return err
			}
			entry &^= refAlt
		}
		next, more, err := r.entry(f, entry)
		if err != nil || !more || r.linkage.u != nil && r.line != 0 {
			return err
		}
		entry = next
	}
	return f.info.badf(entry, "name more than %d entries away", maxHops)
}

// entry takes what an entry says, and gives the one that it leads to.
func (r *nameReader) entry(f *file, entry uint64) (next uint64, more bool, err error) {
	u, err := f.unitAt(entry)
	if err != nil {
		return 0, false, err
	}
	if u == nil {
		return 0, false, f.info.badf(entry, "entry in no unit")
	}
	table, err := f.abbrevsOf(u)
	if err != nil {
		return 0, false, err
	}
	c := f.cursor(f.info)
	c.seek(entry, u.end)
	a := table.get(c.uleb())
	if a == nil {
		return 0, false, f.info.badf(entry, "no abbreviation")
	}
	var origin value
	for _, s := range a.specs {
		v := c.read(s.form, s.implicit, u.encoding)
		switch s.attr {
		case dwarf.AttrName:
			r.plain.set(u, v)
		case dwarf.AttrLinkageName, attrMIPSLinkageName:
			r.linkage.set(u, v)
		case dwarf.AttrDeclLine:
			if r.line == 0 {
				r.line = int64(min(v.u, 1<<32))
			}
		case dwarf.AttrAbstractOrigin, dwarf.AttrSpecification:
			origin = v
		}
	}
	next, more = u.reference(origin)
	return next, more, c.err
}

// set keeps the first string.
func (t *text) set(u *unit, v value) {
	if t.u == nil {
		*t = text{u, v}
	}
}
