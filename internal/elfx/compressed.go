// SPDX-License-Identifier: Apache-2.0

package elfx

import (
	"debug/elf"
	"encoding/binary"
	"fmt"
	"io"

	"github.com/klauspost/compress/zlib"
	"github.com/klauspost/compress/zstd"
)

const (
	compressedHeaderSize = 24 // Elf64_Chdr: type, reserved, size, alignment
	maxWindow            = 8 << 20
)

// A Compression is how a section is compressed.
type Compression struct {
	Method elf.CompressionType
	Size   uint64 // of the contents, as the section says
	Header uint64 // bytes in front of what is compressed
}

// Compression reads the header of a compressed section (SHF_COMPRESSED).
func (f *File) Compression(s Section) (Compression, error) {
	var h [compressedHeaderSize]byte
	if s.Size < compressedHeaderSize {
		return Compression{}, badf(int64(s.Off), "section %s without its header of compression", s.Name)
	}
	if err := f.ReadAt(h[:], s.Off); err != nil {
		return Compression{}, fmt.Errorf("ELF section %s: %w", s.Name, err)
	}
	le := binary.LittleEndian
	return Compression{elf.CompressionType(le.Uint32(h[:])), le.Uint64(h[8:]), compressedHeaderSize}, nil
}

// Decompress reads the contents of a compressed section, by zlib or zstd. It looks back at most window bytes, which is what it holds in
// memory; how much comes is for the caller to bound.
func (f *File) Decompress(s Section, c Compression, window uint64) (io.ReadCloser, error) {
	if s.Size < c.Header {
		return nil, badf(int64(s.Off), "section %s without its header of compression", s.Name)
	}
	raw := f.Reader(s.Off+c.Header, s.Size-c.Header)
	switch c.Method {
	case elf.COMPRESS_ZLIB:
		return zlib.NewReader(raw)
	case elf.COMPRESS_ZSTD:
		d, err := zstd.NewReader(raw, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(window), zstd.WithDecoderLowmem(true))
		if err != nil {
			return nil, err
		}
		return d.IOReadCloser(), nil
	}
	return nil, fmt.Errorf("compressed by unknown method %d", c.Method)
}

// Content reads a section, and decompresses it if it is compressed. Sections of more than limit bytes, before or after, are an error.
func (f *File) Content(s Section, limit uint64) ([]byte, error) {
	if s.Size > limit {
		return nil, badf(int64(s.Off), "section %s of %d bytes", s.Name, s.Size)
	}
	if s.Flags&elf.SHF_COMPRESSED == 0 {
		raw := make([]byte, s.Size)
		if err := f.ReadAt(raw, s.Off); err != nil {
			return nil, fmt.Errorf("ELF section %s: %w", s.Name, err)
		}
		return raw, nil
	}
	c, err := f.Compression(s)
	if err != nil {
		return nil, err
	}
	if c.Size > limit {
		return nil, badf(int64(s.Off), "section %s of %d bytes", s.Name, c.Size)
	}
	r, err := f.Decompress(s, c, maxWindow)
	if err != nil {
		return nil, fmt.Errorf("ELF section %s: %w", s.Name, err)
	}
	defer r.Close()
	content := make([]byte, c.Size)
	if _, err := io.ReadFull(r, content); err != nil {
		return nil, fmt.Errorf("ELF section %s: %w", s.Name, err)
	}
	return content, nil
}

// Reader reads size bytes of the file from an offset on.
func (f *File) Reader(off, size uint64) *io.SectionReader {
	return io.NewSectionReader(fromOffset{f, off}, 0, int64(size))
}

// fromOffset is an [io.ReaderAt] of a file whose begin is somewhere in it.
type fromOffset struct {
	file *File
	base uint64
}

func (r fromOffset) ReadAt(p []byte, off int64) (int, error) {
	if err := r.file.ReadAt(p, r.base+uint64(off)); err != nil {
		return 0, err
	}
	return len(p), nil
}
