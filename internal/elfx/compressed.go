// SPDX-License-Identifier: Apache-2.0

package elfx

import (
	"bytes"
	"compress/zlib"
	"debug/elf"
	"encoding/binary"
	"fmt"
	"io"

	"github.com/klauspost/compress/zstd"
)

const (
	compressedHeaderSize = 24 // Elf64_Chdr: type, reserved, size, alignment
	maxZstdWindow        = 8 << 20
)

// Content reads a section, and decompresses it if it is compressed (SHF_COMPRESSED, by zlib or zstd). Sections of more than limit
// bytes, before or after, are an error.
func (f *File) Content(s Section, limit uint64) ([]byte, error) {
	if s.Size > limit {
		return nil, badf(int64(s.Off), "section %s of %d bytes", s.Name, s.Size)
	}
	raw := make([]byte, s.Size)
	if err := f.ReadAt(raw, s.Off); err != nil {
		return nil, fmt.Errorf("ELF section %s: %w", s.Name, err)
	}
	if s.Flags&elf.SHF_COMPRESSED == 0 {
		return raw, nil
	}
	if len(raw) < compressedHeaderSize {
		return nil, badf(int64(s.Off), "section %s without its header of compression", s.Name)
	}
	size := binary.LittleEndian.Uint64(raw[8:])
	if size > limit {
		return nil, badf(int64(s.Off), "section %s of %d bytes", s.Name, size)
	}
	r, err := decompress(elf.CompressionType(binary.LittleEndian.Uint32(raw)), raw[compressedHeaderSize:])
	if err != nil {
		return nil, fmt.Errorf("ELF section %s: %w", s.Name, err)
	}
	defer r.Close()
	content := make([]byte, size)
	if _, err := io.ReadFull(r, content); err != nil {
		return nil, fmt.Errorf("ELF section %s: %w", s.Name, err)
	}
	return content, nil
}

func decompress(how elf.CompressionType, b []byte) (io.ReadCloser, error) {
	switch how {
	case elf.COMPRESS_ZLIB:
		return zlib.NewReader(bytes.NewReader(b))
	case elf.COMPRESS_ZSTD:
		d, err := zstd.NewReader(bytes.NewReader(b), zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(maxZstdWindow))
		if err != nil {
			return nil, err
		}
		return d.IOReadCloser(), nil
	}
	return nil, fmt.Errorf("compressed by unknown method %d", how)
}
