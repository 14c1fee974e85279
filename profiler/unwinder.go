// SPDX-License-Identifier: Apache-2.0

package profiler

import (
	"cmp"
	"encoding/binary"
	"errors"
	"io"
	"slices"
	"sync"
	"time"

	"github.com/assaylab/assay/bpf"
	"github.com/assaylab/assay/internal/facts"
	"github.com/assaylab/assay/profiler/unwind"
)

// unwinder gives the kernel what its walk of user stacks needs: the mappings of each process that was sampled, and the tables of the files that
// these show. A table is made in the background when a mapping first shows its file, and is one for all processes. Until it
// is ready, and where there is none, the walk goes by frame pointers and says so.
type unwinder struct {
	kernel   unwindKernel
	cache    *unwind.Cache // nil: none
	build    chan struct{} // something is in todo
	quit     chan struct{}
	quitOnce sync.Once
	done     chan struct{} // closed when the builder has ended

	mu      sync.Mutex
	slabs   slabs
	tables  map[tableKey]*table
	procs   map[int]*unwound
	version uint32
	touched time.Time
	retried time.Time
	todo    []*table
	pending int   // tables asked for and not there yet
	err     error // the first one
	stats   unwindStats
}

// unwindKernel is what an unwinder wants of [bpf.Kernel].
type unwindKernel interface {
	slabKernel
	PutUnwindProcess(pid int, p bpf.UnwindProcess) error
	DropUnwindProcess(pid int) error
}

// unwindStats count what was done and what had no room.
type unwindStats struct {
	built, rows, noTable, noRoom, evicted, noRoomProcesses, cutMappings uint64
}

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
	missed bool             // a stack needed it when it had no room
	head   slabRun
	rows   []slabRun
	users  map[*unwound]bool
}

// unwound is a process whose mappings the kernel knows.
type unwound struct {
	pid   int
	image *image
	taken int            // of the image's mappings
	maps  []unwoundRange // by address, none over another
	run   *sharedRun     // nil: the kernel does not know them
	known bpf.UnwindProcess
}

type unwoundRange struct {
	start, end, bias uint64
	table            *table           // nil: none, for this reason
	reason           bpf.UnwindReason // if there is no table
}

func newUnwinder(k unwindKernel, opts *Options) *unwinder {
	u := &unwinder{
		kernel: k, slabs: slabs{kernel: k, limit: min(opts.UnwindMemory/bpf.SlabBytes, bpf.MaxSlabs)},
		tables: map[tableKey]*table{}, procs: map[int]*unwound{},
		build: make(chan struct{}, 1), quit: make(chan struct{}), done: make(chan struct{}),
	}
	if opts.UnwindCache != "" {
		var err error
		u.cache, err = unwind.OpenCache(opts.UnwindCache, maxCache)
		u.note(err)
	}
	go u.run()
	return u
}

// maxCache bounds what tables take on disk, in bytes.
const maxCache = 256 << 20

// stop ends the builder. It may be called again.
func (u *unwinder) stop() {
	u.quitOnce.Do(func() { close(u.quit) })
	<-u.done
}

// follow brings what the kernel knows of a process up to its image.
func (u *unwinder) follow(pid int, im *image, files *objects) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.update(pid, im, files)
}

func (u *unwinder) update(pid int, im *image, files *objects) {
	p := u.procs[pid]
	if p != nil && p.image == im && p.taken == len(im.maps) {
		return
	}
	if p == nil || p.image != im {
		u.note(u.forget(pid))
		p = &unwound{pid: pid, image: im}
		u.procs[pid] = p
	}
	for ; p.taken < len(im.maps); p.taken++ {
		u.take(p, im.pid, &im.maps[p.taken], files)
	}
	u.note(u.put(p))
}

// await returns when all tables that were asked for are there, or the time is over.
func (u *unwinder) await(most time.Duration) {
	for end := time.Now().Add(most); time.Now().Before(end); time.Sleep(time.Millisecond) {
		u.mu.Lock()
		busy := u.pending > 0
		u.mu.Unlock()
		if !busy {
			return
		}
	}
}

// changed is told of the processes to which something happened.
func (u *unwinder) changed(pids map[int]bool, ps *processes) {
	u.mu.Lock()
	defer u.mu.Unlock()
	var others []*process
	for pid := range pids {
		p := ps.table[pid]
		switch {
		case p == nil || p.dead || len(p.images) == 0:
			u.note(u.forget(pid))
		case u.procs[pid] != nil:
			u.update(pid, p.images[len(p.images)-1], ps.files)
		default:
			others = append(others, p)
		}
	}
	for _, p := range others {
		if parent := u.procs[p.parent]; parent != nil && len(p.images) == 1 {
			u.note(u.adopt(p, parent))
		}
	}
}

// adopt follows a child that has what its parent has mapped, as the kernel has taken it to be from its first moment on.
func (u *unwinder) adopt(child *process, parent *unwound) error {
	im := child.images[0]
	if parent.run == nil || len(im.maps) != parent.taken || parent.image == nil {
		return nil
	}
	p := &unwound{pid: child.pid, image: im, taken: parent.taken, maps: slices.Clone(parent.maps), run: parent.run, known: parent.known}
	p.run.users++
	u.procs[p.pid] = p
	for _, m := range p.maps {
		if m.table != nil {
			m.table.users[p] = true
		}
	}
	return u.kernel.PutUnwindProcess(p.pid, p.known)
}

// note keeps the first error. The walk goes on with what the kernel has.
func (u *unwinder) note(err error) {
	if u.err == nil {
		u.err = err
	}
}

func (u *unwinder) forget(pid int) error {
	p := u.procs[pid]
	if p == nil {
		return nil
	}
	delete(u.procs, pid)
	for _, m := range p.maps {
		if m.table != nil {
			delete(m.table.users, p)
		}
	}
	if err := u.kernel.DropUnwindProcess(pid); err != nil {
		return err
	}
	u.slabs.leave(p.run)
	return nil
}

// take adds a mapping to those of p.
func (u *unwinder) take(p *unwound, pid int, m *timedMapping, files *objects) {
	r := unwoundRange{start: m.start, end: m.end}
	switch {
	case m.isFile() || m.path == vdsoName:
		if m.obj == nil {
			m.obj = files.of(pid, &m.mapping)
		}
		r.bias = m.obj.bias(&m.mapping)
		r.table = u.tableOf(m.obj)
		r.table.users[p] = true
	default:
		r.reason = bpf.UnwindAnonymous
	}
	p.cover(r)
}

// cover puts r in place of what was there.
func (p *unwound) cover(r unwoundRange) {
	if n := len(p.maps); n == 0 || p.maps[n-1].end <= r.start {
		p.maps = append(p.maps, r)
		return
	}
	i, _ := slices.BinarySearchFunc(p.maps, r.start, func(m unwoundRange, a uint64) int { return cmp.Compare(m.end, a+1) })
	j := i
	var left []unwoundRange
	for ; j < len(p.maps) && p.maps[j].start < r.end; j++ {
		if m := p.maps[j]; m.start < r.start {
			m.end = r.start
			left = append(left, m)
		}
	}
	left = append(left, r)
	if j > i && p.maps[j-1].end > r.end {
		m := p.maps[j-1]
		m.start = r.end
		left = append(left, m)
	}
	p.maps = slices.Replace(p.maps, i, j, left...)
}

// tableOf is the table of a file, which is asked for when it is new.
func (u *unwinder) tableOf(o *object) *table {
	key := tableKey{buildID: o.buildID}
	if key.buildID == "" {
		key.object = o
	}
	t := u.tables[key]
	if t != nil {
		if t.state == bpf.UnwindNoRoom && len(t.users) == 0 {
			u.ask(t) // it made room while nobody had it mapped
		}
		return t
	}
	t = &table{object: o, size: o.size(), state: bpf.UnwindPending, users: map[*unwound]bool{}}
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

// maxUnwound is how many mappings of a process a slab holds.
const maxUnwound = bpf.SlabBytes / mappingBytes

const mappingBytes = 32 // of bpf.UnwindMapping

// put tells the kernel of the mappings of p, in new memory: a program may be in the midst of a search in the old.
func (u *unwinder) put(p *unwound) error {
	old := p.run
	defer func() { u.slabs.leave(old) }()
	p.run = nil
	if len(p.maps) == 0 {
		return u.kernel.DropUnwindProcess(p.pid)
	}
	b := u.encode(p)
	run, ok, err := u.room(len(b))
	if err != nil {
		return err
	}
	if !ok {
		u.stats.noRoomProcesses++
		return u.kernel.DropUnwindProcess(p.pid)
	}
	p.run = &sharedRun{run, 1}
	return u.publish(p, b)
}

// refresh tells the kernel of what tables p has now. Each mapping stays in its place, so it can be written over.
func (u *unwinder) refresh(p *unwound) error {
	if p.run == nil {
		return nil
	}
	return u.publish(p, u.encode(p))
}

// publish writes mappings into the memory of p, and gives it a new version, so that what was found for the one before counts no more.
func (u *unwinder) publish(p *unwound, b []byte) error {
	if err := u.slabs.write(p.run.place, b); err != nil {
		return err
	}
	u.version++
	p.known = bpf.UnwindProcess{Maps: uint32(p.run.place), MapCount: uint32(len(b) / mappingBytes), Version: u.version}
	return u.kernel.PutUnwindProcess(p.pid, p.known)
}

// encode gives the mappings of p as the kernel has them.
func (u *unwinder) encode(p *unwound) []byte {
	maps := p.maps
	if len(maps) > maxUnwound {
		u.stats.cutMappings += uint64(len(maps) - maxUnwound)
		maps = maps[:maxUnwound]
	}
	b := make([]byte, 0, len(maps)*mappingBytes)
	for _, m := range maps {
		k := bpf.UnwindMapping{Start: m.start, End: m.end, Bias: m.bias, Reason: uint32(m.reason)}
		if t := m.table; t != nil {
			k.File, k.Reason = uint32(t.head.place), uint32(t.state)
		}
		b = appendStruct(b, k)
	}
	return b
}

// appendStruct appends a value of fixed size as the kernel has it.
func appendStruct(b []byte, v any) []byte {
	b, err := binary.Append(b, binary.LittleEndian, v)
	if err != nil {
		panic(err) // not a value of fixed size
	}
	return b
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
	// The smallest first: nobody's C library has to wait for a giant.
	i := 0
	for j, t := range u.todo {
		if t.size < u.todo[i].size {
			i = j
		}
	}
	t := u.todo[i]
	u.todo = slices.Delete(u.todo, i, i+1)
	return t
}

// stoppable can be read until quit is closed: nobody waits for a table at the end of a recording.
type stoppable struct {
	io.ReaderAt
	quit <-chan struct{}
}

var errStopped = errors.New("stopped")

func (r stoppable) ReadAt(p []byte, off int64) (int, error) {
	select {
	case <-r.quit:
		return 0, errStopped
	default:
		return r.ReaderAt.ReadAt(p, off)
	}
}

var errNoFrames = errors.New("no call frame information")

// make makes the table of a file, or takes it from the cache.
func (u *unwinder) make(o *object) (*unwind.Table, error) {
	options := unwind.Options{MaxBytes: u.slabs.limit * bpf.SlabBytes}
	if t := u.cached(o, options); t != nil {
		return t, nil
	}
	f, err := o.content()
	if err != nil {
		return nil, err
	}
	t, err := unwind.Build(stoppable{f, u.quit}, f.Size(), options)
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
	if u.cache != nil && o.buildID != "" {
		u.keep(u.cache.Put(o.buildID, t))
	}
	return t, nil
}

// cached is the table that the cache has, nil if it has none.
func (u *unwinder) cached(o *object, options unwind.Options) *unwind.Table {
	if u.cache == nil || o.buildID == "" {
		return nil
	}
	t, err := u.cache.Get(o.buildID, options)
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
		t.state = bpf.UnwindNoRoom
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

// tell brings what the kernel knows of the users of t up to its state.
func (u *unwinder) tell(t *table) error {
	for p := range t.users {
		if err := u.refresh(p); err != nil {
			return err
		}
	}
	return nil
}

// maxRowRun bounds what rows lie together, so that room for them is easily found. A page of 64 KiB has at most as many.
const maxRowRun = 1 << 16 * unwind.RowSize

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

const (
	touchPeriod = 8 * time.Second        // the kernel is made to use anew each table that it uses, so often
	coldAfter   = 2 * touchPeriod        // not used for so long, a table may go
	retryPeriod = 2 * time.Second        // a table that is missed is tried again
	usedUnit    = time.Duration(1 << 30) // of bpf.UnwindFile.Used
)

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

// missed is told of a stack that would have needed a table for which there was no room.
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
			u.note(u.refresh(p))
		}
	}
	if now.Sub(u.retried) < retryPeriod {
		return
	}
	for _, t := range u.tables {
		if t.missed && t.state == bpf.UnwindNoRoom {
			u.retried, t.missed = now, false
			u.ask(t)
			return
		}
	}
}

// facts says what was given to the kernel, and what was not.
func (u *unwinder) facts(f *facts.Facts) {
	u.mu.Lock()
	defer u.mu.Unlock()
	f.AddInt("unwind.tables", int64(u.stats.built))
	f.AddInt("unwind.rows", int64(u.stats.rows))
	f.AddInt("unwind.bytes", int64(u.slabs.bytes()))
	loss := func(key string, n uint64) {
		if n > 0 {
			f.AddInt(key, int64(n))
		}
	}
	loss("unwind.files_without_table", u.stats.noTable)
	loss("unwind.tables_without_room", u.stats.noRoom)
	loss("unwind.tables_evicted", u.stats.evicted)
	loss("unwind.processes_without_room", u.stats.noRoomProcesses)
	loss("unwind.mappings_over_bound", u.stats.cutMappings)
	if u.err != nil {
		f.Add("unwind.error", u.err.Error())
	}
}
