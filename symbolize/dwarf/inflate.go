// SPDX-License-Identifier: Apache-2.0

package dwarf

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/assaylab/assay/internal/elfx"
	"github.com/assaylab/assay/symbolize/internal/pager"
)

const (
	maxInflated = 2 << 30 // bytes of a section that is compressed
	maxInMemory = 8 << 20 // of these; larger sections go to a file without a name in the folder for temporary files
	maxWindow   = 32 << 20
	maxRatio    = 100 // of the sizes; compilers reach 5
)

// openSection is the section of a name; an empty one when the file lacks it. Old linkers compress .debug_x as .zdebug_x.
func (x *file) openSection(name string) (*section, error) {
	if s, ok := x.elf.Section(name); ok {
		if s.Flags&elf.SHF_COMPRESSED == 0 {
			return newSection(name, x.elf, s.Off, s.Size), nil
		}
		return x.openCompressed(s)
	}
	if s, ok := x.elf.Section(".z" + name[1:]); ok {
		return x.openOldCompressed(s)
	}
	return newSection(name, x.elf, 0, 0), nil
}

func (x *file) openCompressed(s elfx.Section) (*section, error) {
	c, err := x.elf.Compression(s)
	if err != nil {
		return nil, err
	}
	return x.addInflated(s, c)
}

// openOldCompressed reads the header of a section before there was a flag for it: "ZLIB" and the size, big-endian.
func (x *file) openOldCompressed(s elfx.Section) (*section, error) {
	var h [12]byte
	if err := x.elf.ReadAt(h[:], s.Off); err != nil || s.Size < 12 || string(h[:4]) != "ZLIB" {
		return nil, errors.Join(errors.New(s.Name+": no header"), err)
	}
	return x.addInflated(s, elfx.Compression{Method: elf.COMPRESS_ZLIB, Size: binary.BigEndian.Uint64(h[4:]), Header: 12})
}

func (x *file) addInflated(s elfx.Section, c elfx.Compression) (*section, error) {
	if c.Size > maxInflated || c.Size/maxRatio > s.Size {
		return nil, fmt.Errorf("%s: %d bytes that were %d", s.Name, s.Size, c.Size)
	}
	z := &inflated{file: x.elf, section: s, how: c, size: c.Size}
	x.inflated = append(x.inflated, z)
	return newSection(s.Name, z, 0, c.Size), nil
}

// inflated is a compressed section. It is decompressed as a whole when something of it is first read.
type inflated struct {
	file    *elfx.File
	section elfx.Section
	how     elfx.Compression
	size    uint64 // of the contents

	read bool
	err  error
	mem  []byte
	temp *os.File // what mem has no room for, all of it
}

// ReadAt is that of a [pager.File].
func (z *inflated) ReadAt(p []byte, off uint64) error {
	if !z.read {
		z.read, z.err = true, z.inflate()
	}
	switch {
	case z.err != nil:
		return z.err
	case off > z.size || uint64(len(p)) > z.size-off:
		return io.ErrUnexpectedEOF
	case z.temp != nil:
		_, err := z.temp.ReadAt(p, int64(off))
		return err
	}
	copy(p, z.mem[off:])
	return nil
}

// inMemory lends n bytes; nil when they aren't in memory.
func (z *inflated) inMemory(off uint64, n int) []byte {
	if !z.read {
		z.read, z.err = true, z.inflate()
	}
	if z.err != nil || off > uint64(len(z.mem)) || uint64(n) > uint64(len(z.mem))-off {
		return nil
	}
	return z.mem[off : off+uint64(n) : off+uint64(n)]
}

var _ pager.File = (*inflated)(nil)

func (z *inflated) inflate() (err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("%s: decompress: %w", z.section.Name, err)
		}
	}()
	r, err := z.file.Decompress(z.section, z.how, maxWindow)
	if err != nil {
		return err
	}
	defer r.Close()
	return z.fill(r)
}

// fill reads the contents. Memory grows with what comes and not with what the header promises.
func (z *inflated) fill(r io.Reader) error {
	if z.size > maxInMemory {
		return z.spill(r)
	}
	z.mem = make([]byte, 0, min(z.size, 4*z.section.Size)) // compilers' sections shrink to a third
	b := bytes.NewBuffer(z.mem)
	_, err := io.CopyN(b, r, int64(z.size))
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	z.mem = b.Bytes()
	return err
}

func (z *inflated) spill(r io.Reader) (err error) {
	if z.temp, err = os.CreateTemp("", "assay-debug-*"); err != nil {
		return err
	}
	if err = os.Remove(z.temp.Name()); err != nil {
		return err
	}
	_, err = io.CopyN(z.temp, r, int64(z.size))
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return err
}

func (z *inflated) close() error {
	if z.temp == nil {
		return nil
	}
	return z.temp.Close()
}
