// SPDX-License-Identifier: Apache-2.0

package unwind

import (
	"errors"
	"fmt"
	"io"
	"math"
)

// A section of call frame information is a sequence of entries: CIEs (common information entries) hold what many functions share,
// FDEs (frame description entries) describe the code of a function each and name their CIE.

const (
	maxCIEs       = 1024    // kept at a time
	maxInitial    = 1024    // bytes of instructions in a CIE
	maxSteps      = 1 << 27 // entries and instructions of one file: about a second
	maxMalformed  = 1000    // entries; after that many the section isn't what it says
	maxHeader     = 20      // bytes of length and id of an entry
	ehRelative    = 0x10    // DW_EH_PE_pcrel
	ehIndirect    = 0x80    // DW_EH_PE_indirect
	ehOmit        = 0xff    // DW_EH_PE_omit
	ehApplication = 0x70    // bits that say what a pointer counts from
	ehFormat      = 0x0f    // bits that say how it is written
)

var (
	errMalformed = errors.New("malformed")
	errEnd       = errors.New("end of the entries")
	errTooMuch   = errors.New("call frame information takes too long")
)

// frames reads the entries of a section.
type frames struct {
	data  *stretch
	debug bool // .debug_frame, not .eh_frame
	mach  *machine
	cies  map[uint64]*cie
	steps int

	lastCIE *cie
}

// entry is where a CIE or FDE lies in the section.
type entry struct {
	body, next uint64 // of what follows the id, and of the next entry
	idAt       uint64
	id         uint64
	wide       bool // the 64-bit form of DWARF
	short      bool // too short to be anything
}

// cie is what the functions of a CIE share.
type cie struct {
	off               uint64
	codeAlign         uint64
	dataAlign         int64
	pointers, lsda    byte // encodings; lsda is ehOmit where there is none
	augmented, signal bool
	otherRA           bool // the return address is in a register of its own
	version           byte
	initial           state // after the initial instructions
}

// fde is a function.
type fde struct {
	cie          *cie
	start, size  uint64 // vaddr and bytes of code
	instructions []byte // valid until the next read
}

// step counts work.
func (f *frames) step() error {
	if f.steps++; f.steps > maxSteps {
		return errTooMuch
	}
	return nil
}

// entry reads the header of the entry at off. errEnd is the end; after errMalformed nothing that follows can be found.
func (f *frames) entry(off uint64) (entry, error) {
	if off >= f.data.size {
		return entry{}, errEnd
	}
	b, err := f.data.bytes(off, min(maxHeader, f.data.size-off))
	if err != nil {
		return entry{}, err
	}
	c := cursor{b: b}
	length, idSize := c.number(4), uint64(4)
	e := entry{idAt: off + 4}
	if length == math.MaxUint32 {
		e.wide, e.idAt, length = true, off+12, c.number(8)
		if f.debug {
			idSize = 8
		}
	}
	if length == 0 && !f.debug {
		return entry{}, errEnd // the terminator
	}
	if c.bad || length > f.data.size-e.idAt {
		return entry{}, errMalformed
	}
	e.next, e.body = e.idAt+length, e.idAt+idSize
	e.id = c.number(idSize)
	if length < idSize || c.bad {
		e.short = true
	}
	return e, nil
}

// isCIE says what an entry is.
func (f *frames) isCIE(e entry) bool {
	switch {
	case !f.debug:
		return e.id == 0
	case e.wide:
		return e.id == math.MaxUint64
	}
	return e.id == math.MaxUint32
}

// cieOf gives the CIE that an FDE names: by its distance from the id, or in .debug_frame by its offset.
func (f *frames) cieOf(e entry) (*cie, error) {
	off := e.id
	if !f.debug {
		off = e.idAt - e.id
	}
	if f.lastCIE != nil && f.lastCIE.off == off {
		return f.lastCIE, nil
	}
	c, ok := f.cies[off]
	if !ok {
		var err error
		if c, err = f.readCIE(off); err != nil {
			return nil, err
		}
		if len(f.cies) == maxCIEs {
			clear(f.cies)
		}
		f.cies[off] = c
	}
	f.lastCIE = c
	return c, nil
}

func (f *frames) readCIE(off uint64) (*cie, error) {
	e, err := f.entry(off)
	if errors.Is(err, errEnd) {
		return nil, errMalformed
	}
	if err != nil {
		return nil, err
	}
	if e.short || !f.isCIE(e) || e.next-e.body > maxInitial {
		return nil, errMalformed
	}
	b, err := f.data.bytes(e.body, e.next-e.body)
	if err != nil {
		return nil, err
	}
	c := &cie{off: off, lsda: ehOmit}
	in := cursor{b: b}
	if err := f.parseCIE(c, &in); err != nil {
		return nil, err
	}
	p := program{frames: f, cie: c, state: f.mach.initial()}
	if err := p.run(in.b, nil); err != nil {
		return nil, err
	}
	c.initial = p.state
	return c, nil
}

// parseCIE reads the fields up to the instructions.
func (f *frames) parseCIE(c *cie, in *cursor) error {
	c.version = in.byte()
	augmentation := string(in.cstring())
	switch c.version {
	case 1, 3:
	case 4:
		if in.byte() != 8 || in.byte() != 0 { // sizes of an address and of a segment selector
			return errMalformed
		}
	default:
		return errMalformed
	}
	c.codeAlign, c.dataAlign = in.uleb(), in.sleb()
	ra := uint64(0)
	if c.version == 1 {
		ra = uint64(in.byte())
	} else {
		ra = in.uleb()
	}
	if in.bad {
		return errMalformed
	}
	c.otherRA = ra != f.mach.ra
	return c.augment(augmentation, in)
}

// augment reads what the letters of the augmentation announce. After a letter that we don't know nothing is sure but where the
// instructions begin.
func (c *cie) augment(letters string, in *cursor) error {
	if letters == "" {
		return nil
	}
	if letters[0] != 'z' {
		return errMalformed
	}
	c.augmented = true
	data := cursor{b: in.take(in.uleb())}
	for _, letter := range letters[1:] {
		switch letter {
		case 'L':
			c.lsda = data.byte()
		case 'R':
			c.pointers = data.byte()
		case 'P':
			encoding := data.byte()
			data.take(pointerSize(encoding, &data))
		case 'S':
			c.signal = true
		case 'B', 'G': // arm64: pointers signed by key B, tagged memory
		default:
			return fmt.Errorf("%w: augmentation %q", errMalformed, letters)
		}
	}
	if in.bad || data.bad {
		return errMalformed
	}
	return nil
}

// pointerSize gives how many bytes an encoded pointer takes; for a LEB128 number it reads it, and 0 remain.
func pointerSize(encoding byte, c *cursor) uint64 {
	switch encoding & ehFormat {
	case 0, 4, 12:
		return 8
	case 2, 10:
		return 2
	case 3, 11:
		return 4
	case 1, 9:
		c.uleb() // as many bytes as a signed one
	default:
		c.bad = true
	}
	return 0
}

// pointer reads an encoded pointer that lies at vaddr. Bases that only a running process has are refused.
func pointer(encoding byte, c *cursor, vaddr uint64) uint64 {
	var v uint64
	switch encoding & ehFormat {
	case 0, 4, 12:
		v = c.number(8)
	case 1:
		v = c.uleb()
	case 2:
		v = c.number(2)
	case 3:
		v = c.number(4)
	case 9:
		v = uint64(c.sleb())
	case 10:
		v = uint64(int16(c.number(2)))
	case 11:
		v = uint64(int32(c.number(4)))
	default:
		c.bad = true
	}
	switch encoding & (ehApplication | ehIndirect) {
	case 0:
	case ehRelative:
		v += vaddr
	default:
		c.bad = true
	}
	return v
}

// fde reads the FDE of an entry: with its instructions, or of these none.
func (f *frames) fde(e entry, whole bool) (fde, error) {
	c, err := f.cieOf(e)
	if err != nil {
		return fde{}, err
	}
	size := e.next - e.body
	if !whole {
		size = min(size, 24) // the longest two pointers, and a segment
	}
	b, err := f.data.bytes(e.body, size)
	if err != nil {
		if errors.Is(err, io.ErrUnexpectedEOF) {
			err = errMalformed
		}
		return fde{}, err
	}
	in := cursor{b: b}
	d := fde{cie: c}
	d.start = pointer(c.pointers, &in, f.data.vaddr+e.body)
	d.size = pointer(c.pointers&ehFormat, &in, 0)
	if in.bad {
		return fde{}, errMalformed
	}
	if whole && c.augmented {
		in.take(in.uleb())
	}
	if in.bad {
		return fde{}, errMalformed
	}
	d.instructions = in.b
	return d, nil
}
