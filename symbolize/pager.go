// SPDX-License-Identifier: Apache-2.0

package symbolize

import (
	"bytes"
	"encoding/binary"
	"io"

	"github.com/assaylab/assay/internal/elfx"
)

const (
	pageSize = 16 << 10
	maxPages = 64
)

// pager reads small pieces of a stretch of a file through a cache of 1 MiB. Look-ups come in the order of their addresses, so
// nearly all hit the page of the one before. The file isn't mapped into memory, because a process that truncates its own file
// would kill us with SIGBUS.
type pager struct {
	file  *elfx.File
	base  uint64 // file offset of the stretch
	size  uint64
	pages map[uint64][]byte
	order []uint64 // of the pages, oldest first
	last  []byte   // the page used last,
	lastN uint64   // and its number
}

func newPager(f *elfx.File, base, size uint64) *pager {
	return &pager{file: f, base: base, size: size, pages: make(map[uint64][]byte)}
}

// page gives the bytes from off to the end of its page; at least one.
func (p *pager) page(off uint64) ([]byte, error) {
	if off >= p.size {
		return nil, io.ErrUnexpectedEOF
	}
	n := off / pageSize
	if p.last == nil || n != p.lastN {
		b, err := p.load(n)
		if err != nil {
			return nil, err
		}
		p.last, p.lastN = b, n
	}
	return p.last[off%pageSize:], nil
}

func (p *pager) load(n uint64) ([]byte, error) {
	if b, ok := p.pages[n]; ok {
		return b, nil
	}
	var b []byte
	if len(p.order) == maxPages {
		oldest := p.order[0]
		b = p.pages[oldest][:0]
		delete(p.pages, oldest)
		p.order = append(p.order[:0], p.order[1:]...)
		p.last = nil
	}
	size := min(pageSize, p.size-n*pageSize)
	if uint64(cap(b)) < size {
		b = make([]byte, size)
	}
	b = b[:size]
	if err := p.file.ReadAt(b, p.base+n*pageSize); err != nil {
		return nil, err
	}
	p.pages[n] = b
	p.order = append(p.order, n)
	return b, nil
}

// read fills b from off.
func (p *pager) read(b []byte, off uint64) error {
	for len(b) > 0 {
		page, err := p.page(off)
		if err != nil {
			return err
		}
		n := copy(b, page)
		b, off = b[n:], off+uint64(n)
	}
	return nil
}

func (p *pager) uint8(off uint64) (uint8, error) {
	page, err := p.page(off)
	if err != nil {
		return 0, err
	}
	return page[0], nil
}

func (p *pager) uint32(off uint64) (uint32, error) {
	var b [4]byte
	err := p.read(b[:], off)
	return binary.LittleEndian.Uint32(b[:]), err
}

func (p *pager) uint64(off uint64) (uint64, error) {
	var b [8]byte
	err := p.read(b[:], off)
	return binary.LittleEndian.Uint64(b[:]), err
}

// cstring appends the string at off, which a zero byte ends, to buf; at most maxSymbol bytes of it.
func (p *pager) cstring(buf []byte, off uint64) ([]byte, error) {
	for start := len(buf); ; {
		page, err := p.page(off)
		if err != nil {
			return buf, err
		}
		page = page[:min(len(page), maxSymbol-(len(buf)-start))]
		if i := bytes.IndexByte(page, 0); i >= 0 {
			return append(buf, page[:i]...), nil
		}
		buf = append(buf, page...)
		off += uint64(len(page))
		if len(buf)-start == maxSymbol {
			return buf, nil
		}
	}
}
