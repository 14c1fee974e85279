// SPDX-License-Identifier: Apache-2.0

// Package pager reads small pieces of a stretch of a file through a small cache.
package pager

import (
	"bytes"
	"encoding/binary"
	"io"
)

const (
	pageSize = 16 << 10
	maxPages = 64
)

// File is what is read from. ReadAt fills p from a file offset, or says why it can't.
type File interface {
	ReadAt(p []byte, off uint64) error
}

// Pager reads a stretch of a file through a cache of 1 MiB. Look-ups come in the order of their addresses, so nearly all hit the
// page of the one before. The file isn't mapped into memory, because a process that truncates its own file would kill us
// with SIGBUS.
type Pager struct {
	file  File
	base  uint64 // file offset of the stretch
	size  uint64
	pages map[uint64][]byte
	order []uint64 // of the pages, oldest first
	last  []byte   // the page used last,
	lastN uint64   // and its number
}

// New is a pager of the size bytes at offset base of f.
func New(f File, base, size uint64) *Pager {
	return &Pager{file: f, base: base, size: size, pages: make(map[uint64][]byte)}
}

// Size is the length of the stretch in bytes.
func (p *Pager) Size() uint64 { return p.size }

// page gives the bytes from off to the end of its page; at least one.
func (p *Pager) page(off uint64) ([]byte, error) {
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

func (p *Pager) load(n uint64) ([]byte, error) {
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

// Read fills b from off.
func (p *Pager) Read(b []byte, off uint64) error {
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

// Uint8 reads the byte at off.
func (p *Pager) Uint8(off uint64) (uint8, error) {
	page, err := p.page(off)
	if err != nil {
		return 0, err
	}
	return page[0], nil
}

// Uint32 reads the number at off.
func (p *Pager) Uint32(off uint64) (uint32, error) {
	var b [4]byte
	err := p.Read(b[:], off)
	return binary.LittleEndian.Uint32(b[:]), err
}

// Uint64 reads the number at off.
func (p *Pager) Uint64(off uint64) (uint64, error) {
	var b [8]byte
	err := p.Read(b[:], off)
	return binary.LittleEndian.Uint64(b[:]), err
}

// CString appends the string at off, which a zero byte ends, to buf; at most limit bytes of it.
func (p *Pager) CString(buf []byte, off uint64, limit int) ([]byte, error) {
	for start := len(buf); ; {
		page, err := p.page(off)
		if err != nil {
			return buf, err
		}
		page = page[:min(len(page), limit-(len(buf)-start))]
		if i := bytes.IndexByte(page, 0); i >= 0 {
			return append(buf, page[:i]...), nil
		}
		buf = append(buf, page...)
		off += uint64(len(page))
		if len(buf)-start == limit {
			return buf, nil
		}
	}
}
