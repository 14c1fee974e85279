// SPDX-License-Identifier: Apache-2.0

package profiler

import (
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/assaylab/assay/bpf"
	"github.com/assaylab/assay/internal/elfx"
	"github.com/assaylab/assay/profiler/unwind"
)

func (k *fakeKernel) PutUnwindProcess(pid int, p bpf.UnwindProcess) error {
	k.processes[pid] = p
	return nil
}

func (k *fakeKernel) DropUnwindProcess(pid int) error {
	delete(k.processes, pid)
	return nil
}

func (k *fakeKernel) PutUnwindInode(i bpf.UnwindInode, t bpf.UnwindInodeTable) error {
	k.inodes[i] = t
	return nil
}

// view decodes what lies at a place.
func view[T any](k *fakeKernel, at bpf.Place) (v T) {
	if _, err := binary.Decode(k.slabs[at.Slab()][at.Offset():], binary.LittleEndian, &v); err != nil {
		panic(err)
	}
	return v
}

// find looks a rule up as the eBPF program does, and says why there is none.
func (k *fakeKernel) find(pid int, addr uint64) (rule uint64, reason bpf.UnwindReason) {
	p, ok := k.processes[pid]
	if !ok {
		return 0, bpf.UnwindNoProcess
	}
	mapping := func(i int) bpf.UnwindMapping {
		return view[bpf.UnwindMapping](k, bpf.Place(p.Maps).Plus(i*mappingBytes))
	}
	i := sort.Search(int(p.MapCount), func(i int) bool { return mapping(i).Start > addr }) - 1
	if i < 0 || addr >= mapping(i).End {
		return 0, bpf.UnwindNoMapping
	}
	m := mapping(i)
	if m.Reason != 0 {
		return 0, bpf.UnwindReason(m.Reason)
	}
	f := view[bpf.UnwindFile](k, bpf.Place(m.File))
	vaddr := addr - m.Bias
	if vaddr < f.Base || (vaddr-f.Base)>>16 >= uint64(f.PageCount) {
		return 0, bpf.UnwindNoRow
	}
	page := view[bpf.UnwindPage](k, bpf.Place(f.Pages).Plus(int((vaddr-f.Base)>>16)*8))
	row := func(i int) unwind.Row { return view[unwind.Row](k, bpf.Place(page.Rows).Plus(i*unwind.RowSize)) }
	n := sort.Search(int(page.N), func(i int) bool { return row(i).Low > uint16(vaddr) }) - 1
	if n < 0 {
		return 0, bpf.UnwindNoRow
	}
	rule = view[uint64](k, bpf.Place(f.Rules).Plus(int(row(n).Rule)*unwind.RuleSize))
	if rule == 0 {
		return 0, bpf.UnwindNoRow
	}
	return rule, bpf.UnwindByTable
}

// randomTable has pages with holes between them.
func randomTable(random *rand.Rand, pages int) *unwind.Table {
	t := &unwind.Table{Base: uint64(random.IntN(4)) << 16, Rules: []unwind.Rule{{}}}
	for i := range 200 {
		t.Rules = append(t.Rules, unwind.Rule{CFA: unwind.CFASP, RA: unwind.RAAtCFA, CFAOffset: int16(i + 1)})
	}
	number := uint32(random.IntN(3))
	for range pages {
		rows := []unwind.Row{{Rule: uint16(random.IntN(len(t.Rules)))}}
		for low := 1 + random.IntN(50); low < 1<<16; low += 1 + random.IntN(50) {
			rows = append(rows, unwind.Row{Low: uint16(low), Rule: uint16(random.IntN(len(t.Rules)))})
		}
		t.Pages = append(t.Pages, unwind.Page{Number: number, Rows: rows})
		number += uint32(1 + random.IntN(2))
	}
	return t
}

// testUnwinder builds no tables by itself.
func testUnwinder(slabsMost int) (*unwinder, *fakeKernel) {
	k := &fakeKernel{processes: map[int]bpf.UnwindProcess{}, inodes: map[bpf.UnwindInode]bpf.UnwindInodeTable{}}
	return &unwinder{
		kernel: k, slabs: slabs{kernel: k, limit: slabsMost}, tables: map[tableKey]*table{}, procs: map[int]*unwound{},
		build: make(chan struct{}, 1),
	}, k
}

// testImage has the files one after another, each in a mapping of 1 MiB.
func testImage(pid int, files *objects, names ...string) *image {
	im := &image{pid: pid}
	for i, name := range names {
		m := mapping{start: uint64(i+1) << 32, end: uint64(i+1)<<32 + 1<<20, path: name, buildID: name}
		o := &object{path: name, buildID: name, tried: true}
		files.byKey[objectKey{path: name, buildID: name}] = o
		im.maps = append(im.maps, timedMapping{mapping: m, obj: o})
	}
	return im
}

// TestUnwinder looks rules up in what the kernel was given, and compares with the tables themselves.
func TestUnwinder(t *testing.T) {
	random := rand.New(rand.NewPCG(5, 6))
	u, k := testUnwinder(16)
	files := &objects{byKey: map[objectKey]*object{}}
	u.follow(1, testImage(1, files, "/a", "/b", "/c"), files)
	if _, reason := k.find(1, 1<<32); reason != bpf.UnwindPending {
		t.Errorf("before the table is there: %v", reason)
	}
	built := map[string]*unwind.Table{"/a": randomTable(random, 1), "/b": randomTable(random, 12)}
	for next := u.next(); next != nil; next = u.next() {
		var err error
		if built[next.object.path] == nil {
			err = errors.New("no ELF file")
		}
		u.finish(next, built[next.object.path], err)
	}
	u.follow(2, testImage(2, files, "/b"), files)
	check := func(pid int, start uint64, name string) {
		t.Helper()
		for range 2000 {
			vaddr := random.Uint64N(1 << 20)
			rule, reason := k.find(pid, start+vaddr)
			want, ok := built[name].Find(vaddr)
			packed := want.Pack()
			if again, err := u.find(u.tables[tableKey{buildID: name}], vaddr); err != nil || ok && again != want || !ok && again != byFramePointer(bpf.UnwindNoRow) {
				t.Fatalf("%s+%#x, for a copy: rule %+v, %v; want %+v, %v", name, vaddr, again, err, want, ok)
			}
			if ok != (reason == bpf.UnwindByTable) || ok && rule != binary.LittleEndian.Uint64(packed[:]) {
				t.Fatalf("%s+%#x of process %d: rule %#x, %v; want %+v, %v", name, vaddr, pid, rule, reason, want, ok)
			}
		}
	}
	check(1, 1<<32, "/a")
	check(1, 2<<32, "/b")
	check(2, 1<<32, "/b")
	if _, reason := k.find(1, 3<<32); reason != bpf.UnwindNoTable {
		t.Errorf("of a file without a table: %v", reason)
	}
	if _, reason := k.find(1, 4<<32); reason != bpf.UnwindNoMapping {
		t.Errorf("outside of all: %v", reason)
	}
	u.changed(map[int]bool{1: true}, testProcesses(nil))
	if _, reason := k.find(1, 1<<32); reason != bpf.UnwindNoProcess {
		t.Errorf("of a process that is gone: %v", reason)
	}
	if u.err != nil {
		t.Error(u.err)
	}
}

// TestInodes: the kernel is told of a file and of what becomes of its table.
func TestInodes(t *testing.T) {
	u, k := testUnwinder(16)
	file, err := os.Create(filepath.Join(t.TempDir(), "file"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	files := &objects{byKey: map[objectKey]*object{}}
	im := testImage(1, files, "/a")
	o := im.maps[0].obj
	o.file, o.loads = file, []elfx.Load{{Flags: elf.PF_R}, {Flags: elf.PF_X, Off: 0x1000, Vaddr: 0x3000}}
	u.follow(1, im, files)
	var st unix.Stat_t
	if err := unix.Fstat(int(file.Fd()), &st); err != nil {
		t.Fatal(err)
	}
	inode := bpf.UnwindInode{Number: st.Ino, Mtime: uint64(st.Mtim.Nano()), Dev: unix.Major(st.Dev)<<20 | unix.Minor(st.Dev)}
	minus := func(n uint64) uint64 { return -n }
	want := bpf.UnwindInodeTable{Shift: minus(0x2000), Reason: uint32(bpf.UnwindPending)}
	if got, ok := k.inodes[inode]; !ok || got != want {
		t.Errorf("%+v: %+v, want %+v", k.inodes, got, want)
	}
	u.finish(u.next(), randomTable(rand.New(rand.NewPCG(9, 9)), 3), nil)
	want.Reason, want.File = uint32(bpf.UnwindByTable), uint32(u.tables[tableKey{buildID: "/a"}].head.place)
	if got := k.inodes[inode]; got != want {
		t.Errorf("with the table: %+v, want %+v", got, want)
	}
	// Code in two parts that lie differently has no one place.
	o.loads = append(o.loads, elfx.Load{Flags: elf.PF_X, Off: 0x2000, Vaddr: 0x9000})
	if inode, _, ok := o.inode(); ok {
		t.Errorf("code in parts has inode %+v", inode)
	}
}

// TestEviction has more tables than there is room: those that nobody uses go, and come back when they are mapped again.
func TestEviction(t *testing.T) {
	random := rand.New(rand.NewPCG(7, 8))
	u, k := testUnwinder(4)
	files := &objects{byKey: map[objectKey]*object{}}
	load := func(pid int, name string) {
		t.Helper()
		u.follow(pid, testImage(pid, files, name), files)
		for next := u.next(); next != nil; next = u.next() {
			u.finish(next, randomTable(random, 90), nil) // 0.9 MB
		}
	}
	state := func(pid int) bpf.UnwindReason {
		_, reason := k.find(pid, 1<<32+5<<16)
		return reason
	}
	for pid := 1; pid <= 5; pid++ {
		load(pid, fmt.Sprintf("/%d", pid))
	}
	if got := state(5); got != bpf.UnwindNoRoom {
		t.Errorf("with all in use: %v", got)
	}
	ps := testProcesses(nil)
	u.changed(map[int]bool{1: true, 5: true}, ps)
	load(6, "/6")
	if got := state(6); got == bpf.UnwindNoRoom || u.stats.evicted != 1 {
		t.Errorf("after one was not used any more: %v, %d evicted", got, u.stats.evicted)
	}
	u.changed(map[int]bool{2: true}, ps)
	load(7, "/1")
	if got := state(7); got == bpf.UnwindNoRoom || got == bpf.UnwindPending || u.stats.evicted != 2 {
		t.Errorf("mapped again: %v, %d evicted", got, u.stats.evicted)
	}
	if u.err != nil {
		t.Error(u.err)
	}
}

// TestTableTooLarge has a table that alone is more than there is room for: it is made once, and the others have what they need.
func TestTableTooLarge(t *testing.T) {
	u, k := testUnwinder(1)
	files := &objects{byKey: map[objectKey]*object{}}
	image := testImage(1, files, "/large", "/small")
	u.follow(1, image, files)
	made := map[string]int{}
	finish := func() {
		for next := u.next(); next != nil; next = u.next() {
			made[next.object.path]++
			if next.object.path == "/large" {
				u.finish(next, nil, fmt.Errorf("unwind table: %w", unwind.ErrTooLarge))
			} else {
				u.finish(next, randomTable(rand.New(rand.NewPCG(9, 10)), 2), nil)
			}
		}
	}
	finish()
	u.missed(&image.maps[0])
	u.tick(time.Now())
	u.changed(map[int]bool{1: true}, testProcesses(nil)) // it has ended
	u.follow(2, testImage(2, files, "/large"), files)
	finish()
	if made["/large"] != 1 || u.stats.noRoom != 1 {
		t.Errorf("made %d times, counted %d times", made["/large"], u.stats.noRoom)
	}
	u.follow(1, image, files)
	if _, reason := k.find(1, 1<<32); reason != bpf.UnwindNoRoom {
		t.Errorf("of the large one: %v", reason)
	}
	if _, reason := k.find(1, 2<<32); reason != bpf.UnwindByTable && reason != bpf.UnwindNoRow {
		t.Errorf("of the small one: %v", reason)
	}
	if u.err != nil {
		t.Error(u.err)
	}
}

// TestOrder: what a stack needed comes first, then the smallest.
func TestOrder(t *testing.T) {
	u, _ := testUnwinder(1)
	files := &objects{byKey: map[objectKey]*object{}}
	image := testImage(1, files, "/a", "/b", "/c", "/d")
	u.follow(1, image, files)
	for i, size := range []int64{30, 10, 40, 20} {
		u.tableOf(image.maps[i].obj).size = size
	}
	u.missed(&image.maps[2])
	u.missed(&image.maps[0])
	var order []string
	for next := u.next(); next != nil; next = u.next() {
		order = append(order, next.object.path)
	}
	if want := []string{"/a", "/c", "/b", "/d"}; !slices.Equal(order, want) {
		t.Errorf("made in the order %v, want %v", order, want)
	}
}
