// SPDX-License-Identifier: Apache-2.0

package unwind

import (
	"io"
	"slices"
)

const (
	windowSize = 64 << 10
	windows    = 16
	maxPiece   = 1 << 20 // no entry of call frame information is longer
)

// stretch is a part of a file that is read in pieces, through 1 MiB of windows. Entries come in the order of their addresses, which is
// nearly that of the file but for a few threads of it (hot, cold and startup code), so each window is read about once. The file
// isn't mapped into memory, because a process that truncates its own file would kill us with SIGBUS.
type stretch struct {
	readAt func(p []byte, off uint64) error // elfx.File.ReadAt
	off    uint64                           // in the file
	size   uint64
	vaddr  uint64 // where the process has it, for pointers relative to themselves

	windows [windows]window
	piece   []byte // what lies across windows
}

type window struct {
	number uint64
	bytes  []byte // nil before the first use
}

// bytes gives n bytes from off on; they stay valid until the next call.
func (s *stretch) bytes(off uint64, n uint64) ([]byte, error) {
	if off > s.size || n > s.size-off || n > maxPiece {
		return nil, io.ErrUnexpectedEOF
	}
	w, err := s.window(off / windowSize)
	if err != nil {
		return nil, err
	}
	if in := off % windowSize; in+n <= uint64(len(w)) {
		return w[in : in+n], nil
	}
	s.piece = slices.Grow(s.piece[:0], int(n))
	for n > 0 {
		if w, err = s.window(off / windowSize); err != nil {
			return nil, err
		}
		w = w[off%windowSize:]
		w = w[:min(uint64(len(w)), n)]
		s.piece = append(s.piece, w...)
		off, n = off+uint64(len(w)), n-uint64(len(w))
	}
	return s.piece, nil
}

func (s *stretch) window(number uint64) ([]byte, error) {
	if number*windowSize >= s.size {
		return nil, nil
	}
	w := &s.windows[number%windows]
	if w.bytes != nil && w.number == number {
		return w.bytes, nil
	}
	size := min(windowSize, s.size-number*windowSize)
	if uint64(cap(w.bytes)) < size {
		w.bytes = make([]byte, size)
	}
	b := w.bytes[:size]
	w.bytes = nil // until it is read
	if err := s.readAt(b, s.off+number*windowSize); err != nil {
		return nil, err
	}
	w.number, w.bytes = number, b
	return b, nil
}
