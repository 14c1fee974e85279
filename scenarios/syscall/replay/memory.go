// SPDX-License-Identifier: Apache-2.0

package replay

import (
	"slices"
	"unsafe"

	"golang.org/x/sys/unix"
)

// A region is memory that the recording mapped and the replay has mapped too.
type region struct {
	recorded, length, live uintptr
}

func (r region) end() uintptr { return r.recorded + r.length }

// A memory is a process's regions, by recorded address, none overlapping. Nothing else in this process may be unmapped or changed.
type memory struct {
	regions []region
	total   uintptr
}

// find returns the live address of so many recorded bytes, if all of them are mapped in one piece.
func (m *memory) find(recorded, length uintptr) (live uintptr, ok bool) {
	i := m.at(recorded)
	if i < 0 || recorded+length < recorded {
		return 0, false
	}
	delta := m.regions[i].live - m.regions[i].recorded
	for end := recorded; i < len(m.regions); i++ {
		r := m.regions[i]
		if r.recorded > end || r.live-r.recorded != delta {
			break
		}
		if end = r.end(); end >= recorded+length {
			return recorded + delta, true
		}
	}
	return 0, false
}

// at is the index of the region that an address lies in, or -1.
func (m *memory) at(recorded uintptr) int {
	for i, r := range m.regions {
		if recorded >= r.recorded && recorded < r.end() {
			return i
		}
	}
	return -1
}

// add notes a region, in place of what was at its recorded addresses.
func (m *memory) add(r region) {
	m.remove(r.recorded, r.length)
	i := slices.IndexFunc(m.regions, func(other region) bool { return other.recorded > r.recorded })
	if i < 0 {
		i = len(m.regions)
	}
	m.regions = slices.Insert(m.regions, i, r)
	m.total += r.length
}

// remove forgets addresses, and returns the live pieces that were there.
func (m *memory) remove(recorded, length uintptr) (pieces []region) {
	var left []region
	for _, r := range m.regions {
		from, to := max(r.recorded, recorded), min(r.end(), recorded+length)
		if from >= to {
			left = append(left, r)
			continue
		}
		pieces = append(pieces, region{from, to - from, r.live + from - r.recorded})
		if r.recorded < from {
			left = append(left, region{r.recorded, from - r.recorded, r.live})
		}
		if to < r.end() {
			left = append(left, region{to, r.end() - to, r.live + to - r.recorded})
		}
		m.total -= to - from
	}
	m.regions = left
	return pieces
}

// clear unmaps all.
func (m *memory) clear() {
	for _, r := range m.regions {
		unmap(r.live, r.length)
	}
	m.regions, m.total = nil, 0
}

func pages(length uintptr) uintptr {
	page := uintptr(unix.Getpagesize())
	return (length + page - 1) &^ (page - 1)
}

// unmap gives memory back; that it is mapped is known.
func unmap(live, length uintptr) {
	unix.RawSyscall(unix.SYS_MUNMAP, live, length, 0) //nolint:errcheck // it was mapped, and there's nothing else to do with it
}

// mapAnonymous maps memory to write to; 0 if there is none.
func mapAnonymous(length, flags uintptr) uintptr {
	live, _, errno := unix.RawSyscall6(unix.SYS_MMAP, 0, length, unix.PROT_READ|unix.PROT_WRITE,
		unix.MAP_PRIVATE|unix.MAP_ANONYMOUS|flags, ^uintptr(0), 0)
	if errno != 0 {
		return 0
	}
	return live
}

// populate has the kernel put pages behind memory, as if a program had written to it or, where it may not, read it. What isn't to be had,
// such as a file's pages beyond its end, stays as it is.
func populate(live, length uintptr) {
	length = min(length, maxTouched)
	if _, _, errno := unix.RawSyscall(unix.SYS_MADVISE, live, length, unix.MADV_POPULATE_WRITE); errno != 0 {
		unix.RawSyscall(unix.SYS_MADVISE, live, length, unix.MADV_POPULATE_READ) //nolint:errcheck // see above
	}
}

const maxTouched = 64 << 20

// pointer is an address of memory that isn't Go's, so that the collector neither moves nor frees it.
func pointer(address uintptr) unsafe.Pointer { return *(*unsafe.Pointer)(unsafe.Pointer(&address)) }
