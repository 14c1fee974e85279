// SPDX-License-Identifier: Apache-2.0

package profiler

import (
	"bytes"
	"math/rand/v2"
	"testing"

	"github.com/assaylab/assay/bpf"
)

// fakeKernel has slabs of ordinary memory.
type fakeKernel struct {
	quiesced  int
	slabs     []memory
	processes map[int]bpf.UnwindProcess
	inodes    map[bpf.UnwindInode]bpf.UnwindInodeTable
}

// memory is a slab of it.
type memory []byte

func (m memory) ReadAt(p []byte, off int64) (int, error)  { return copy(p, m[off:]), nil }
func (m memory) WriteAt(p []byte, off int64) (int, error) { return copy(m[off:], p), nil }

func (k *fakeKernel) AddSlab() (bpf.SlabMemory, error) {
	k.slabs = append(k.slabs, make(memory, bpf.SlabBytes))
	return k.slabs[len(k.slabs)-1], nil
}

func (k *fakeKernel) Quiesce() error {
	k.quiesced++
	return nil
}

// TestSlabs takes and gives back runs by chance, each filled with a byte of its own that must stay.
func TestSlabs(t *testing.T) {
	kernel := &fakeKernel{}
	s := slabs{kernel: kernel, limit: 4}
	random := rand.New(rand.NewPCG(1, 2))
	type held struct {
		run  slabRun
		fill byte
	}
	var all []held
	full := 0
	for i := range 4000 {
		if len(all) > 0 && random.IntN(5) < 2 {
			n := random.IntN(len(all))
			h := all[n]
			got := make([]byte, h.run.size)
			if err := s.read(h.run.place, got); err != nil || !bytes.Equal(got, bytes.Repeat([]byte{h.fill}, h.run.size)) {
				t.Fatalf("run %+v was written over (%v)", h.run, err)
			}
			s.release(h.run)
			all[n] = all[len(all)-1]
			all = all[:len(all)-1]
			continue
		}
		run, ok, err := s.alloc(1 + random.IntN(60000))
		if err != nil {
			t.Fatal(err)
		}
		if !ok {
			full++
			continue
		}
		if run.place.Offset()%slabGrain != 0 || run.place.Offset()+run.size > bpf.SlabBytes {
			t.Fatalf("run %+v", run)
		}
		h := held{run, byte(i)}
		if err := s.write(run.place, bytes.Repeat([]byte{h.fill}, run.size)); err != nil {
			t.Fatal(err)
		}
		all = append(all, h)
	}
	for _, h := range all {
		s.release(h.run)
	}
	if err := s.settle(); err != nil {
		t.Fatal(err)
	}
	for i, slab := range s.all {
		if len(slab.free) != 1 || slab.free[0] != (span{0, bpf.SlabBytes}) {
			t.Errorf("slab %d: free %v after all was given back", i, slab.free)
		}
	}
	if len(s.all) != s.limit || full == 0 || kernel.quiesced == 0 {
		t.Errorf("%d slabs, %d times full, %d quiesced: the test did not reach the limit", len(s.all), full, kernel.quiesced)
	}
}

// TestCover maps ranges over others, and compares with a map of single addresses.
func TestCover(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	for range 300 {
		var p unwound
		var want [100]uint64
		for n := uint64(1); n < 30; n++ {
			start := random.Uint64N(99)
			end := start + 1 + random.Uint64N(min(20, 100-start))
			p.cover(unwoundRange{start: start, end: end, bias: n})
			for a := start; a < end; a++ {
				want[a] = n
			}
		}
		var got [100]uint64
		last := uint64(0)
		for _, m := range p.maps {
			if m.start < last || m.end <= m.start {
				t.Fatalf("not sorted: %+v", p.maps)
			}
			last = m.end
			for a := m.start; a < m.end; a++ {
				got[a] = m.bias
			}
		}
		if got != want {
			t.Fatalf("%v, want %v", got, want)
		}
	}
}
