// SPDX-License-Identifier: Apache-2.0

package symbolize

import (
	"cmp"
	"errors"

	"github.com/assaylab/assay/internal/elfx"
	"github.com/assaylab/assay/symbolize/debugfile"
	"github.com/assaylab/assay/symbolize/dwarf"
)

// nativeFile is a program or library with what debuggers keep apart from it.
type nativeFile struct {
	*elfx.File
	path  string // as it was mapped
	debug dwarf.Image
	files *debugfile.Finder // nil: only what the file itself has is used
}

// newNativeFile looks for a debug file when the file has no debug information. None is no error.
func newNativeFile(f *elfx.File, path string, files *debugfile.Finder) *nativeFile {
	n := &nativeFile{File: f, path: path, files: files}
	if files == nil || dwarf.In(f) {
		return n
	}
	if debug, err := files.Debug(f, path); err == nil {
		n.debug = debug
	}
	return n
}

func (n *nativeFile) close() error {
	if n.debug.Closer == nil {
		return nil
	}
	return n.debug.Close()
}

// symbols gives the names of the wanted vaddrs from the symbol tables of the file; when it was stripped, from those of the debug file or
// from the compressed one that it carries, and its own serve for the rest.
func (n *nativeFile) symbols(want addrs) (names []string, stripped bool, err error) {
	own, stripped, err := findSymbols(n.File, want)
	if err != nil || !stripped {
		return own, stripped, err
	}
	full := n.debug.File
	if full == nil {
		if full, err = debugfile.Mini(n.File); err != nil || full == nil {
			return own, true, err
		}
	}
	names, stripped, err = findSymbols(full, want)
	if err != nil {
		return own, true, err
	}
	for i := range names {
		names[i] = cmp.Or(names[i], own[i])
	}
	return names, stripped, nil
}

// lines opens the debug information.
func (n *nativeFile) lines() *lineFinder {
	f := n.File
	opts := &dwarf.Options{}
	if n.debug.File != nil {
		f = n.debug.File
	}
	if n.files != nil {
		debugPath := n.debugPath()
		opts.Alternate = func(path string, id []byte) (dwarf.Image, error) { return n.files.Alternate(debugPath, path, id) }
		opts.Split = func(dir, name string) (dwarf.Image, error) { return n.files.Split(n.path, dir, name) }
		opts.Package = func() (dwarf.Image, error) { return n.files.Package(n.path, debugPath) }
	}
	data, err := dwarf.Open(f, opts)
	if errors.Is(err, dwarf.ErrNone) {
		err = nil
	}
	return &lineFinder{data: data, err: err}
}

// debugPath is where the file with the debug information lies.
func (n *nativeFile) debugPath() string {
	if file := debugfile.Raw(n.debug); file != nil {
		return file.Name()
	}
	return n.path
}

// findNative gives the frames of each wanted vaddr of native code. Debug information has lines and inlined calls; the name of the function
// around them is the symbol's, which tells clones apart and knows aliases.
func findNative(n *nativeFile, want addrs, style NameStyle) answers {
	a := answers{frames: make([][]frame, len(want)), noLines: make([]error, len(want)), why: Unnamed{Reason: NotCovered}}
	names, stripped, err := n.symbols(want)
	lines := n.lines()
	namer := newNamer(style)
	for i, pc := range want {
		name := ""
		if names != nil {
			name = names[i]
		}
		var found []dwarf.Frame
		found, a.noLines[i] = lines.find(pc)
		a.frames[i] = nativeFrames(found, name, namer)
	}
	err = errors.Join(err, lines.close())
	switch {
	case err != nil:
		a.why = fileError(err)
	case stripped:
		a.why = Unnamed{Reason: NoSymbols}
	}
	return a
}

// nativeFrames joins what debug information and the symbol table say of an address. Frames that neither names are left out.
func nativeFrames(lines []dwarf.Frame, symbol string, namer namer) []frame {
	if len(lines) == 0 {
		lines = []dwarf.Frame{{}}
	}
	frames := make([]frame, 0, len(lines))
	for i, l := range lines {
		name := l.Name
		if i == len(lines)-1 {
			name = cmp.Or(symbol, l.Name)
		}
		if name == "" {
			continue
		}
		fr := namer.frame(name)
		fr.file, fr.line, fr.start = l.File, l.Line, l.StartLine
		frames = append(frames, fr)
	}
	return frames
}

// lineFinder looks addresses up in the debug information of a file, if there is any.
type lineFinder struct {
	data   *dwarf.Data
	frames []dwarf.Frame
	err    error // why there is none although the file has some
}

// find gives the frames of a vaddr; they are lent until the next call. With an error some may be missing.
func (l *lineFinder) find(pc uint64) ([]dwarf.Frame, error) {
	if l.data == nil {
		return nil, l.err
	}
	var err error
	l.frames, err = l.data.Frames(l.frames[:0], pc)
	return l.frames, err
}

func (l *lineFinder) close() error {
	if l.data == nil {
		return nil
	}
	return l.data.Close()
}
