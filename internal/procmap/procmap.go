// SPDX-License-Identifier: Apache-2.0

// Package procmap asks the kernel for the mappings of a process one by one, without any text (ioctl PROCMAP_QUERY, kernel 6.11).
package procmap

import (
	"bytes"
	"fmt"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// query is struct procmap_query of uapi/linux/fs.h. Its first field is the length that we know, so that kernels may add fields.
type query struct {
	size, flags, address                    uint64
	vmaStart, vmaEnd, vmaFlags, vmaPageSize uint64
	vmaOffset, inode                        uint64
	devMajor, devMinor                      uint32
	vmaNameSize, buildIDSize                uint32
	vmaNameAddress, buildIDAddress          uint64
}

const (
	ioctl          = 0xc0686611 // _IOWR('f', 17, struct procmap_query)
	coveringOrNext = 0x10       // PROCMAP_QUERY_COVERING_OR_NEXT_VMA
)

// Executable asks for executable mappings only.
const Executable = 0x04 // PROCMAP_QUERY_VMA_EXECUTABLE

// Mapping is a stretch of memory, [Start, End), that shows Name from byte Offset on.
type Mapping struct {
	Start, End, Offset, Inode uint64
	Name                      string // as in /proc/PID/maps; "" for anonymous memory
	BuildID                   []byte // of the ELF file, if it has one; valid until the next call
}

// A Reader asks for the mappings of one process.
type Reader struct {
	maps *os.File // /proc/PID/maps
	name [4096]byte
	id   [20]byte
}

// NewReader reads from an open /proc/PID/maps, which stays the caller's.
func NewReader(maps *os.File) *Reader { return &Reader{maps: maps} }

// Next returns the mapping at an address, or else the next one above. Errors: ENOENT when there is none, ENOTTY or EINVAL where the
// kernel can't be asked.
func (r *Reader) Next(address, flags uint64) (Mapping, error) {
	q := query{
		flags: flags | coveringOrNext, address: address,
		vmaNameSize: uint32(len(r.name)), buildIDSize: uint32(len(r.id)),
		vmaNameAddress: uint64(uintptr(unsafe.Pointer(&r.name[0]))), buildIDAddress: uint64(uintptr(unsafe.Pointer(&r.id[0]))),
	}
	q.size = uint64(unsafe.Sizeof(q))
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, r.maps.Fd(), ioctl, uintptr(unsafe.Pointer(&q))); errno != 0 {
		return Mapping{}, fmt.Errorf("ioctl PROCMAP_QUERY: %w", errno)
	}
	m := Mapping{Start: q.vmaStart, End: q.vmaEnd, Offset: q.vmaOffset, Inode: q.inode, BuildID: r.id[:min(int(q.buildIDSize), len(r.id))]}
	name, _, _ := bytes.Cut(r.name[:min(int(q.vmaNameSize), len(r.name))], []byte{0})
	m.Name = string(name)
	return m, nil
}
