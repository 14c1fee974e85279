// SPDX-License-Identifier: Apache-2.0

package symbolize

import (
	"cmp"
	"errors"

	"github.com/assaylab/assay/internal/elfx"
	"github.com/assaylab/assay/symbolize/dwarf"
)

// findNative gives the frames of each wanted vaddr of native code, and the reason that holds for those without. Debug information has
// lines and inlined calls; the name of the function around them is the symbol's, which tells clones apart and knows aliases.
func findNative(f *elfx.File, want addrs, style NameStyle) ([][]frame, Unnamed) {
	found := make([][]frame, len(want))
	names, stripped, err := findSymbols(f, want)
	lines := newLineFinder(f)
	for i, pc := range want {
		name := ""
		if names != nil {
			name = names[i]
		}
		found[i] = nativeFrames(lines.find(pc), name, style)
	}
	switch {
	case err != nil:
		return found, fileError(err)
	case stripped:
		return found, Unnamed{Reason: NoSymbols}
	}
	return found, Unnamed{Reason: NotCovered}
}

// nativeFrames joins what debug information and the symbol table say of an address. Frames that neither names are left out.
func nativeFrames(lines []dwarf.Frame, symbol string, style NameStyle) []frame {
	if len(lines) == 0 {
		lines = []dwarf.Frame{{}}
	}
	var frames []frame
	for i, l := range lines {
		name := l.Name
		if i == len(lines)-1 {
			name = cmp.Or(symbol, l.Name)
		}
		if name == "" {
			continue
		}
		fr := style.frame(name)
		fr.file, fr.line, fr.start = l.File, l.Line, l.StartLine
		frames = append(frames, fr)
	}
	return frames
}

// lineFinder looks addresses up in the debug information of a file, if there is any.
type lineFinder struct {
	data   *dwarf.Data
	frames []dwarf.Frame
	err    error // the first
}

func newLineFinder(f *elfx.File) *lineFinder {
	data, err := dwarf.Open(f, nil)
	if errors.Is(err, dwarf.ErrNone) {
		err = nil
	}
	return &lineFinder{data: data, err: err}
}

// find gives the frames of a vaddr; they are lent until the next call.
func (l *lineFinder) find(pc uint64) []dwarf.Frame {
	if l.data == nil {
		return nil
	}
	var err error
	if l.frames, err = l.data.Frames(l.frames[:0], pc); err != nil {
		l.err = cmp.Or(l.err, err)
		return nil
	}
	return l.frames
}
