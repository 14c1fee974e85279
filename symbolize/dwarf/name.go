// SPDX-License-Identifier: Apache-2.0

package dwarf

import "debug/dwarf"

// maxHops bounds the way from an entry to its name: an inlined call leads to an abstract function, that to a declaration.
const maxHops = 16

// name is what a function is called.
type name struct {
	linkage string // as the linker knows it; "" in C
	plain   string // as the source has it, without what is around it
	line    int64  // at which the function is declared
}

// nameKey is the entry of a function.
type nameKey struct {
	file  uint32
	entry uint64
}

const nameCost = 96 // bytes of a name in the cache, beside its strings

// nameOf finds the name of the function that an entry stands for.
func (f *file) nameOf(entry uint64) (*name, error) {
	if n, ok := f.names.get(nameKey{f.id, entry}); ok {
		return n, nil
	}
	n, err := f.followName(entry)
	if err != nil {
		return nil, err
	}
	f.names.put(nameKey{f.id, entry}, &n, nameCost+len(n.linkage)+len(n.plain))
	return &n, nil
}

func (f *file) followName(entry uint64) (n name, err error) {
	for range maxHops {
		if entry&refAlt != 0 {
			if f, err = f.alternate(); err != nil {
				return n, err
			}
			entry &^= refAlt
		}
		next, more, err := f.readName(entry, &n)
		if err != nil || !more || n.linkage != "" && n.line != 0 {
			return n, err
		}
		entry = next
	}
	return n, f.info.badf(entry, "name more than %d entries away", maxHops)
}

// readName adds to n what an entry says, and gives the entry that it leads to.
func (f *file) readName(entry uint64, n *name) (next uint64, more bool, err error) {
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
	var origin, linkage, plain value
	for _, s := range a.specs {
		v := c.read(s.form, s.implicit, u.encoding)
		switch s.attr {
		case dwarf.AttrName:
			plain = v
		case dwarf.AttrLinkageName, attrMIPSLinkageName:
			linkage = v
		case dwarf.AttrDeclLine:
			if n.line == 0 {
				n.line = int64(min(v.u, 1<<32))
			}
		case dwarf.AttrAbstractOrigin, dwarf.AttrSpecification:
			origin = v
		}
	}
	if c.err != nil {
		return 0, false, c.err
	}
	next, more = u.reference(origin)
	return next, more, u.setName(n, linkage, plain)
}

func (u *unit) setName(n *name, linkage, plain value) (err error) {
	if n.linkage == "" {
		if n.linkage, err = u.string(linkage); err != nil {
			return err
		}
	}
	if n.plain == "" {
		n.plain, err = u.string(plain)
	}
	return err
}
