// SPDX-License-Identifier: Apache-2.0

package dwarf

import (
	"errors"
	"fmt"
)

// ErrNoSplit says that the functions of a unit lie in a file of their own, which isn't there.
var ErrNoSplit = errors.New("the split debug information is missing")

// splitCost is what a file of a split unit costs at most, beside the tables: pages of its sections.
const splitCost = 1 << 20

// split finds the unit whose skeleton u is, in the package file or else in a file of its own. The caller closes its file.
func (d *Data) split(u *unit) (*unit, error) {
	name, err := u.string(u.dwoName)
	if err != nil {
		return nil, err
	}
	dir, err := u.string(u.dir)
	if err != nil {
		return nil, err
	}
	f, err := d.splitFile(dir, name, u.dwoID)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	f.addr, f.ranges = u.file.addr, u.file.ranges
	if err := f.readUnits(allUnits); err != nil {
		return nil, errors.Join(err, f.close())
	}
	for _, s := range f.units {
		if s.dwoID == u.dwoID {
			s.addrBase, s.low = u.addrBase, u.low
			if s.version < 5 {
				s.rBase = u.rBase
			}
			return s, nil
		}
	}
	return nil, errors.Join(fmt.Errorf("%s: %w: another ID", name, ErrNoSplit), f.close())
}

func (d *Data) splitFile(dir, name string, id uint64) (*file, error) {
	if f, err := d.packaged(id); f != nil || err != nil {
		return f, err
	}
	if d.opts.Split == nil {
		return nil, ErrNoSplit
	}
	image, err := d.opts.Split(dir, name)
	if err != nil {
		return nil, errors.Join(ErrNoSplit, err)
	}
	f, err := d.openFile(image.File, image.Closer, ".dwo")
	if err != nil {
		return nil, errors.Join(err, image.Close())
	}
	return f, nil
}

// packageFile is an open .dwp file.
type packageFile struct {
	*file
	index *unitIndex
}

// packaged gives the parts of the package file that belong to a unit; nil when there is none or it lacks the unit.
func (d *Data) packaged(id uint64) (*file, error) {
	if d.opts.Package == nil {
		return nil, nil
	}
	if !d.packageTried {
		d.packageTried = true
		d.pack, d.packErr = d.openPackage()
	}
	if d.pack == nil || d.packErr != nil {
		return nil, d.packErr
	}
	parts, err := d.pack.index.find(id)
	if err != nil || parts == nil {
		return nil, err
	}
	f := d.newFile(d.pack.elf, nil)
	f.split = true
	whole := d.pack.sections()
	for name, to := range f.sections() {
		*to = *whole[name]
		if p, ok := parts[name]; ok {
			if *to, err = (*whole[name]).slice(p.off, p.size); err != nil {
				return nil, err
			}
		}
	}
	return f, nil
}

func (d *Data) openPackage() (*packageFile, error) {
	image, err := d.opts.Package()
	if err != nil || image.File == nil {
		return nil, err
	}
	f, err := d.openFile(image.File, image.Closer, ".dwo")
	if err != nil {
		return nil, errors.Join(err, image.Close())
	}
	s, err := f.openSection(".debug_cu_index")
	if err != nil {
		return nil, errors.Join(err, f.close())
	}
	index, err := openIndex(s)
	if err != nil {
		return nil, errors.Join(err, f.close())
	}
	return &packageFile{f, index}, nil
}
