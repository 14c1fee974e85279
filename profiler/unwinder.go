// SPDX-License-Identifier: Apache-2.0

package profiler

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"os"
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
	PutUnwindInode(i bpf.UnwindInode, t bpf.UnwindInodeTable) error
}

// unwindStats count what was done and what had no room.
type unwindStats struct {
	built, rows, noTable, noRoom, evicted, noRoomProcesses, cutMappings uint64
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

// foresee has the tables made of the libraries that a process will map, which has just begun the program of an image.
func (u *unwinder) foresee(pid int, im *image, files *objects) {
	u.mu.Lock()
	defer u.mu.Unlock()
	l, err := newLibrarian("/", os.Getenv("LD_LIBRARY_PATH"))
	if err != nil {
		u.note(fmt.Errorf("libraries of the command: %w", err))
		return
	}
	for i := range im.maps {
		if !im.maps[i].isFile() {
			continue
		}
		for _, m := range l.libraries(im.maps[i].path) {
			o := files.of(pid, &m)
			u.note(u.introduce(u.tableOf(o), o))
		}
	}
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
		u.note(u.introduce(r.table, m.obj))
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

// maxUnwound is how many mappings of a process a slab holds.
const maxUnwound = bpf.SlabBytes / mappingBytes

const (
	mappingBytes = 32 // of bpf.UnwindMapping,
	mappingWord  = 24 // where its File and Reason are
)

// word is the File and the Reason of a bpf.UnwindMapping, in one piece, so that no program finds half of it.
func (m *unwoundRange) word() uint64 {
	if t := m.table; t != nil {
		return uint64(uint32(t.head.place)) | uint64(t.state)<<32
	}
	return uint64(m.reason) << 32
}

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
	p.known = bpf.UnwindProcess{Maps: uint32(run.place), MapCount: uint32(len(b) / mappingBytes)}
	if err := u.slabs.write(run.place, b); err != nil {
		return err
	}
	return u.renew(p)
}

// correct tells the kernel what has become of the table of a file that p has mapped. Each mapping stays in its place, so it can be written over.
func (u *unwinder) correct(p *unwound, t *table) error {
	if p.run == nil {
		return nil
	}
	for i := range p.maps[:p.known.MapCount] {
		if m := &p.maps[i]; m.table == t {
			if err := u.slabs.write(p.run.place.Plus(i*mappingBytes+mappingWord), binary.LittleEndian.AppendUint64(nil, m.word())); err != nil {
				return err
			}
		}
	}
	return u.renew(p)
}

// renew gives the mappings of p a new version, so that what was found by the one before counts no more.
func (u *unwinder) renew(p *unwound) error {
	if p.run == nil {
		return nil
	}
	u.version++
	p.known.Version = u.version
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
	for i := range maps {
		m := &maps[i]
		for _, word := range [...]uint64{m.start, m.end, m.bias, m.word()} {
			b = binary.LittleEndian.AppendUint64(b, word)
		}
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

// readStruct is the inverse of appendStruct, from a place in slabs.
func readStruct[T any](s *slabs, at bpf.Place) (v T, err error) {
	b := make([]byte, binary.Size(v))
	if err := s.read(at, b); err != nil {
		return v, err
	}
	_, err = binary.Decode(b, binary.LittleEndian, &v)
	return v, err
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
