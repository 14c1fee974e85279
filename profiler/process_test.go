// SPDX-License-Identifier: Apache-2.0

package profiler

import (
	"errors"
	"math/rand/v2"
	"testing"
)

func at(path string, start uint64) mapping {
	return mapping{start: start, end: start + 0x1000, path: path}
}

// testProcesses reads mappings from a table in place of /proc.
func testProcesses(proc map[int][]mapping) *processes {
	ps := newProcesses(nil)
	ps.cgroupOf = func(int) string { return "" }
	ps.readMaps = func(pid int) ([]mapping, error) {
		if m, ok := proc[pid]; ok {
			return m, nil
		}
		return nil, errors.New("gone")
	}
	return ps
}

func TestProcessHistory(t *testing.T) {
	ps := testProcesses(map[int][]mapping{10: {at("/old", 0x1000)}})
	path := func(pid int, addr, when uint64) string {
		im := ps.imageAt(pid, when)
		if im == nil {
			return "no image"
		}
		if m := im.find(addr, when); m != nil {
			return m.path
		}
		return "unmapped"
	}
	check := func(what string, pid int, addr, when uint64, want string) {
		t.Helper()
		if got := path(pid, addr, when); got != want {
			t.Errorf("%s: pid %d at %d: %s, want %s", what, pid, when, got, want)
		}
	}
	check("there before", 10, 0x1500, 5, "/old")
	ps.mapped(10, 20, at("/dlopened", 0x9000))
	check("dlopen", 10, 0x9500, 25, "/dlopened")
	check("sample a little before its mapping's record", 10, 0x9500, 19, "/dlopened")
	ps.forked(11, 10, 30)
	check("child has the parent's", 11, 0x9500, 31, "/dlopened")
	ps.mapped(11, 32, at("/child-only", 0xa000))
	check("parent does not see the child's", 10, 0xa500, 33, "unmapped")
	ps.execed(11, 40)
	ps.mapped(11, 41, at("/new", 0x1000))
	check("before exec", 11, 0x1500, 35, "/old")
	check("after exec", 11, 0x1500, 45, "/new")
	ps.exited(11, 11, 50)
	check("still known after its end", 11, 0x1500, 45, "/new")
	ps.forked(11, 10, 60)
	check("number used again", 11, 0x1500, 61, "/old")
	check("nobody", 99, 0x1000, 1, "no image")
}

func TestProcessEndsWithItsLastThread(t *testing.T) {
	ps := testProcesses(nil)
	ps.forked(7, 1, 10)
	ps.spawned(7)
	ps.exited(7, 7, 20)
	ps.bury(30)
	if _, ok := ps.table[7]; !ok {
		t.Fatal("forgotten when its leader ended, though a thread went on")
	}
	ps.exited(7, 8, 40)
	ps.bury(50)
	if _, ok := ps.table[7]; ok {
		t.Error("still there after its last thread ended")
	}
}

// TestFind compares what is found among many mappings with what the definition says, while more come: first one beside the other, then over each other.
func TestFind(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	im := &image{}
	slow := func(addr, at uint64) *timedMapping {
		var first *timedMapping
		for i := range im.maps {
			if m := &im.maps[i]; addr >= m.start && addr < m.end {
				switch {
				case first == nil, m.since <= at:
					first = m
				}
			}
		}
		return first
	}
	check := func() {
		t.Helper()
		for range 20 {
			addr, at := random.Uint64N(1<<20), random.Uint64N(600)
			if got, want := im.find(addr, at), slow(addr, at); got != want {
				t.Fatalf("%#x at %d among %d: %+v, want %+v", addr, at, len(im.maps), got, want)
			}
		}
	}
	places := random.Perm(1 << 10)
	for i := range 500 {
		start := uint64(places[i]) << 10
		im.maps = append(im.maps, timedMapping{mapping: mapping{start: start, end: start + 1 + random.Uint64N(1<<10)}, since: uint64(i)})
		check()
	}
	if len(im.sorted) < 300 {
		t.Errorf("%d of %d mappings are in order", len(im.sorted), len(im.maps))
	}
	for i := range 200 {
		start := random.Uint64N(1 << 20)
		im.maps = append(im.maps, timedMapping{mapping: mapping{start: start, end: start + 1 + random.Uint64N(1<<12)}, since: uint64(500 + i)})
		check()
	}
}
