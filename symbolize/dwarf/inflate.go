// SPDX-License-Identifier: Apache-2.0

package dwarf

import (
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"

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

// inflateStep is how much is decompressed at a time.
const inflateStep = 128 << 10

// inflated is a compressed section. It is decompressed from its start as far as it is read: the first units of a library's debug information
// often are all that is wanted of it.
type inflated struct {
	file    *elfx.File
	section elfx.Section
	how     elfx.Compression
	size    uint64 // of the contents

	from io.ReadCloser // what is left; nil before the first read
	have uint64        // bytes that were decompressed
	err  error         // why there are no more
	mem  []byte        // all that were, if the section fits into memory
	temp *os.File      // or else this
}

// ReadAt is that of a [pager.File].
func (z *inflated) ReadAt(p []byte, off uint64) error {
	if off > z.size || uint64(len(p)) > z.size-off {
		return io.ErrUnexpectedEOF
	}
	if err := z.reach(off + uint64(len(p))); err != nil {
		return err
	}
	if z.temp != nil {
		_, err := z.temp.ReadAt(p, int64(off))
		return err
	}
	copy(p, z.mem[off:])
	return nil
}

// inMemory lends n bytes; nil when they aren't in memory.
func (z *inflated) inMemory(off uint64, n int) []byte {
	if off > z.size || uint64(n) > z.size-off || z.reach(off+uint64(n)) != nil || z.temp != nil {
		return nil
	}
	return z.mem[off : off+uint64(n) : off+uint64(n)]
}

var _ pager.File = (*inflated)(nil)

// reach decompresses up to end, which lies within the size, and a bit more.
func (z *inflated) reach(end uint64) error {
	if end <= z.have {
		return nil
	}
	if z.err == nil {
		if z.err = z.inflate(min(z.size, end+inflateStep)); z.err != nil {
			z.err = fmt.Errorf("%s: decompress: %w", z.section.Name, z.err)
		}
	}
	if end <= z.have {
		return nil
	}
	return z.err
}

func (z *inflated) inflate(end uint64) (err error) {
	if z.from == nil {
		if z.from, err = z.file.Decompress(z.section, z.how, maxWindow); err != nil {
			return err
		}
		if z.size > maxInMemory {
			if z.temp, err = openUnnamed(); err != nil {
				return err
			}
		}
	}
	for z.have < end && err == nil {
		n := min(inflateStep, end-z.have)
		if z.temp != nil {
			err = z.spill(n)
		} else {
			err = z.fill(n)
		}
	}
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return err
}

// fill reads the next n bytes of the contents into memory, which grows with what comes and not with what the header promises.
func (z *inflated) fill(n uint64) error {
	if z.mem == nil {
		z.mem = make([]byte, 0, min(z.size, 4*z.section.Size)) // compilers' sections shrink to a third
	}
	z.mem = slices.Grow(z.mem, int(n))
	got, err := io.ReadFull(z.from, z.mem[z.have:z.have+n])
	z.have += uint64(got)
	z.mem = z.mem[:z.have]
	return err
}

// spill reads the next n bytes into the file.
func (z *inflated) spill(n uint64) error {
	got, err := io.CopyN(z.temp, z.from, int64(n))
	z.have += uint64(got)
	return err
}

// openUnnamed opens a file for temporary use that has no name any more.
func openUnnamed() (*os.File, error) {
	f, err := os.CreateTemp("", "assay-debug-*")
	if err != nil {
		return nil, err
	}
	if err := os.Remove(f.Name()); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

func (z *inflated) close() error {
	var errs []error
	if z.from != nil {
		errs = append(errs, z.from.Close())
	}
	if z.temp != nil {
		errs = append(errs, z.temp.Close())
	}
	return errors.Join(errs...)
}
