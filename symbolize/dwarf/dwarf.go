// SPDX-License-Identifier: Apache-2.0

// Package dwarf finds the function, file and line of addresses, with the calls that were inlined there, in debug information of
// versions 2 to 5.
//
// It reads what an address needs and no more:
//
//	aranges.go   which unit has an address, where the compiler has written that down
//	unit.go      headers and root entries of units, up to that one; of all where nothing was written down
//	function.go  the entries of a unit: its functions and inlined calls
//	line.go      the line program of a unit, as rows sorted by address
//	places.go    both joined: which function and line an address belongs to, as a table of a few bytes a stretch
//	name.go      the entry that has a function's name, one by one
//	split.go     units whose entries lie in files of their own (.dwo, .dwp)
//
// The tables of units are kept within a budget, with the names that were asked for; sections are read in chunks and never held whole.
// So memory grows with the number of units, about 300 bytes each, and not with the size of the file. (debug/dwarf of the Go tree holds
// the sections.)
//
// The files are hostile: each length and count has a bound, references are followed a bounded number of times, and what is read in all
// is bounded by a budget of work. A malformed header or root entry is an error of all addresses of units behind it, what else is malformed in a unit one
// of its own addresses.
//
// Formats: DWARF Debugging Information Format, versions 4 and 5, https://dwarfstd.org; the GNU extensions for split units,
// https://gcc.gnu.org/wiki/DebugFission; and for alternate files dwz(1).
package dwarf

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/assaylab/assay/internal/elfx"
)

const (
	maxString  = 4096    // bytes of a name or path that are read
	maxWork    = 2 << 30 // bytes of entries and line programs that are read for one file
	maxOverlap = 64      // ranges before an address that are tried
	maxFrames  = 128     // calls inlined into each other

	defaultBudget = 64 << 20
)

// ErrNone says that a file has no debug information.
var ErrNone = errors.New("no debug information")

// errWork says that the work that one file may cause is done.
var errWork = fmt.Errorf("more than %d bytes of debug information read", int64(maxWork))

// Options say what may be used. The zero value works.
type Options struct {
	// Budget is the number of bytes that tables and names which were read may take; 0 means 64 MiB.
	Budget int
	// Alternate opens the file that .gnu_debugaltlink names, by its path and build ID. nil: there is none.
	Alternate func(path string, buildID []byte) (Image, error)
	// Split opens a .dwo file by the folder of the compilation and the name in its skeleton. nil: there is none.
	Split func(dir, name string) (Image, error)
	// Package opens the .dwp file, which has all split units of a program. nil, like an Image without a File: there is none.
	Package func() (Image, error)
}

// Image is an open ELF file that closes with the Data.
type Image struct {
	*elfx.File
	io.Closer
}

// Frame is a function that an address belongs to.
type Frame struct {
	Name      string // as the linker knows the function where the file tells, else as the source has it; "" when not known
	File      string // path; "" when not known
	Line      int64  // of the code, or of the call that was inlined; 0 when not known
	StartLine int64  // of the function's declaration; 0 when not known
}

// Data is the debug information of one file. It is made for the addresses of one profile: its budget of work isn't renewed. Its methods must not be called from several goroutines at once.
type Data struct {
	*shared
	main      *file
	code      []elfx.Load // executable segments
	hints     []hint
	lastHint  int  // where to look next in hints
	indexed   bool // there is an index of all units, or
	noIndex   error
	index     []unitRange
	maxEnds   []uint64 // the highest end of a range up to here
	lastIndex int      // hint of where to look next in index
	loaded    *cache[*unit, *unitTables]
	last      *unit // that was asked for, with its tables
	lastTab   *unitTables
	lo, hi    uint64 // addresses that belong to no other unit than the last
	work      uint64

	pack         *packageFile
	packErr      error
	packageTried bool
	closeErr     error // of files that were closed on the way
}

// unitRange is a range of addresses of a unit.
type unitRange struct {
	lo, hi uint64
	unit   int32 // index of main.units
}

// unitTables are the tables of a unit. Its error is kept too, so that a malformed unit is read once.
type unitTables struct {
	split     *file // that the functions were read from, where it isn't the main one
	places    places
	functions *functions
	lines     *lineTable
	err       error
}

// In says whether a file has debug information.
func In(f *elfx.File) bool {
	_, plain := f.Section(".debug_info")
	_, old := f.Section(".zdebug_info")
	return plain || old
}

// Open opens the debug information of a file, and reads what its compiler says of where its units are; ErrNone when it has none. f must stay usable as long as the Data is.
func Open(f *elfx.File, opts *Options) (*Data, error) {
	if opts == nil {
		opts = &Options{}
	}
	budget := cmp.Or(opts.Budget, defaultBudget)
	shared := &shared{
		opts: *opts, tables: newCache[abbrevKey, *abbrevs](budget/8, nil),
		tablesLeft: maxTablesRead, rootsLeft: maxRootsRead,
	}
	main, err := shared.openFile(f, nil, "")
	if err != nil {
		return nil, err
	}
	d := &Data{shared: shared, main: main}
	d.loaded = newCache[*unit](budget/4*3, d.unload)
	for _, l := range f.Loads() {
		if l.Executable() {
			d.code = append(d.code, l)
		}
	}
	if err := d.readHints(); err != nil {
		return nil, errors.Join(err, d.Close())
	}
	return d, nil
}

// Close closes the files that were opened on the way; not the one that was given to Open.
func (d *Data) Close() error {
	d.loaded.clear()
	err := errors.Join(d.closeErr, d.main.close())
	if d.pack != nil {
		err = errors.Join(err, d.pack.close())
	}
	return err
}

// unload closes the file of a split unit.
func (d *Data) unload(t *unitTables) {
	if t.split != nil {
		d.closeErr = errors.Join(d.closeErr, t.split.close())
	}
}

// isCode says whether code can lie at an address. The linker leaves entries about code that it dropped, at addresses near 0 or at the end.
func (d *Data) isCode(addr uint64) bool {
	for _, l := range d.code {
		if addr-l.Vaddr < l.Memsz {
			return true
		}
	}
	return len(d.code) == 0 && addr != 0
}

// needIndex makes the index of all units, once.
func (d *Data) needIndex() error {
	if !d.indexed {
		d.indexed = true
		if d.noIndex = d.main.readUnits(allUnits); d.noIndex == nil {
			d.noIndex = d.buildIndex()
		}
	}
	return d.noIndex
}

// buildIndex sorts the ranges of all units.
func (d *Data) buildIndex() error {
	total := 0
	for i, u := range d.main.units {
		n, err := u.each(code{u.low, u.high, u.ranges}, func(lo, hi uint64) {
			if lo < hi && d.isCode(lo) {
				d.index = append(d.index, unitRange{lo, hi, int32(i)})
			}
		})
		if err != nil {
			return err
		}
		if total += n; total > maxRanges {
			return d.main.info.badf(u.off, "more than %d ranges of units", maxRanges)
		}
	}
	slices.SortFunc(d.index, func(a, b unitRange) int {
		return cmp.Or(cmp.Compare(a.lo, b.lo), cmp.Compare(b.unit, a.unit))
	})
	end := uint64(0)
	for _, r := range d.index {
		end = max(end, r.hi)
		d.maxEnds = append(d.maxEnds, end)
	}
	return nil
}

// Frames appends the functions around an address to frames: the innermost inlined call first. It appends none when no unit has the
// address, and one without a name when only its line is known, as in assembly, or where the functions of the unit can't be read, which is
// the error.
func (d *Data) Frames(frames []Frame, pc uint64) ([]Frame, error) {
	if pc-d.lo < d.hi-d.lo {
		return d.lastTab.frames(frames, pc)
	}
	t, err := d.hinted(pc)
	switch {
	case err != nil:
		return t.lineOnly(frames, pc), err
	case t != nil:
		return t.frames(frames, pc)
	}
	if err := d.needIndex(); err != nil {
		return frames, err
	}
	return d.indexedFrames(frames, pc)
}

// indexedFrames is Frames by the index of all units.
func (d *Data) indexedFrames(frames []Frame, pc uint64) ([]Frame, error) {
	n := after(len(d.index), d.lastIndex, func(i int) bool { return d.index[i].lo > pc })
	d.lastIndex = n
	if lo, hi := d.soleRange(n); lo <= pc && pc < hi {
		t, err := d.sole(d.main.units[d.index[n-1].unit], lo, hi)
		if err != nil {
			return t.lineOnly(frames, pc), err
		}
		return t.frames(frames, pc)
	}
	var second *unitTables
	for i := n - 1; i >= max(0, n-maxOverlap) && d.maxEnds[i] > pc; i-- {
		if pc >= d.index[i].hi {
			continue
		}
		t, err := d.tables(d.main.units[d.index[i].unit])
		if err != nil {
			return t.lineOnly(frames, pc), err
		}
		if t.places.find(pc).scope != noScope {
			return t.frames(frames, pc)
		}
		if second == nil {
			second = t
		}
	}
	if second == nil {
		return frames, nil
	}
	return second.frames(frames, pc)
}

// soleRange has the addresses that belong to the range before one of the index, and to none else; when lo isn't below hi there are none.
func (d *Data) soleRange(n int) (lo, hi uint64) {
	if n == 0 {
		return 0, 0
	}
	lo, hi = d.index[n-1].lo, d.index[n-1].hi
	if n > 1 {
		lo = max(lo, d.maxEnds[n-2])
	}
	if n < len(d.index) {
		hi = min(hi, d.index[n].lo)
	}
	return lo, hi
}

// sole has the tables of a unit that alone has the addresses from lo to hi.
func (d *Data) sole(u *unit, lo, hi uint64) (*unitTables, error) {
	t, err := d.tables(u)
	if err == nil {
		d.lo, d.hi = lo, hi
	}
	return t, err
}

// tables reads the tables of a unit, or has them.
func (d *Data) tables(u *unit) (*unitTables, error) {
	if u != d.last {
		d.leave()
		d.last, d.lastTab = u, d.unitTables(u)
	}
	return d.lastTab, d.lastTab.err
}

// leave charges the last unit for the names that were asked for.
func (d *Data) leave() {
	d.lo, d.hi = 0, 0
	if d.last != nil && d.lastTab.functions != nil {
		d.loaded.charge(d.last, d.lastTab.functions.grown)
		d.lastTab.functions.grown = 0
	}
}

func (d *Data) unitTables(u *unit) *unitTables {
	if t, ok := d.loaded.get(u); ok {
		return t
	}
	if d.work > maxWork {
		return &unitTables{err: errWork}
	}
	t := &unitTables{}
	t.err = d.load(u, t)
	t.places = d.scratch.packer.pack(d.scratch.segments, &d.scratch.lines)
	cost := t.places.cost()
	if t.functions != nil {
		cost += t.functions.cost()
	}
	if t.lines != nil {
		cost += t.lines.cost()
	}
	if t.split != nil {
		cost += splitCost
	}
	d.loaded.put(u, t, cost)
	return t
}

// load reads the tables of a unit. The lines of a split unit are in the file of its skeleton.
func (d *Data) load(u *unit, t *unitTables) error {
	d.scratch.segments = d.scratch.segments[:0]
	d.scratch.lines.reset()
	if u.lines.present() {
		var err error
		if t.lines, err = u.readLines(d.isCode); err != nil {
			return err
		}
		d.work += t.lines.length
	}
	if u.dwoName.present() && u.dwoID != 0 {
		split, err := d.split(u)
		if err != nil {
			return err
		}
		u, t.split = split, split.file
	}
	d.work += u.end - u.off
	var err error
	t.functions, err = u.readFunctions(d.isCode)
	return err
}

// path is the name of a file in the line table.
func (t *unitTables) path(file uint32) (string, error) {
	if t.lines == nil {
		return "", nil
	}
	return t.lines.path(file)
}

// lineOnly appends a frame without a name.
func (t *unitTables) lineOnly(frames []Frame, pc uint64) []Frame {
	at := t.places.find(pc)
	file, err := t.path(at.file)
	if err != nil || file == "" {
		return frames
	}
	return append(frames, Frame{File: file, Line: int64(at.line)})
}

// frames walks from the innermost scope of an address outwards: the line of each function is where the call in it was inlined.
func (t *unitTables) frames(frames []Frame, pc uint64) ([]Frame, error) {
	at := t.places.find(pc)
	if at.scope == noScope {
		return t.lineOnly(frames, pc), nil
	}
	file, err := t.path(at.file)
	line, first := at.line, len(frames)
	for n := at.scope; n != noScope && err == nil; {
		s := &t.functions.scopes[n]
		if len(frames)-first == maxFrames {
			return frames, t.functions.unit.file.info.badf(t.functions.entries[s.name], "more than %d inlined calls", maxFrames)
		}
		var name *name
		if name, err = t.functions.name(s); err != nil {
			break
		}
		frames = append(frames, Frame{})
		f := &frames[len(frames)-1] // filled in place: to copy one that was just made waits for its stores
		f.Name, f.File, f.Line, f.StartLine = name.text, file, int64(line), name.line
		file, line = "", s.callLine
		if n = s.parent; n != noScope {
			file, err = t.path(s.callFile)
		}
	}
	return frames, err
}
