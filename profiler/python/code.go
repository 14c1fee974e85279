// SPDX-License-Identifier: Apache-2.0

package python

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"
)

const (
	maxName      = 512     // characters of a function's name that are kept
	maxPath      = 4096    // characters of a file's name; a longer one is an error
	maxLineTable = 1 << 20 // bytes; the largest functions of generated code have some 100 KB
)

// Code is a code object: a function, the body of a class or a module.
type Code struct {
	// Name is the function's qualified name ("Class.method"); before 3.11 a code object knows only the last part.
	Name, File string
	FirstLine  int

	minor int
	lines []byte // co_linetable or co_lnotab
}

// Size is about how many bytes of memory the code object takes here.
func (c *Code) Size() int { return len(c.Name) + len(c.File) + len(c.lines) + 128 }

// errReplaced says that memory holds another code object than when the stack was taken.
var errReplaced = errors.New("the code object was freed since")

// Code reads the code object at an address. identity is what [Layout.CodeIdentity] led to when the stack was taken, as the kernel
// side hashed it ([Identity]); if that has changed, the object is another.
func (l *Layout) Code(mem Memory, addr uint64, identity uint32) (*Code, error) {
	var pointers [24]byte
	if err := mem.Read(pointers[:], addr+uint64(l.CodeIdentity())); err != nil {
		return nil, err
	}
	if Identity(pointers) != identity {
		return nil, errReplaced
	}
	return l.code(mem, addr)
}

// Identity is the hash of three pointers that lie in a code object, as bpf/python.bpf.h makes it.
func Identity(pointers [24]byte) uint32 {
	h := uint64(0)
	for i := 0; i < len(pointers); i += 8 {
		h = (h ^ binary.LittleEndian.Uint64(pointers[i:])) * 0xff51afd7ed558ccd
		h ^= h >> 32
	}
	return uint32(h)
}

func (l *Layout) code(mem Memory, addr uint64) (*Code, error) {
	first, err := readInt32(mem, addr+uint64(l.CodeFirstLine))
	if err != nil {
		return nil, err
	}
	c := &Code{FirstLine: int(first), minor: l.Minor}
	name := l.CodeQualname
	if name == 0 {
		name = l.CodeName
	}
	if c.Name, err = l.text(mem, addr+uint64(name), maxName); err != nil {
		return nil, fmt.Errorf("name: %w", err)
	}
	if c.File, err = l.text(mem, addr+uint64(l.CodeFilename), maxPath); err != nil {
		return nil, fmt.Errorf("file: %w", err)
	}
	if c.lines, err = bytesAt(mem, addr+uint64(l.CodeLines)); err != nil {
		return nil, fmt.Errorf("line table: %w", err)
	}
	return c, nil
}

// bytesAt reads the bytes object that a pointer at an address leads to.
func bytesAt(mem Memory, pointer uint64) ([]byte, error) {
	addr, err := readWord(mem, pointer)
	if err != nil {
		return nil, err
	}
	n, err := readWord(mem, addr+bytesLen)
	if err != nil {
		return nil, err
	}
	if n > maxLineTable {
		return nil, fmt.Errorf("%d bytes", n)
	}
	b := make([]byte, n)
	return b, mem.Read(b, addr+bytesData)
}

// text reads the string that a pointer at an address leads to; what is longer than limit characters is cut.
func (l *Layout) text(mem Memory, pointer uint64, limit int) (string, error) {
	addr, err := readWord(mem, pointer)
	if err != nil {
		return "", err
	}
	var head [40]byte
	if err := mem.Read(head[:], addr); err != nil {
		return "", err
	}
	n, state := binary.LittleEndian.Uint64(head[unicodeLen:]), head[unicodeState]
	kind, compact, ascii := uint64(state>>2&7), state>>5&1 != 0, state>>6&1 != 0
	if !compact || kind != 1 && kind != 2 && kind != 4 {
		return "", errors.New("not a string")
	}
	n = min(n, uint64(limit))
	b := make([]byte, n*kind)
	if ascii {
		addr += uint64(l.ASCIISize)
	} else {
		addr += uint64(l.CompactSize)
	}
	if err := mem.Read(b, addr); err != nil {
		return "", err
	}
	return decode(b, int(kind)), nil
}

// decode turns characters of 1 (Latin-1), 2 or 4 bytes into UTF-8. Control characters would break the lines of what people read.
func decode(b []byte, kind int) string {
	var s strings.Builder
	for ; len(b) >= kind; b = b[kind:] {
		r := rune(b[0])
		switch kind {
		case 2:
			r = rune(binary.LittleEndian.Uint16(b))
		case 4:
			r = rune(binary.LittleEndian.Uint32(b))
		}
		if r < ' ' || r == 0x7f || !utf8.ValidRune(r) {
			r = utf8.RuneError
		}
		s.WriteRune(r)
	}
	return s.String()
}
