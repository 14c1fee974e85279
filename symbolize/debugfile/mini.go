// SPDX-License-Identifier: Apache-2.0

package debugfile

import (
	"bytes"
	"fmt"
	"io"

	"github.com/mikelolasagasti/xz"

	"github.com/assaylab/assay/internal/elfx"
)

const (
	maxMini = 64 << 20 // bytes of the symbols that a stripped file carries, decompressed
	maxDict = 16 << 20 // bytes that the decompressor may look back
)

// Mini opens the ELF image that a stripped file carries in .gnu_debugdata, compressed with xz: its .symtab has the functions that aren't
// offered to others. nil when there is none. (https://fedoraproject.org/wiki/Features/MiniDebugInfo)
func Mini(program *elfx.File) (*elfx.File, error) {
	s, ok := program.Section(".gnu_debugdata")
	if !ok {
		return nil, nil
	}
	r, err := xz.NewReader(program.Reader(s.Off, s.Size), maxDict)
	if err != nil {
		return nil, fmt.Errorf(".gnu_debugdata: %w", err)
	}
	b, err := io.ReadAll(io.LimitReader(r, maxMini+1))
	if err == nil && len(b) > maxMini {
		err = fmt.Errorf("more than %d bytes", maxMini)
	}
	if err != nil {
		return nil, fmt.Errorf(".gnu_debugdata: %w", err)
	}
	return elfx.Open(bytes.NewReader(b), int64(len(b)))
}
