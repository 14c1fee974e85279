// SPDX-License-Identifier: Apache-2.0

package unwind

import (
	"debug/elf"
	"errors"
	"io"

	"github.com/assaylab/assay/internal/elfx"
)

const maxDebugFrame = 64 << 20 // bytes of a compressed .debug_frame, which is held in memory

// findFrames finds the call frame information of a file: .eh_frame, by its section or in a file without section headers by
// .eh_frame_hdr; else .debug_frame. It is nil where there is none.
func findFrames(f *elfx.File) (data *stretch, debug bool, err error) {
	if s, ok := f.Section(".eh_frame"); ok && s.Size > 0 {
		return &stretch{readAt: f.ReadAt, off: s.Off, size: s.Size, vaddr: s.Addr}, false, nil
	}
	if data, err := framesByHeader(f); data != nil || err != nil {
		return data, false, err
	}
	s, ok := f.Section(".debug_frame")
	if !ok || s.Size == 0 {
		return nil, false, nil
	}
	if s.Flags&elf.SHF_COMPRESSED == 0 {
		return &stretch{readAt: f.ReadAt, off: s.Off, size: s.Size}, true, nil
	}
	content, err := f.Content(s, maxDebugFrame)
	if err != nil {
		return nil, false, err
	}
	return &stretch{readAt: inMemory(content), size: uint64(len(content))}, true, nil
}

// isGo says whether the Go tool chain made a file.
func isGo(f *elfx.File) bool {
	for _, name := range []string{".gopclntab", ".data.rel.ro.gopclntab"} {
		if _, ok := f.Section(name); ok {
			return true
		}
	}
	return f.GoBuildID() != ""
}

// framesByHeader follows .eh_frame_hdr: a version, three encodings, and a pointer to .eh_frame, whose end its terminator or
// that of the segment is.
func framesByHeader(f *elfx.File) (*stretch, error) {
	h, ok := f.FrameHeader()
	if !ok {
		return nil, nil
	}
	var b [16]byte
	if err := f.ReadAt(b[:min(h.Filesz, uint64(len(b)))], h.Off); err != nil {
		if errors.Is(err, io.ErrUnexpectedEOF) {
			return nil, nil // a file that was cut
		}
		return nil, err
	}
	c := cursor{b: b[4:]}
	vaddr := pointer(b[1], &c, h.Vaddr+4)
	off, left, ok := f.Offset(vaddr)
	if b[0] != 1 || b[1] == ehOmit || c.bad || !ok {
		return nil, nil
	}
	return &stretch{readAt: f.ReadAt, off: off, size: left, vaddr: vaddr}, nil
}

// inMemory reads from bytes.
func inMemory(content []byte) func(p []byte, off uint64) error {
	return func(p []byte, off uint64) error {
		if off > uint64(len(content)) || copy(p, content[off:]) < len(p) {
			return io.ErrUnexpectedEOF
		}
		return nil
	}
}
