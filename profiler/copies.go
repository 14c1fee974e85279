// SPDX-License-Identifier: Apache-2.0

package profiler

import (
	"runtime"
	"time"

	"github.com/assaylab/assay/bpf"
	"github.com/assaylab/assay/internal/facts"
	"github.com/assaylab/assay/profiler/internal/walk"
	"github.com/assaylab/assay/profiler/unwind"
)

// maxCopies bounds what copies of stacks take in memory while they wait for tables, in bytes.
const maxCopies = 16 << 20

// copies are user stacks that the kernel's walk met before the tables of their code were there. They are walked again when these are.
type copies struct {
	waiting []stackCopy
	bytes   int
	walked  uint64 // again
	dropped uint64 // for want of room
}

type stackCopy struct {
	bpf.Copy
	image *image // that the process had then
}

// Copy keeps a copy of a stack that came before.
func (a *aggregate) Copy(c bpf.Copy) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.catchUp() // what it has mapped is in the side band
	im := a.procs.imageAt(int(c.Tgid), c.At)
	if a.unwind == nil || im == nil {
		return // it stays as it is
	}
	if a.copies.bytes+len(c.Stack) > maxCopies {
		a.copies.dropped++
		return
	}
	a.copies.bytes += len(c.Stack)
	a.copies.waiting = append(a.copies.waiting, stackCopy{c, im})
}

// walkAgain walks the copies whose tables are there. It says whether none is left. In the end all are walked, by what tables there are.
func (a *aggregate) walkAgain(end bool) (done bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	left := a.copies.waiting[:0]
	a.copies.bytes = 0
	for _, c := range a.copies.waiting {
		r, ready := a.unwind.walk(&c, a.procs.files)
		if !ready && !end {
			left = append(left, c)
			a.copies.bytes += len(c.Stack)
			continue
		}
		if st, ok := a.stacks[c.ID]; ok {
			a.copies.walked++
			a.stacks[c.ID] = stack{r.End, r.Reason, r.Fault, st.python, r.Frames}
		}
	}
	clear(a.copies.waiting[len(left):])
	a.copies.waiting = left
	return len(left) == 0
}

// finishCopies walks all copies that are left, and waits for tables that are missed, but not for long.
func (a *aggregate) finishCopies() {
	for end := time.Now().Add(maxPrepare); !a.walkAgain(false) && time.Now().Before(end); time.Sleep(2 * time.Millisecond) {
	}
	a.walkAgain(true)
}

func (c *copies) facts(f *facts.Facts) {
	f.AddInt("unwind.walked_again", int64(c.walked))
	if c.dropped > 0 {
		f.AddInt("unwind.copies_dropped", int64(c.dropped))
	}
}

// walk walks a copy by what the kernel has by now. It is not ready when a table on its way is just being made.
func (u *unwinder) walk(c *stackCopy, files *objects) (r walk.Result, ready bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	ready = true
	r = walk.Stack(&c.Copy, walk.MachineOf(runtime.GOARCH), func(pc uint64) (unwind.Rule, bool) {
		m := c.image.find(pc, c.At)
		if m == nil {
			return unwind.Rule{}, false
		}
		rule, err := u.rule(c.image, m, pc, files)
		u.note(err)
		if rule == byFramePointer(bpf.UnwindPending) {
			ready = false
		}
		return rule, true
	})
	return r, ready
}

func byFramePointer(why bpf.UnwindReason) unwind.Rule {
	return unwind.Rule{CFA: unwind.CFAFramePointer, Aux: int16(why)}
}

// rule is that of an address in a mapping. A table that is not there yet is made before those that nobody waits for.
func (u *unwinder) rule(im *image, m *timedMapping, pc uint64, files *objects) (unwind.Rule, error) {
	if !m.isFile() && m.path != vdsoName {
		return byFramePointer(bpf.UnwindAnonymous), nil
	}
	if m.obj == nil {
		m.obj = files.of(im.pid, &m.mapping)
	}
	t := u.tableOf(m.obj)
	switch t.state {
	case bpf.UnwindByTable:
		return u.find(t, pc-m.obj.bias(&m.mapping))
	case bpf.UnwindPending:
		t.missed = true
	}
	return byFramePointer(t.state), nil
}
