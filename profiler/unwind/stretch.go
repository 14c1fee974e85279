// SPDX-License-Identifier: Apache-2.0

package unwind

import (
	"io"
	"slices"
	"sync"
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

	room *room // nil before the first use
}

// room is where a stretch is read into. What one has used the next may, for the tables of many files are built one after the other.
type room struct {
	windows [windows]window
	piece   []byte // what lies across windows
}

type window struct {
	number uint64
	bytes  []byte // empty before the first use
}

var rooms = sync.Pool{New: func() any { return &room{} }}

// leave gives the room to others: what was read is no longer valid.
func (s *stretch) leave() {
	if s == nil || s.room == nil {
		return
	}
	for i := range s.room.windows {
		w := &s.room.windows[i]
		w.bytes = w.bytes[:0]
	}
	rooms.Put(s.room)
	s.room = nil
}

// bytes gives n bytes from off on; they stay valid until the next call.
func (s *stretch) bytes(off uint64, n uint64) ([]byte, error) {
	if off > s.size || n > s.size-off || n > maxPiece {
		return nil, io.ErrUnexpectedEOF
	}
	if s.room == nil {
		s.room = rooms.Get().(*room)
	}
	w, err := s.window(off / windowSize)
	if err != nil {
		return nil, err
	}
	if in := off % windowSize; in+n <= uint64(len(w)) {
		return w[in : in+n], nil
	}
	piece := slices.Grow(s.room.piece[:0], int(n))
	for n > 0 {
		if w, err = s.window(off / windowSize); err != nil {
			return nil, err
		}
		w = w[off%windowSize:]
		w = w[:min(uint64(len(w)), n)]
		piece = append(piece, w...)
		off, n = off+uint64(len(w)), n-uint64(len(w))
	}
	s.room.piece = piece
	return piece, nil
}

func (s *stretch) window(number uint64) ([]byte, error) {
	if number*windowSize >= s.size {
		return nil, nil
	}
	w := &s.room.windows[number%windows]
	if len(w.bytes) > 0 && w.number == number {
		return w.bytes, nil
	}
	size := min(windowSize, s.size-number*windowSize)
	b := slices.Grow(w.bytes[:0], int(size))[:size]
	w.bytes = b[:0] // until it is read
	if err := s.readAt(b, s.off+number*windowSize); err != nil {
		return nil, err
	}
	w.number, w.bytes = number, b
	return b, nil
}
