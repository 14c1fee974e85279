// SPDX-License-Identifier: Apache-2.0

package profiler

import (
	"path/filepath"
	"strconv"
	"strings"
	"sync"

	"github.com/assaylab/assay/bpf"
)

// aggregate collects what comes from the kernel. It is the [bpf.Handler] of the ring buffer and of the sweeps, and takes the
// lines of each swapped table.
type aggregate struct {
	mu      sync.Mutex
	procs   *processes
	python  *pythons
	golang  *golangs
	stacks  map[uint64]stack
	counts  map[countKey]*bpf.CountValue
	threads []bpf.Thread
	flush   chan struct{}
	catchUp func()    // reads the side band; the caller holds mu
	unwind  *unwinder // nil: user stacks by frame pointers
	copies  copies
	again   uint64 // stacks that came more than once
}

type stack struct {
	end    bpf.StackEnd
	reason bpf.UnwindReason
	fault  int      // the frame with that reason
	python uint64   // ID of the frames of Python that it runs, or 0
	frames []uint64 // leaf first
}

// countKey is a line of the kernel's table with the address space that the process had.
type countKey struct {
	bpf.CountKey
	image *image // nil: not known
}

func newAggregate(procs *processes, python *pythons, golang *golangs) *aggregate {
	return &aggregate{
		procs: procs, python: python, golang: golang, stacks: map[uint64]stack{}, counts: map[countKey]*bpf.CountValue{},
		flush: make(chan struct{}, 1), catchUp: func() {},
	}
}

// Stack keeps a new stack. The files under its frames are opened now, since the process may soon be gone.
func (a *aggregate) Stack(s bpf.Stack) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if _, ok := a.stacks[s.ID]; ok {
		a.again++
		return
	}
	a.stacks[s.ID] = stack{s.End, s.Reason, s.Fault, s.Python, s.Frames}
	if s.End == bpf.KernelStack || s.End == bpf.KernelCut || len(s.Frames) == 0 {
		return
	}
	if a.procs.table[int(s.Tgid)] == nil || s.Reason == bpf.UnwindNoMapping {
		a.catchUp() // before /proc is asked: it may have been born just now, or mapped more
	}
	im := a.procs.imageAt(int(s.Tgid), maxTime)
	if im == nil {
		return
	}
	if a.unwind != nil {
		a.unwind.follow(int(s.Tgid), im, a.procs.files)
		switch s.Reason {
		case bpf.UnwindNoProcess, bpf.UnwindPending, bpf.UnwindNoRoom:
			if m := im.find(s.Frames[s.Fault]-1, maxTime); m != nil {
				a.unwind.missed(m)
			}
		}
	}
	for _, addr := range s.Frames {
		if m := im.find(addr, maxTime); m != nil && m.obj == nil {
			m.obj = a.procs.files.of(im.pid, &m.mapping)
		}
	}
	a.look(im)
}

// look tells of the mappings of an image that are new since the last look to those who know interpreters and compilers.
func (a *aggregate) look(im *image) {
	a.python.forget(im.pid, im)
	a.golang.forget(im.pid, im)
	for ; im.looked < len(im.maps); im.looked++ {
		m := &im.maps[im.looked]
		switch {
		case !m.isFile():
		case isJITDump(m.path):
			im.dump = a.procs.files.dump(im.pid, &m.mapping)
		default:
			a.python.see(im, m)
			a.golang.see(im, m)
		}
	}
}

// isJITDump says whether a file is named as perf wants the dump of a JIT compiler to be named: jit-PID.dump.
func isJITDump(path string) bool {
	pid, ok := strings.CutPrefix(filepath.Base(path), "jit-")
	pid, isDump := strings.CutSuffix(pid, ".dump")
	_, err := strconv.ParseUint(pid, 10, 31)
	return ok && isDump && err == nil
}

const maxTime = ^uint64(0)

// Count adds a line.
func (a *aggregate) Count(c bpf.Count) {
	a.mu.Lock()
	defer a.mu.Unlock()
	key := countKey{CountKey: c.Key}
	if c.Key.Flags&bpf.KeyKernelThread == 0 {
		key.image = a.procs.imageAt(int(c.Key.Tgid), c.Value.FirstNs)
	}
	v := a.counts[key]
	if v == nil {
		first := c.Value
		a.counts[key] = &first
		a.labelProcess(int(c.Key.Tgid))
		return
	}
	v.Count += c.Value.Count
	v.Weight += c.Value.Weight
	v.Ns += c.Value.Ns
	v.RunqNs += c.Value.RunqNs
}

func (a *aggregate) labelProcess(pid int) {
	a.procs.label(a.procs.get(pid))
}

// Thread keeps the account of a thread.
func (a *aggregate) Thread(t bpf.Thread) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.threads = append(a.threads, t)
}

// Flush asks for a swap of tables.
func (a *aggregate) Flush() {
	select {
	case a.flush <- struct{}{}:
	default:
	}
}
