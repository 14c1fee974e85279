// SPDX-License-Identifier: Apache-2.0

package profiler

import (
	"encoding/binary"
	"errors"
	"io"
	"slices"
	"sort"
	"time"

	"github.com/assaylab/assay/bpf"
	"github.com/assaylab/assay/profiler/unwind"
)

var errStopped = errors.New("stopped")

var errNoFrames = errors.New("no call frame information")

// maxRowRun bounds what rows lie together, so that room for them is easily found. A page of 64 KiB has at most as many.
const maxRowRun = 1 << 16 * unwind.RowSize

const (
	touchPeriod = 8 * time.Second        // the kernel is made to use anew each table that it uses, so often
	coldAfter   = 2 * touchPeriod        // not used for so long, a table may go
	retryPeriod = 2 * time.Second        // a table that is missed is tried again
	usedUnit    = time.Duration(1 << 30) // of bpf.UnwindFile.Used
)

// tableKey says which file a table is of: by its build ID, or else the very object.
type tableKey struct {
	buildID string
	object  *object
}

// table is that of one file.
type table struct {
	object *object
	size   int64            // of the file
	state  bpf.UnwindReason // UnwindByTable: it is in the kernel
	missed bool             // a stack needed it when it was not there
	large  bool             // it alone is more than there is room for
	head   slabRun
	rows   []slabRun
	users  map[*unwound]bool
	inodes map[bpf.UnwindInode]uint64 // of files that it is the table of, each with the shift of its code
}

// tableOf is the table of a file, which is asked for when it is new.
func (u *unwinder) tableOf(o *object) *table {
	key := tableKey{buildID: o.buildID}
	if key.buildID == "" {
		key.object = o
	}
	t := u.tables[key]
	if t != nil {
		if t.state == bpf.UnwindNoRoom && !t.large && len(t.users) == 0 {
			u.ask(t) // it made room while nobody had it mapped
		}
		return t
	}
	t = &table{object: o, size: o.size(), state: bpf.UnwindPending, users: map[*unwound]bool{}, inodes: map[bpf.UnwindInode]uint64{}}
	u.tables[key] = t
	u.ask(t)
	return t
}

func (u *unwinder) ask(t *table) {
	t.state = bpf.UnwindPending
	u.todo = append(u.todo, t)
	u.pending++
	select {
	case u.build <- struct{}{}:
	default:
	}
}

// run builds tables until it is closed.
func (u *unwinder) run() {
	defer close(u.done)
	for {
		select {
		case <-u.quit:
			return
		case <-u.build:
		}
		for t := u.next(); t != nil; t = u.next() {
			built, err := u.make(t.object)
			u.finish(t, built, err)
			select {
			case <-u.quit:
				return
			default:
			}
		}
	}
}

func (u *unwinder) next() *table {
	u.mu.Lock()
	defer u.mu.Unlock()
	if len(u.todo) == 0 {
		return nil
	}
	i := 0
	for j, t := range u.todo {
		if t.before(u.todo[i]) {
			i = j
		}
	}
	t := u.todo[i]
	t.missed = false
	u.todo = slices.Delete(u.todo, i, i+1)
	return t
}

// before says whether t is to be made before another: what stacks need already, and of these the smallest, so that nobody's C library has to
// wait for a giant.
func (t *table) before(other *table) bool {
	if t.missed != other.missed {
		return t.missed
	}
	return t.size < other.size
}

// stoppable can be read until quit is closed: nobody waits for a table at the end of a recording.
type stoppable struct {
	io.ReaderAt
	quit <-chan struct{}
}

func (r stoppable) ReadAt(p []byte, off int64) (int, error) {
	select {
	case <-r.quit:
		return 0, errStopped
	default:
		return r.ReaderAt.ReadAt(p, off)
	}
}

// minCached is the size of a file from which on its table is kept on disk: that of a smaller one is made as fast as it would be found there.
const minCached = 64 << 10

// make makes the table of a file, or takes it from the cache.
func (u *unwinder) make(o *object) (*unwind.Table, error) {
	options := unwind.Options{MaxBytes: u.slabs.limit * bpf.SlabBytes}
	f, err := o.content()
	if err != nil {
		return nil, err
	}
	id := identity{content: stoppable{f, u.quit}}
	if u.cache != nil && f.Size() >= minCached {
		if id, err = identify(id.content, f.Size(), o.file); err != nil {
			return nil, err
		}
		if t := u.cached(id.key, options); t != nil {
			return t, nil
		}
	}
	t, err := unwind.Build(id.content, f.Size(), options)
	select {
	case <-u.quit:
		return nil, errStopped // what could not be read may be missing
	default:
	}
	if err != nil {
		return nil, err
	}
	if len(t.Pages) == 0 {
		return nil, errNoFrames
	}
	if id.holds() {
		u.keep(u.cache.Put(id.key, t))
	}
	return t, nil
}

// cached is the table that the cache has, nil if it has none.
func (u *unwinder) cached(key string, options unwind.Options) *unwind.Table {
	if key == "" {
		return nil
	}
	t, err := u.cache.Get(key, options)
	u.keep(err)
	return t
}

// keep is note for who does not hold the lock.
func (u *unwinder) keep(err error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.note(err)
}

// finish puts a table into the kernel and tells the processes of it that wait for it.
func (u *unwinder) finish(t *table, built *unwind.Table, err error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.pending--
	switch {
	case errors.Is(err, errStopped):
		return
	case errors.Is(err, unwind.ErrTooLarge):
		t.state, t.large = bpf.UnwindNoRoom, true
		u.stats.noRoom++
	case err != nil:
		t.state = bpf.UnwindNoTable
		u.stats.noTable++
	default:
		ok, err := u.load(t, built) // others may have to go meanwhile, but not this one
		u.note(err)
		if t.state = bpf.UnwindByTable; !ok {
			t.state = bpf.UnwindNoRoom
			u.stats.noRoom++
		}
	}
	u.note(u.tell(t))
}

// introduce tells the kernel that t is the table of a file: so it unwinds processes of which we have not heard yet.
func (u *unwinder) introduce(t *table, o *object) error {
	if o.introduced {
		return nil
	}
	o.introduced = true
	inode, shift, ok := o.inode()
	if !ok {
		return nil
	}
	t.inodes[inode] = shift
	return u.tellInode(t, inode)
}

func (u *unwinder) tellInode(t *table, inode bpf.UnwindInode) error {
	return u.kernel.PutUnwindInode(inode, bpf.UnwindInodeTable{Shift: t.inodes[inode], File: uint32(t.head.place), Reason: uint32(t.state)})
}

// tell brings what the kernel knows of the users of t, and of its files, up to its state.
func (u *unwinder) tell(t *table) error {
	for inode := range t.inodes {
		if err := u.tellInode(t, inode); err != nil {
			return err
		}
	}
	for p := range t.users {
		if err := u.correct(p, t); err != nil {
			return err
		}
	}
	return nil
}

// load puts a table into slabs; false says that there is no room.
func (u *unwinder) load(t *table, built *unwind.Table) (bool, error) {
	first, last := built.Pages[0].Number, built.Pages[len(built.Pages)-1].Number
	pages := make([]bpf.UnwindPage, last-first+1)
	for next := 0; next < len(built.Pages); {
		run, n, err := u.loadRows(built.Pages[next:], first, pages)
		if err != nil || n == 0 {
			u.unload(t)
			return false, err
		}
		t.rows = append(t.rows, run)
		next += n
	}
	const rules = 32 // behind bpf.UnwindFile
	size := rules + len(built.Rules)*unwind.RuleSize + len(pages)*8
	head, ok, err := u.room(size)
	if err != nil || !ok {
		u.unload(t)
		return false, err
	}
	t.head = head
	b := make([]byte, 0, size)
	b = appendStruct(b, bpf.UnwindFile{
		Base:      built.Base + uint64(first)<<16,
		Pages:     uint32(head.place.Plus(rules + len(built.Rules)*unwind.RuleSize)),
		PageCount: uint32(len(pages)),
		Rules:     uint32(head.place.Plus(rules)),
		Used:      uint32(monotonic() >> 30),
	})
	for _, r := range built.Rules {
		packed := r.Pack()
		b = append(b, packed[:]...)
	}
	for _, p := range pages {
		b = appendStruct(b, p)
	}
	u.stats.built++
	u.stats.rows += uint64(built.Stats.Rows)
	err = u.slabs.write(head.place, b)
	return err == nil, err
}

// loadRows loads the rows of as many pages as lie together, and notes where each is.
func (u *unwinder) loadRows(from []unwind.Page, first uint32, pages []bpf.UnwindPage) (run slabRun, n int, err error) {
	size := 0
	for n < len(from) && size+len(from[n].Rows)*unwind.RowSize <= maxRowRun {
		size += len(from[n].Rows) * unwind.RowSize
		n++
	}
	run, ok, err := u.room(size)
	if err != nil || !ok {
		return run, 0, err
	}
	b := make([]byte, 0, size)
	for _, p := range from[:n] {
		pages[p.Number-first] = bpf.UnwindPage{Rows: uint32(run.place.Plus(len(b))), N: uint32(len(p.Rows))}
		b = unwind.AppendRows(b, p.Rows)
	}
	return run, n, u.slabs.write(run.place, b)
}

// find is the rule for a vaddr in a table that the kernel has, as its walk would find it.
func (u *unwinder) find(t *table, vaddr uint64) (unwind.Rule, error) {
	file, err := readStruct[bpf.UnwindFile](&u.slabs, t.head.place)
	number := (vaddr - file.Base) >> 16
	if err != nil || vaddr < file.Base || number >= uint64(file.PageCount) {
		return byFramePointer(bpf.UnwindNoRow), err
	}
	page, err := readStruct[bpf.UnwindPage](&u.slabs, bpf.Place(file.Pages).Plus(int(number)*8))
	if err != nil || page.N == 0 {
		return byFramePointer(bpf.UnwindNoRow), err
	}
	row := func(i int) (r unwind.Row) {
		if err == nil {
			r, err = readStruct[unwind.Row](&u.slabs, bpf.Place(page.Rows).Plus(i*unwind.RowSize))
		}
		return r
	}
	after := sort.Search(int(page.N), func(i int) bool { return row(i).Low > uint16(vaddr) })
	number = uint64(row(max(0, after-1)).Rule)
	word, ruleErr := readStruct[uint64](&u.slabs, bpf.Place(file.Rules).Plus(int(number)*unwind.RuleSize))
	rule := unwind.UnpackRule(word)
	if err = errors.Join(err, ruleErr); err != nil || rule.CFA == unwind.CFANone {
		return byFramePointer(bpf.UnwindNoRow), err
	}
	return rule, nil
}

// unload gives back what a table takes.
func (u *unwinder) unload(t *table) {
	for _, r := range t.rows {
		u.slabs.release(r)
	}
	u.slabs.release(t.head)
	t.rows, t.head = nil, slabRun{}
}

// room finds memory, for which tables have to go that were not used for long.
func (u *unwinder) room(size int) (slabRun, bool, error) {
	for {
		run, ok, err := u.slabs.alloc(size)
		if ok || err != nil || size > bpf.SlabBytes {
			return run, ok, err
		}
		if ok, err := u.evict(); !ok {
			return slabRun{}, false, err
		}
	}
}

// evict takes the table out that was used longest ago, if that is long enough; first of all one that no process has any more.
func (u *unwinder) evict() (bool, error) {
	var coldest *table
	oldest := uint32((time.Duration(monotonic()) - coldAfter) / usedUnit)
	for _, t := range u.tables {
		if t.state != bpf.UnwindByTable {
			continue
		}
		used, err := u.used(t)
		if err != nil {
			return false, err
		}
		if used < oldest {
			oldest, coldest = used, t
		}
	}
	if coldest == nil {
		return false, nil
	}
	coldest.state = bpf.UnwindNoRoom
	u.stats.evicted++
	err := u.tell(coldest)
	u.unload(coldest)
	return true, err
}

// used is when a search in t began last, in units of usedUnit; 0 if nobody has it mapped.
func (u *unwinder) used(t *table) (uint32, error) {
	if len(t.users) == 0 {
		return 0, nil
	}
	var b [bpf.UnwindFileUsed + 4]byte
	err := u.slabs.read(t.head.place, b[:])
	return binary.LittleEndian.Uint32(b[bpf.UnwindFileUsed:]), err
}

// missed is told of a stack that would have needed a table that is not there, or not yet.
func (u *unwinder) missed(m *timedMapping) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if m.obj != nil {
		u.tableOf(m.obj).missed = true
	}
}

// tick is called about once a second.
func (u *unwinder) tick(now time.Time) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if len(u.slabs.all) < u.slabs.limit {
		return // nobody has to go
	}
	if now.Sub(u.touched) >= touchPeriod {
		u.touched = now
		for _, p := range u.procs {
			u.note(u.renew(p))
		}
	}
	if now.Sub(u.retried) < retryPeriod {
		return
	}
	for _, t := range u.tables {
		if t.missed && t.state == bpf.UnwindNoRoom && !t.large {
			u.retried, t.missed = now, false
			u.ask(t)
			return
		}
	}
}
