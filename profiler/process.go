// SPDX-License-Identifier: Apache-2.0

package profiler

import (
	"cmp"
	"slices"
)

// image is an address space from an exec (or fork, or our first look) on: its executable mappings in the order
// in which they came.
type image struct {
	pid  int
	from uint64 // CLOCK_MONOTONIC; 0: before the recording
	maps []timedMapping

	sorted []int32 // the first mappings by address, if none of them lies over another,
	tried  int     // as of so many

	looked int     // mappings that were looked at for interpreters and compilers
	dump   *object // the jitdump that the process wrote last, nil for none
	python pythonSide
}

type timedMapping struct {
	mapping
	since uint64
	obj   *object // nil until a frame falls into it
}

// process is what is known of one PID. PIDs are used again, so all of it has times.
type process struct {
	pid        int
	images     []*image // by time
	parent     int      // who forked it in the recording; 0: it was there before
	threads    int      // besides the leader, that began in the recording
	leaderGone bool
	dead       bool
	diedAt     uint64
	looked     bool // /proc has been asked
	cgroup     string
	cgroups    bool // cgroup has been read
}

// processes follows all address spaces.
type processes struct {
	table     map[int]*process
	graveyard []*process // ended, in order
	files     *objects
	readMaps  func(pid int) ([]mapping, error)
	cgroupOf  func(pid int) string
	buried    func(pid int)
	unread    uint64 // processes whose mappings could not be read
	truncated uint64 // mappings beyond the bound
	seen      uint64 // processes ever in the table
}

func newProcesses(files *objects) *processes {
	return &processes{table: map[int]*process{}, files: files, readMaps: readMaps, cgroupOf: readCgroup, buried: func(int) {}}
}

func (ps *processes) get(pid int) *process {
	p := ps.table[pid]
	if p == nil {
		p = &process{pid: pid}
		ps.table[pid] = p
		ps.seen++
	}
	return p
}

// at is the image that the process had at a time, nil if none is known.
func (p *process) at(t uint64) *image {
	for i := len(p.images) - 1; i >= 0; i-- {
		if p.images[i].from <= t || i == 0 {
			return p.images[i]
		}
	}
	return nil
}

func (ps *processes) mapped(pid int, at uint64, m mapping) {
	p := ps.get(pid)
	if len(p.images) == 0 {
		if p.looked = true; !ps.look(p, 0) {
			p.images = append(p.images, &image{pid: pid, from: 0})
		}
	}
	im := p.at(at)
	if len(im.maps) >= maxMappings {
		ps.truncated++
		return
	}
	im.maps = append(im.maps, timedMapping{mapping: m, since: at})
}

func (ps *processes) execed(pid int, at uint64) {
	p := ps.revive(pid)
	p.images = append(p.images, &image{pid: pid, from: at})
	p.looked = true
}

// revive returns the process of a PID, a fresh one if the last of that number has ended.
func (ps *processes) revive(pid int) *process {
	if p := ps.table[pid]; p != nil && p.dead {
		delete(ps.table, pid)
	}
	return ps.get(pid)
}

func (ps *processes) forked(pid, parent int, at uint64) {
	delete(ps.table, pid) // whoever had that number is gone
	p := ps.get(pid)
	p.parent = parent
	from := ps.table[parent]
	if from == nil {
		return
	}
	if im := from.at(at); im != nil {
		// The slice is cut at its length: what either appends later, the other does not see.
		p.images = append(p.images, &image{pid: pid, from: at, maps: im.maps[:len(im.maps):len(im.maps)], sorted: im.sorted, tried: im.tried})
		p.looked = true
	}
	if from.cgroups {
		p.cgroup, p.cgroups = from.cgroup, true
	}
}

func (ps *processes) spawned(pid int) { ps.get(pid).threads++ }

// exited notes the end of a thread. The process ends with its last one, which need not be its leader. Of a process
// that was there before the recording the number of threads is not known: it is taken as ended when its
// leader has, but its images stay until it is buried.
func (ps *processes) exited(pid, tid int, at uint64) {
	p := ps.get(pid)
	if tid != pid {
		p.threads--
	} else {
		p.leaderGone = true
		if !p.looked {
			p.looked = true
			ps.look(p, 0) // a leader that is gone has no mappings in /proc, but its threads may still
		}
	}
	if p.dead || !p.leaderGone || p.threads > 0 {
		return
	}
	p.dead, p.diedAt = true, at
	ps.graveyard = append(ps.graveyard, p)
}

// bury forgets the processes that ended before a time. Images that samples point to live on.
func (ps *processes) bury(before uint64) {
	n := 0
	for n < len(ps.graveyard) && ps.graveyard[n].diedAt < before {
		if p := ps.graveyard[n]; ps.table[p.pid] == p {
			delete(ps.table, p.pid)
			ps.buried(p.pid)
		}
		n++
	}
	ps.graveyard = slices.Delete(ps.graveyard, 0, n)
}

// look reads the mappings of a process from /proc.
func (ps *processes) look(p *process, from uint64) bool {
	maps, err := ps.readMaps(p.pid)
	if err != nil {
		ps.unread++
		return false
	}
	if len(maps) >= maxMappings {
		ps.truncated++ // at least one; how many more, nobody has counted
	}
	im := &image{pid: p.pid, from: from, maps: make([]timedMapping, len(maps))}
	for i, m := range maps {
		im.maps[i] = timedMapping{mapping: m}
	}
	p.images = append(p.images, im)
	return true
}

// maxAncestors bounds the way up to a process whose mappings are known.
const maxAncestors = 8

// imageAt is the image of a process at a time; /proc is asked when nothing is known of it, and when it is
// gone already, its parent's image stands for it.
func (ps *processes) imageAt(pid int, t uint64) *image {
	for range maxAncestors {
		p := ps.get(pid)
		if !p.looked {
			p.looked = true
			ps.look(p, 0)
			ps.label(p)
		}
		if im := p.at(t); im != nil {
			return im
		}
		if p.parent == 0 {
			return nil
		}
		pid = p.parent
	}
	return nil
}

// label reads the cgroup of a process while it can be read.
func (ps *processes) label(p *process) {
	if !p.cgroups {
		p.cgroup, p.cgroups = ps.cgroupOf(p.pid), true
	}
}

// find is the mapping that covered an address at a time: the latest that was there by then, else the first that came.
func (im *image) find(addr, t uint64) *timedMapping {
	if len(im.maps)-im.tried > fewMappings+im.tried/4 {
		im.sort()
	}
	var later *timedMapping
	for i := len(im.maps) - 1; i >= len(im.sorted); i-- {
		m := &im.maps[i]
		if addr < m.start || addr >= m.end {
			continue
		}
		if m.since <= t {
			return m
		}
		later = m
	}
	i, found := slices.BinarySearchFunc(im.sorted, addr, func(n int32, addr uint64) int {
		switch m := &im.maps[n]; {
		case m.end <= addr:
			return -1
		case m.start > addr:
			return 1
		}
		return 0
	})
	if found {
		return &im.maps[im.sorted[i]]
	}
	return later
}

// fewMappings are looked through one by one.
const fewMappings = 32

// sort makes the order by address, for all mappings that there are now. A process that maps new code over old has none.
func (im *image) sort() {
	im.tried, im.sorted = len(im.maps), nil
	sorted := make([]int32, len(im.maps))
	for i := range sorted {
		sorted[i] = int32(i)
	}
	slices.SortFunc(sorted, func(a, b int32) int { return cmp.Compare(im.maps[a].start, im.maps[b].start) })
	for i := 1; i < len(sorted); i++ {
		if im.maps[sorted[i-1]].end > im.maps[sorted[i]].start {
			return
		}
	}
	im.sorted = sorted
}
