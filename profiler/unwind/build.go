// SPDX-License-Identifier: Apache-2.0

package unwind

import (
	"cmp"
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"

	"github.com/assaylab/assay/internal/elfx"
)

const (
	maxFrames       = 256 << 20 // bytes of call frame information
	maxFDEs         = 1 << 21
	usualFDE        = 32 // bytes
	defaultMaxBytes = 32 << 20
)

// Options bounds a table.
type Options struct {
	MaxBytes int // of rows; 0 means 32 MiB, eight million rows
}

func (o Options) maxRows() int {
	if o.MaxBytes == 0 {
		return defaultMaxBytes / RowSize
	}
	return o.MaxBytes / RowSize
}

// Build makes the table of an ELF file of size bytes, for x86-64 or arm64. It reads the file in pieces, some of them twice, and
// never all of it. A file without call frame information gives a table without pages. ErrTooLarge says that the table would
// have more rows than the options allow; other errors, that the file is no ELF file, not one of those machines, or can't be read.
func Build(r io.ReaderAt, size int64, options Options) (*Table, error) {
	f, err := elfx.Open(r, size)
	if err != nil {
		return nil, err
	}
	b := &builder{file: f}
	defer b.leave()
	switch f.Machine() {
	case elf.EM_X86_64:
		b.mach = amd64
	case elf.EM_AARCH64:
		b.mach = arm64
	default:
		return nil, fmt.Errorf("no unwind tables for machine %v", f.Machine())
	}
	if err := b.build(options.maxRows()); err != nil {
		return nil, fmt.Errorf("unwind table: %w", err)
	}
	return b.table, nil
}

// extent is a stretch of addresses.
type extent struct{ start, end uint64 }

// builder makes a table in two passes: the first finds the functions and sorts them, the second runs their instructions.
type builder struct {
	file              *elfx.File
	mach              *machine
	code              []extent // executable segments
	low               uint64   // lowest vaddr of code
	frames            *frames
	table             *Table
	layout            *layout
	golang            bool // the Go tool chain made the file
	goTable           *goTable
	known             []known  // sorted
	text              *stretch // the file
	guessed, followed uint64   // bytes of code that were looked at
	starts            []uint32 // functions by symbol, from low on
	follower          *follower
	functions         []extent // by symbol, for followLeaves
	functionsKnown    bool
	run               program
	index             []uint64 // functions: vaddr - low in the upper half, offset of the entry in the lower
}

// leave gives what was used to others.
func (b *builder) leave() {
	b.text.leave()
	if b.frames != nil {
		b.frames.data.leave()
	}
	if b.follower != nil {
		b.follower.leave()
	}
}

func (b *builder) build(maxRows int) error {
	b.table = &Table{Machine: b.mach.elf, Stats: Stats{Unsupported: map[Reason]int{}}}
	if !b.findCode() {
		return nil
	}
	b.layout = newLayout(b.table, maxRows)
	if b.golang = isGo(b.file); b.golang {
		b.goTable = openGo(b.file, b.mach)
	}
	data, debug, err := findFrames(b.file)
	if err != nil {
		return err
	}
	if data != nil && !(debug && b.golang) { // what Go says itself is better
		if data.size > maxFrames {
			return ErrTooLarge
		}
		b.index = make([]uint64, 0, min(data.size/usualFDE+1, maxFDEs))
		b.frames = &frames{data: data, debug: debug, mach: b.mach, cies: make(map[uint64]*cie)}
		if err := b.findFunctions(); err != nil {
			return err
		}
	}
	slices.Sort(b.index)
	b.text = &stretch{readAt: b.file.ReadAt, size: uint64(b.file.Size())}
	b.findKnown()
	b.sortKnown()
	if err := b.runAll(); err != nil {
		return err
	}
	err = b.layout.finish()
	b.table.count()
	return err
}

// findCode finds the executable segments, sorted; false when there are none. Of segments that overlap, which no linker makes, and
// of those too far from the first, only a part counts.
func (b *builder) findCode() bool {
	for _, l := range b.file.Loads() {
		if size := uint64(b.file.Size()); l.Executable() && l.Filesz > 0 && l.Off < size {
			b.code = append(b.code, extent{l.Vaddr, l.Vaddr + min(l.Filesz, size-l.Off)})
		}
	}
	if len(b.code) == 0 {
		return false
	}
	slices.SortFunc(b.code, func(x, y extent) int { return cmp.Compare(x.start, y.start) })
	b.low = b.code[0].start
	b.table.Base = b.low &^ (pageSize - 1)
	last := b.table.Base
	for i := range b.code {
		c := &b.code[i]
		c.start = max(c.start, last)
		c.end = max(c.start, min(c.end, b.table.Base+maxPages<<pageBits))
		last = c.end
	}
	return true
}

// inCode gives how many bytes of code from vaddr on the file holds.
func (b *builder) inCode(vaddr uint64) uint64 {
	for _, c := range b.code {
		if vaddr >= c.start && vaddr < c.end {
			return c.end - vaddr
		}
	}
	return 0
}

// findFunctions fills the index.
func (b *builder) findFunctions() error {
	for off := uint64(0); ; {
		if err := b.frames.step(); err != nil {
			return err
		}
		e, err := b.frames.entry(off)
		switch {
		case errors.Is(err, errEnd):
			return nil
		case errors.Is(err, errMalformed): // nobody knows where the next one begins
			return b.malformed()
		case err != nil:
			return err
		}
		if e.short {
			err = b.malformed()
		} else if !b.frames.isCIE(e) {
			err = b.findFunction(off, e)
		}
		if err != nil {
			return err
		}
		off = e.next
	}
}

// malformed counts an entry that can't be read. Too many are an error: the section isn't what it says.
func (b *builder) malformed() error {
	if b.table.Stats.Malformed++; b.table.Stats.Malformed > maxMalformed {
		return fmt.Errorf("%w call frame information: more than %d entries", errMalformed, maxMalformed)
	}
	return nil
}

// findFunction adds one FDE to the index. Those of code that the linker threw away have no size, or an address outside of the code.
func (b *builder) findFunction(off uint64, e entry) error {
	d, err := b.frames.fde(e, false)
	switch {
	case errors.Is(err, errMalformed) || errors.Is(err, errInstruction):
		return b.malformed()
	case err != nil:
		return err
	}
	if d.size == 0 || b.inCode(d.start) == 0 {
		return nil
	}
	if len(b.index) == maxFDEs || off > math.MaxUint32 {
		return ErrTooLarge
	}
	b.index = append(b.index, (d.start-b.low)<<32|off)
	return nil
}

// runAll runs the instructions of all functions by their addresses.
func (b *builder) runAll() error {
	for i, packed := range b.index {
		start, limit := packed>>32, uint64(1<<32)
		if i+1 < len(b.index) {
			limit = b.index[i+1] >> 32
		}
		if start == limit { // two for the same code: the last in the file counts
			b.table.Stats.Overlaps++
			continue
		}
		if err := b.fill(b.low + start); err != nil {
			return err
		}
		if err := b.runFunction(packed&(1<<32-1), b.low+limit); err != nil {
			return err
		}
	}
	return b.fill(b.code[len(b.code)-1].end)
}

// runFunction runs the instructions of the FDE at off; what lies at limit or behind belongs to others.
func (b *builder) runFunction(off, limit uint64) error {
	e, err := b.frames.entry(off)
	if err != nil {
		return err
	}
	d, err := b.frames.fde(e, true)
	if errors.Is(err, errMalformed) {
		return b.malformed()
	}
	if err != nil {
		return err
	}
	b.table.Stats.Functions++
	end := d.start + min(d.size, b.inCode(d.start))
	if end > limit {
		b.table.Stats.Overlaps++
		end = limit
	}
	return b.runInstructions(d, end)
}

func (b *builder) runInstructions(d fde, end uint64) error {
	p := &b.run
	*p = program{frames: b.frames, cie: d.cie, state: d.cie.initial, loc: d.start, remembered: p.remembered[:0]}
	var l *landing
	span := func(to uint64) error {
		r, lostFP := b.mach.rule(&p.state, d.cie)
		if p.loc >= end {
			return nil
		}
		if lostFP {
			b.table.Stats.LostFP++
		}
		if p.loc == d.start && r.CFA == CFAEnd {
			if err := b.endClone(d.start); err != nil {
				return err
			}
		}
		if !p.throws {
			return b.layout.span(p.loc, min(to, end), r)
		}
		if l == nil {
			var err error
			if l, err = b.landing(d.start, end); err != nil {
				return err
			}
		}
		return b.spanLanding(l, p.loc, min(to, end), r)
	}
	err := p.run(d.instructions, span)
	if errors.Is(err, errInstruction) {
		b.table.Stats.Malformed++
		if p.loc >= end {
			return nil
		}
		return b.layout.span(p.loc, end, unsupported(ReasonMalformed))
	}
	if err != nil {
		return err
	}
	return span(end)
}

// landing looks for the end of a function that throws; one of nothing where there is none.
func (b *builder) landing(start, end uint64) (*landing, error) {
	code, err := b.bytes(start, min(end-start, maxLanding))
	if err != nil {
		return nil, err
	}
	l, _ := b.mach.findLanding(code, start)
	return &l, nil
}

// spanLanding lays out what is described as r, in a function that throws.
func (b *builder) spanLanding(l *landing, from, to uint64, described Rule) error {
	for from < to {
		r, until := l.rule(b.mach, described, from)
		if err := b.layout.span(from, min(to, until), r); err != nil {
			return err
		}
		from = until
	}
	return nil
}
