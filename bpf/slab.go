// SPDX-License-Identifier: Apache-2.0

package bpf

import (
	"errors"
	"fmt"
	"io"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
)

// SlabBytes is the size of a slab.
const SlabBytes = 1 << 20

// MaxSlabs is how many slabs there can be.
const MaxSlabs = 1 << 14

// A Place in the slabs: the number of a slab, and in the low 18 bits that of a word of 4 bytes in it.
type Place uint32

// PlaceAt is the place of a byte of a slab, which is a multiple of 4.
func PlaceAt(slab, offset int) Place { return Place(slab<<18 | offset/4) }

// Slab is the number of the slab.
func (p Place) Slab() int { return int(p >> 18) }

// Offset is the number of the byte in the slab.
func (p Place) Offset() int { return int(p&(1<<18-1)) * 4 }

// Plus is the place so many bytes, a multiple of 4, further on in the slab.
func (p Place) Plus(bytes int) Place { return p + Place(bytes/4) }

// SlabMemory is the memory of a slab, which the programs read meanwhile.
type SlabMemory interface {
	io.ReaderAt
	io.WriterAt
}

// AddSlab gives the programs one more slab, the one of the next number. It is zero.
func (k *Kernel) AddSlab() (SlabMemory, error) {
	m, err := ebpf.NewMap(&ebpf.MapSpec{Name: "slab", Type: ebpf.Array, KeySize: 4, ValueSize: SlabBytes, MaxEntries: 1, Flags: unix.BPF_F_MMAPABLE})
	if err != nil {
		return nil, fmt.Errorf("slab: %w", plainLoadError(err))
	}
	if err := k.maps["unwind_slabs"].Put(uint32(len(k.slabs)), m); err != nil {
		return nil, fmt.Errorf("slab: %w", errors.Join(err, m.Close()))
	}
	memory, err := m.Memory()
	if err != nil {
		return nil, fmt.Errorf("slab: %w", errors.Join(err, m.Close()))
	}
	k.slabs = append(k.slabs, m)
	return memory, nil
}

// PutUnwindProcess tells the programs of the mappings of a process.
func (k *Kernel) PutUnwindProcess(pid int, p UnwindProcess) error {
	if err := k.maps["unwind_processes"].Put(uint32(pid), p); err != nil {
		return fmt.Errorf("mappings of process %d: %w", pid, err)
	}
	return nil
}

// DropUnwindProcess makes the programs forget a process.
func (k *Kernel) DropUnwindProcess(pid int) error {
	err := k.maps["unwind_processes"].Delete(uint32(pid))
	if err != nil && !errors.Is(err, ebpf.ErrKeyNotExist) {
		return fmt.Errorf("mappings of process %d: %w", pid, err)
	}
	return nil
}

// PutUnwindInode tells the programs of the table of a file, for processes whose mappings they don't know yet.
func (k *Kernel) PutUnwindInode(i UnwindInode, t UnwindInodeTable) error {
	if err := k.maps["unwind_inodes"].Put(i, t); err != nil {
		return fmt.Errorf("table of inode %d: %w", i.Number, err)
	}
	return nil
}

// Quiesce returns when no program runs any more that ran when it was called: what was taken out of the programs' reach before may be
// used again. The kernel's update of an array of maps waits for that.
func (k *Kernel) Quiesce() error {
	if len(k.slabs) == 0 {
		return nil
	}
	if err := k.maps["unwind_slabs"].Put(uint32(0), k.slabs[0]); err != nil {
		return fmt.Errorf("slab: %w", err)
	}
	return nil
}
