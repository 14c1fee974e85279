// SPDX-License-Identifier: Apache-2.0

package golang

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/assaylab/assay/internal/elfx"
	"github.com/assaylab/assay/internal/lazyregexp"
)

// Program is what an ELF file by the Go tool chain says of itself.
type Program struct {
	Version string // such as go1.26.8
	Layout  Layout
	// TLS is where the g of a thread is, counted from its thread pointer; 0 where there is no such variable: a program without C for
	// arm64, which has it in a register only.
	TLS int64
}

// Layout is where fields are, in bytes from the start of their structure.
type Layout struct {
	GM, GSched, GLabels, MCurg, GobufBP uint32

	Map bool // labels are a map, not a slice
}

// oldest is the first version of which the layout is known.
const oldest = 20

// layouts are those of go1.N, the same for amd64 and arm64 (runtime/runtime2.go).
var layouts = map[int]Layout{
	20: {GM: 48, GSched: 56, GLabels: 360, MCurg: 192, GobufBP: 48, Map: true},
	21: {GM: 48, GSched: 56, GLabels: 344, MCurg: 192, GobufBP: 48, Map: true},
	22: {GM: 48, GSched: 56, GLabels: 344, MCurg: 192, GobufBP: 48, Map: true},
	23: {GM: 48, GSched: 56, GLabels: 352, MCurg: 192, GobufBP: 48, Map: true},
	24: {GM: 48, GSched: 56, GLabels: 352, MCurg: 192, GobufBP: 48},
	25: {GM: 48, GSched: 56, GLabels: 344, MCurg: 184, GobufBP: 40},
	26: {GM: 48, GSched: 56, GLabels: 352, MCurg: 184, GobufBP: 40},
}

// MayHold says whether a file of this path is worth an [Inspect]: by its name only, so that not each library of a machine has to be read.
func MayHold(path string) bool { return !strings.Contains(filepath.Base(path), ".so") }

// Inspect reads what a file says of itself. Of a file that the Go tool chain did not make, the result is nil.
func Inspect(f *elfx.File) (*Program, error) {
	version, settings, err := readBuildInfo(f)
	if err != nil || version == "" {
		return nil, err
	}
	p := &Program{Version: version}
	for _, mode := range []string{"c-shared", "plugin"} {
		if strings.Contains(settings, "\nbuild\t-buildmode="+mode+"\n") {
			return nil, fmt.Errorf("%s: goroutines of a Go library (-buildmode=%s) are not read", version, mode)
		}
	}
	if p.TLS, err = findTLS(f); err != nil {
		return nil, fmt.Errorf("%s: %w", version, err)
	}
	minor, said := minorOf(version)
	var known bool
	if p.Layout, known = layouts[minor]; known {
		return p, nil
	}
	if said && minor < oldest {
		return nil, fmt.Errorf("%s: goroutines of Go before 1.%d are not read", version, oldest)
	}
	if err := p.Layout.readDWARF(f); err != nil {
		return nil, fmt.Errorf("%s: a version that is not known, without debug information that tells where its goroutines are: %w", version, err)
	}
	return p, nil
}

var minorPattern = lazyregexp.New(`\bgo1\.([0-9]{1,3})`)

// minorOf is the N of go1.N, which a tool chain of one's own may not say.
func minorOf(version string) (n int, said bool) {
	m := minorPattern().FindStringSubmatch(version)
	if m == nil {
		return 0, false
	}
	n, err := strconv.Atoi(m[1])
	return n, err == nil
}

const (
	buildInfoHeader  = 32
	maxBuildInfo     = 1 << 20
	buildInfoInlined = 2 // flag: strings follow, as since Go 1.18; before, pointers to them
)

var buildInfoMagic = []byte("\xff Go buildinf:")

// readBuildInfo reads .go.buildinfo (debug/buildinfo in the Go tree): the version of Go, and lines of settings, each with a newline
// before and behind it. Both are empty where a file has none.
func readBuildInfo(f *elfx.File) (version, settings string, err error) {
	s, ok := f.Section(".go.buildinfo")
	if !ok || s.Size < buildInfoHeader {
		return "", "", nil
	}
	b := make([]byte, min(s.Size, maxBuildInfo))
	if err := f.ReadAt(b, s.Off); err != nil {
		return "", "", fmt.Errorf(".go.buildinfo: %w", err)
	}
	if !bytes.HasPrefix(b, buildInfoMagic) {
		return "", "", nil
	}
	if b[15]&buildInfoInlined == 0 {
		return "", "", errors.New("goroutines of Go before 1.18 are not read")
	}
	b = b[buildInfoHeader:]
	if version, err = takeString(&b); err == nil {
		settings, err = takeString(&b)
	}
	if err != nil {
		return "", "", fmt.Errorf(".go.buildinfo: %w", err)
	}
	return version, settings, nil
}

// takeString takes a string off the front of b: its length, then so many bytes.
func takeString(b *[]byte) (string, error) {
	length, n := binary.Uvarint(*b)
	if n <= 0 || length > uint64(len(*b)-n) {
		return "", errors.New("a string ends behind it")
	}
	s := string((*b)[n : n+int(length)])
	*b = (*b)[n+int(length):]
	return s, nil
}

// The thread-local variable that holds the g, which C knows nothing of, and the size of a pointer.
const (
	tlsAMD64 = "runtime.tlsg"
	tlsARM64 = "runtime.tls_g"
	pointer  = 8
)

var errNoTLS = errors.New("which thread-local variable is Go's can't be told, since symbols are stripped")

// Without variables of C, a program has the g first in its block: alone on amd64; on arm64, before a tlsg that nothing uses.
const (
	ownAMD64 = pointer
	ownARM64 = 2 * pointer
)

// findTLS finds out where a program has the g of a thread. The blocks of all thread-local variables of a program lie next to the thread
// pointer (Drepper, ELF Handling For Thread-Local Storage, section 3): ending there on amd64; on arm64, two words behind it.
func findTLS(f *elfx.File) (int64, error) {
	block := f.TLS()
	if block.Size > maxTLS || block.Align > maxTLS {
		return 0, fmt.Errorf("thread-local variables of %d bytes", block.Size)
	}
	name, own, arm := tlsAMD64, uint64(ownAMD64), f.Machine() == elf.EM_AARCH64
	if arm {
		name, own = tlsARM64, ownARM64
	}
	var at uint64
	switch {
	case block.Size == 0 && arm:
		return 0, nil
	case block.Size == 0: // without C, the runtime makes the block itself
		return -pointer, nil
	case block.Size > own:
		symbols, err := f.Lookup(name)
		if err != nil {
			return 0, err
		}
		s, ok := symbols[name]
		if !ok || s.Value > block.Size-pointer {
			return 0, errNoTLS
		}
		at = s.Value
	}
	if arm {
		return int64(alignUp(2*pointer, block.Align) + at), nil
	}
	return int64(at) - int64(alignUp(block.Size, block.Align)), nil
}

// maxTLS bounds what a file may say of its thread-local variables.
const maxTLS = 1 << 30

func alignUp(n, align uint64) uint64 {
	if align == 0 {
		return n
	}
	return (n + align - 1) / align * align
}
