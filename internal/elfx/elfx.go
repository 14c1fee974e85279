// SPDX-License-Identifier: Apache-2.0

// Package elfx reads the parts of an ELF file that the profiler and the symbolizer share: segments, sections and build IDs.
//
// The files belong to the programs that are profiled, so they are hostile input. That is why this isn't debug/elf, which says
// of itself that it isn't hardened: here every count and length has a bound, nothing is read that wasn't asked for, and a
// malformed file is an error, never a panic or a large allocation.
//
// Three kinds of address are easily mixed:
//
//   - a file offset counts bytes from the start of the file;
//   - a vaddr is where the linker placed a byte; symbol tables and pclntab speak in these;
//   - a run-time address is a vaddr plus the load bias of one process; this package never sees one.
//
// Formats: System V ABI, chapters 4 (object files) and 5 (program loading), https://gabi.xinuos.com; the note types from
// binutils' include/elf/common.h (GNU) and cmd/internal/buildid (Go).
package elfx

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"fmt"
	"io"
	"sync"
)

const (
	headerSize = 64 // Elf64_Ehdr
	progSize   = 56 // Elf64_Phdr
	sectSize   = 64 // Elf64_Shdr

	maxProgs = 1024
)

// File is an ELF image whose header and program headers were read and checked. Sections and notes are read when they are
// first asked for. Its methods may be called from several goroutines when the reader allows that.
type File struct {
	r     io.ReaderAt
	size  int64
	typ   elf.Type
	mach  elf.Machine
	loads []Load
	notes []span // PT_NOTE segments
	entry uint64

	frameHeader Load // PT_GNU_EH_FRAME
	tls         TLS

	sectHeader sectHeader
	sections   func() ([]Section, error)
	ids        func() buildIDs
}

// Load is a PT_LOAD segment: Filesz bytes at file offset Off that the kernel places at Vaddr, zero-filled up to Memsz.
// Off+Filesz and Vaddr+Memsz don't overflow, but may lie beyond the end of the file.
type Load struct {
	Off, Vaddr, Filesz, Memsz uint64
	Flags                     elf.ProgFlag
}

// Executable says whether code can be run from the segment.
func (l Load) Executable() bool { return l.Flags&elf.PF_X != 0 }

// TLS is the PT_TLS segment: the thread-local variables of each thread, so many bytes.
type TLS struct{ Size, Align uint64 }

// span is a stretch of the file.
type span struct{ off, size, align uint64 }

// FormatError says what is wrong with an ELF file and where.
type FormatError struct {
	Off int64 // file offset of the structure at fault
	Msg string
}

func (e *FormatError) Error() string { return fmt.Sprintf("ELF: %s (at offset %#x)", e.Msg, e.Off) }

func badf(off int64, format string, args ...any) error {
	return &FormatError{Off: off, Msg: fmt.Sprintf(format, args...)}
}

// Open reads the header and the program headers of a 64-bit little-endian ELF image of size bytes. Anything else, 32-bit
// files too, is a *FormatError. The reader must stay usable as long as the File is.
func Open(r io.ReaderAt, size int64) (*File, error) {
	var h [headerSize]byte
	if err := readFull(r, h[:], 0, size); err != nil {
		return nil, fmt.Errorf("ELF header: %w", err)
	}
	if err := checkIdent(h[:]); err != nil {
		return nil, err
	}
	le := binary.LittleEndian
	f := &File{
		r:    r,
		size: size,
		typ:  elf.Type(le.Uint16(h[16:])),
		mach: elf.Machine(le.Uint16(h[18:])), entry: le.Uint64(h[24:]),
		sectHeader: sectHeader{
			off: le.Uint64(h[40:]), entSize: le.Uint16(h[58:]), num: le.Uint16(h[60:]), names: le.Uint16(h[62:]),
		},
	}
	f.sections = sync.OnceValues(f.readSections)
	f.ids = sync.OnceValue(f.readBuildIDs)
	if err := f.readProgs(le.Uint64(h[32:]), le.Uint16(h[54:]), le.Uint16(h[56:])); err != nil {
		return nil, err
	}
	return f, nil
}

func checkIdent(h []byte) error {
	switch {
	case !bytes.HasPrefix(h, []byte(elf.ELFMAG)):
		return badf(0, "no magic number")
	case elf.Class(h[elf.EI_CLASS]) == elf.ELFCLASS32:
		return badf(elf.EI_CLASS, "32-bit files are not supported")
	case elf.Class(h[elf.EI_CLASS]) != elf.ELFCLASS64:
		return badf(elf.EI_CLASS, "unknown class %d", h[elf.EI_CLASS])
	case elf.Data(h[elf.EI_DATA]) != elf.ELFDATA2LSB:
		return badf(elf.EI_DATA, "only little-endian files are supported")
	}
	return nil
}

// readProgs keeps the segments that this package serves.
func (f *File) readProgs(off uint64, entSize, num uint16) error {
	if num == 0 {
		return nil
	}
	if num > maxProgs || entSize != progSize {
		return badf(54, "%d program headers of %d bytes", num, entSize)
	}
	table := make([]byte, int(num)*progSize)
	if err := f.ReadAt(table, off); err != nil {
		return fmt.Errorf("ELF program headers: %w", err)
	}
	le := binary.LittleEndian
	for p := table; len(p) > 0; p = p[progSize:] {
		l := Load{
			Flags: elf.ProgFlag(le.Uint32(p[4:])), Off: le.Uint64(p[8:]), Vaddr: le.Uint64(p[16:]),
			Filesz: le.Uint64(p[32:]), Memsz: le.Uint64(p[40:]),
		}
		switch elf.ProgType(le.Uint32(p)) {
		case elf.PT_LOAD:
			if l.Off+l.Filesz < l.Off || l.Vaddr+l.Memsz < l.Vaddr || l.Vaddr+l.Filesz < l.Vaddr {
				return badf(int64(off), "segment at %#x of %#x bytes overflows", l.Off, l.Filesz)
			}
			f.loads = append(f.loads, l)
		case elf.PT_NOTE:
			f.notes = append(f.notes, span{l.Off, l.Filesz, le.Uint64(p[48:])})
		case elf.PT_GNU_EH_FRAME:
			f.frameHeader = l
		case elf.PT_TLS:
			f.tls = TLS{Size: l.Memsz, Align: le.Uint64(p[48:])}
		}
	}
	return nil
}

// Type is ET_EXEC for a program at fixed addresses, ET_DYN for a position-independent one or a library.
func (f *File) Type() elf.Type { return f.typ }

// Machine is the instruction set, EM_X86_64 for one.
func (f *File) Machine() elf.Machine { return f.mach }

// Entry is the vaddr at which a program starts, 0 for most libraries.
func (f *File) Entry() uint64 { return f.entry }

// FrameHeader is the PT_GNU_EH_FRAME segment, .eh_frame_hdr; false where there is none.
func (f *File) FrameHeader() (Load, bool) { return f.frameHeader, f.frameHeader.Filesz > 0 }

// TLS is the PT_TLS segment, of no size where there is none.
func (f *File) TLS() TLS { return f.tls }

// Loads are the PT_LOAD segments in file order. The caller must not change them.
func (f *File) Loads() []Load { return f.loads }

// Vaddr gives the virtual address of the byte at a file offset, false when no segment holds it. Where segments share a page
// of the file the executable one wins, for what is looked up is code.
func (f *File) Vaddr(off uint64) (uint64, bool) {
	vaddr, ok := uint64(0), false
	for _, l := range f.loads {
		if off < l.Off || off-l.Off >= l.Filesz {
			continue
		}
		if l.Executable() {
			return l.Vaddr + (off - l.Off), true
		}
		if !ok {
			vaddr, ok = l.Vaddr+(off-l.Off), true
		}
	}
	return vaddr, ok
}

// Offset gives the file offset of the byte at a virtual address, false when the file holds no such byte, and how many bytes
// of the segment follow from there.
func (f *File) Offset(vaddr uint64) (off, left uint64, ok bool) {
	for _, l := range f.loads {
		if vaddr >= l.Vaddr && vaddr-l.Vaddr < l.Filesz {
			d := vaddr - l.Vaddr
			return l.Off + d, l.Filesz - d, true
		}
	}
	return 0, 0, false
}

// ReadAt fills p from file offset off, or says why it can't: io.ErrUnexpectedEOF when the file is too short.
func (f *File) ReadAt(p []byte, off uint64) error {
	if off > uint64(f.size) {
		return io.ErrUnexpectedEOF
	}
	return readFull(f.r, p, int64(off), f.size)
}

// Size is the length of the file in bytes, as given to Open.
func (f *File) Size() int64 { return f.size }

func readFull(r io.ReaderAt, p []byte, off, size int64) error {
	if off < 0 || int64(len(p)) > size-off {
		return io.ErrUnexpectedEOF
	}
	n, err := r.ReadAt(p, off)
	switch {
	case n == len(p):
		return nil
	case err == nil || err == io.EOF:
		return io.ErrUnexpectedEOF
	}
	return err
}
