// SPDX-License-Identifier: Apache-2.0

package profiler

import (
	"fmt"
	"slices"

	"github.com/assaylab/assay/bpf"
)

// slabs hands out memory that the kernel's walk of stacks reads. What is given back may be read by a program that runs just now, so it
// waits in limbo until none does.
type slabs struct {
	kernel slabKernel
	limit  int // slabs
	all    []slab
	limbo  []slabRun
	waits  int // bytes in limbo
}

// slabKernel is what of [bpf.Kernel] slabs come from.
type slabKernel interface {
	AddSlab() (bpf.SlabMemory, error)
	Quiesce() error
}

type slab struct {
	memory bpf.SlabMemory
	free   []span // sorted, with gaps between them
}

// span is a part of a slab in bytes.
type span struct{ from, to int }

// slabRun is memory in one slab.
type slabRun struct {
	place bpf.Place
	size  int
}

// slabGrain is what sizes are rounded up to. The largest thing that must be aligned to its size has as many bytes.
const slabGrain = 32

// enoughInLimbo is how many bytes may wait in limbo before they are rather waited for than one more slab is taken.
const enoughInLimbo = bpf.SlabBytes / 2

// alloc finds room for size bytes in one slab. It says false when there is none within the limit.
func (s *slabs) alloc(size int) (slabRun, bool, error) {
	size = (size + slabGrain - 1) &^ (slabGrain - 1)
	if size == 0 || size > bpf.SlabBytes {
		return slabRun{}, false, nil
	}
	for i := range s.all {
		if from, ok := s.all[i].take(size); ok {
			return slabRun{bpf.PlaceAt(i, from), size}, true, nil
		}
	}
	if len(s.all) < s.limit && s.waits < enoughInLimbo {
		m, err := s.kernel.AddSlab()
		if err != nil {
			return slabRun{}, false, err
		}
		s.all = append(s.all, slab{m, []span{{size, bpf.SlabBytes}}})
		return slabRun{bpf.PlaceAt(len(s.all)-1, 0), size}, true, nil
	}
	if s.waits == 0 {
		return slabRun{}, false, nil
	}
	if err := s.settle(); err != nil {
		return slabRun{}, false, err
	}
	return s.alloc(size)
}

// take cuts size bytes from the first span that has as many.
func (s *slab) take(size int) (from int, ok bool) {
	for i := range s.free {
		f := &s.free[i]
		if f.to-f.from < size {
			continue
		}
		from = f.from
		if f.from += size; f.from == f.to {
			s.free = slices.Delete(s.free, i, i+1)
		}
		return from, true
	}
	return 0, false
}

// sharedRun is a run that several use.
type sharedRun struct {
	slabRun
	users int
}

// leave gives a run back when its last user leaves it.
func (s *slabs) leave(r *sharedRun) {
	if r == nil {
		return
	}
	if r.users--; r.users == 0 {
		s.release(r.slabRun)
	}
}

// release gives a run back. Nothing that the kernel is told of leads to it any more.
func (s *slabs) release(r slabRun) {
	if r.size > 0 {
		s.limbo = append(s.limbo, r)
		s.waits += r.size
	}
}

// settle makes all that waits in limbo free again.
func (s *slabs) settle() error {
	if len(s.limbo) == 0 {
		return nil
	}
	if err := s.kernel.Quiesce(); err != nil {
		return err
	}
	for _, r := range s.limbo {
		s.all[r.place.Slab()].give(span{r.place.Offset(), r.place.Offset() + r.size})
	}
	s.limbo, s.waits = s.limbo[:0], 0
	return nil
}

// give adds a span to the free ones and joins it with its neighbours.
func (s *slab) give(r span) {
	i, _ := slices.BinarySearchFunc(s.free, r, func(a, b span) int { return a.from - b.from })
	if i < len(s.free) && s.free[i].from == r.to {
		s.free[i].from = r.from
	} else {
		s.free = slices.Insert(s.free, i, r)
	}
	if i > 0 && s.free[i-1].to == s.free[i].from {
		s.free[i-1].to = s.free[i].to
		s.free = slices.Delete(s.free, i, i+1)
	}
}

// write puts b at a place.
func (s *slabs) write(at bpf.Place, b []byte) error {
	if _, err := s.all[at.Slab()].memory.WriteAt(b, int64(at.Offset())); err != nil {
		return fmt.Errorf("slab %d: %w", at.Slab(), err)
	}
	return nil
}

// read fills b from a place.
func (s *slabs) read(at bpf.Place, b []byte) error {
	if _, err := s.all[at.Slab()].memory.ReadAt(b, int64(at.Offset())); err != nil {
		return fmt.Errorf("slab %d: %w", at.Slab(), err)
	}
	return nil
}

// bytes is what the slabs take.
func (s *slabs) bytes() int { return len(s.all) * bpf.SlabBytes }
