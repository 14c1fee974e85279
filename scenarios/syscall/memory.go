// SPDX-License-Identifier: Apache-2.0

package syscall

import (
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"
)

// A mapping maps memory, has the kernel give it page by page, and gives it back.
type mapping struct {
	size, page int
}

func openMmap(where site) (pattern, error) { return mapping{where.size, unix.Getpagesize()}, nil }

func (m mapping) do() error {
	// unix.Mmap would keep a list of mappings, with a lock that threads would meet at.
	start, err := unix.MmapPtr(-1, 0, nil, uintptr(m.size), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
	if err != nil {
		return fmt.Errorf("mmap of %d bytes: %w", m.size, err)
	}
	memory := unsafe.Slice((*byte)(start), m.size)
	for i := 0; i < m.size; i += m.page {
		memory[i] = 1
	}
	if err := unix.MunmapPtr(start, uintptr(m.size)); err != nil {
		return fmt.Errorf("munmap of %d bytes: %w", m.size, err)
	}
	return nil
}

func (mapping) close() error { return nil }
