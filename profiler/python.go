// SPDX-License-Identifier: Apache-2.0

package profiler

import (
	"strings"

	"github.com/assaylab/assay/bpf"
	"github.com/assaylab/assay/internal/elfx"
	"github.com/assaylab/assay/profiler/python"
)

// pythons are the processes that run CPython: the kernel is told where they keep their frames, and what it sends of these is read
// while they live.
type pythons struct {
	runtimes[interpreterFile, bpf.PythonProcess]

	stacks map[uint64]pythonStack
	frames map[pythonFrame]*pythonFrame // of all stacks, each once
	kept   int                          // bytes in the images' caches of code
	cached []*image                     // that have one
	lost   uint64                       // frames whose code could not be read
}

// interpreterFile is what an ELF file has for us: one of both, if that.
type interpreterFile struct {
	library *python.Library
	libc    *python.Specific
}

// pythonSide is what an image keeps for pythons.
type pythonSide struct {
	library *python.Library
	bias    uint64    // of the library
	libcs   []*object // files that may tell how its libc keeps thread-specific values, read when there is a library
	codes   map[codeKey]*python.Code
}

type codeKey struct {
	addr     uint64
	identity uint32
}

type pythonStack struct {
	end    bpf.PythonEnd
	frames []*pythonFrame // innermost first; shared
}

// pythonFrame is a frame with its names; without a function it could not be read.
type pythonFrame struct {
	function, file  string
	firstLine, line int
	entry           bool
}

// maxCodeBytes bounds the caches of code objects. They are emptied when they reach it: what is needed is read again.
const maxCodeBytes = 64 << 20

func newPythons(files *objects, k *bpf.Kernel) *pythons {
	return &pythons{
		runtimes: runtimes[interpreterFile, bpf.PythonProcess]{
			files: files, lacks: "frames of Python", read: inspectInterpreter, add: k.AddPython, remove: k.RemovePython,
			known: map[*object]interpreterFile{}, told: map[int]*image{}, unknown: map[string]bool{},
		},
		stacks: map[uint64]pythonStack{}, frames: map[pythonFrame]*pythonFrame{},
	}
}

// see looks at a new mapping of an image for an interpreter, and tells the kernel of it.
func (ps *pythons) see(im *image, m *timedMapping) {
	path := strings.TrimSuffix(m.path, " (deleted)")
	if !python.MayHold(path) && !python.MayBeLibc(path) {
		return
	}
	o := ps.object(im, m)
	py := &im.python
	if python.MayHold(path) {
		if f := ps.inspect(o, path); f.library != nil {
			if seg, ok := o.segment(m.off); ok {
				py.library, py.bias = f.library, m.start-m.off+seg.Off-seg.Vaddr
			}
		}
	} else {
		py.libcs = append(py.libcs, o)
	}
	if py.library == nil || ps.told[im.pid] == im {
		return
	}
	for _, o := range py.libcs {
		if f := ps.inspect(o, o.path); f.libc != nil {
			ps.tell(im, pythonProcess(py.library, py.bias, f.libc))
			return
		}
	}
}

func inspectInterpreter(e *elfx.File, path string) (f interpreterFile, err error) {
	if python.MayHold(path) {
		f.library, err = python.Inspect(e, path)
	} else {
		f.libc, err = python.InspectLibc(e)
	}
	return f, err
}

// pythonProcess says where a process keeps its frames, in the kernel side's terms.
func pythonProcess(library *python.Library, bias uint64, c *python.Specific) bpf.PythonProcess {
	l := &library.Layout
	window := min(l.FrameCode, l.FramePrevious, l.FrameInstr, l.FrameMark) &^ 7
	if l.Marks == python.EachFrame {
		window = min(l.FrameCode, l.FramePrevious, l.FrameInstr) &^ 7
	}
	word := func(field uint32) uint8 { return uint8((field - window) / 8) }
	p := bpf.PythonProcess{
		KeyAt: library.Runtime + bias + uint64(l.AutoTSSKey),
		Self:  c.Self, Array: c.Array, Block: c.Block, Stride: c.Stride, Value: c.Value,
		ThreadId: l.ThreadID, ThreadFrame: l.ThreadFrame, CframeCurrent: l.CFrameCurrent,
		Window: window, WindowBytes: max(l.FrameCode, l.FramePrevious, l.FrameInstr, l.FrameMark)&^7 + 8 - window,
		Code: word(l.FrameCode), Previous: word(l.FramePrevious), Instr: word(l.FrameInstr), Mark: uint8(l.FrameMark - window),
		Marks: uint8(l.Marks), CodeUnit: 1, CodeIdentity: l.CodeIdentity(), CodeStart: l.CodeStart,
	}
	if l.HasCFrame {
		p.HasCframe = 1
	}
	if l.Marks != python.EachFrame {
		p.SideBySide = 1 // on the thread's data stack
	}
	if l.Minor == 10 {
		p.CodeUnit = 2 // f_lasti counts instructions
	}
	return p
}

// stack reads the code of a stack's frames, from the process that has them.
func (ps *pythons) stack(s bpf.Python, im *image) {
	if _, ok := ps.stacks[s.ID]; ok {
		return
	}
	frames := make([]*pythonFrame, len(s.Frames))
	for i, f := range s.Frames {
		named := pythonFrame{entry: f.Entry()}
		if c, err := ps.code(im, f); err != nil {
			ps.lost++
		} else {
			named.function, named.file, named.firstLine, named.line = c.Name, c.File, c.FirstLine, c.Line(f.Offset())
		}
		if ps.frames[named] == nil {
			ps.frames[named] = &named
		}
		frames[i] = ps.frames[named]
	}
	ps.stacks[s.ID] = pythonStack{s.End, frames}
}

func (ps *pythons) code(im *image, f bpf.PythonFrame) (*python.Code, error) {
	key := codeKey{f.Code, f.Identity()}
	if c := im.python.codes[key]; c != nil {
		return c, nil
	}
	c, err := im.python.library.Layout.Code(python.Process(im.pid), f.Code, f.Identity())
	if err != nil {
		return nil, err
	}
	if ps.kept += c.Size(); ps.kept > maxCodeBytes {
		for _, im := range ps.cached {
			im.python.codes = nil
		}
		ps.cached, ps.kept = nil, c.Size()
	}
	if im.python.codes == nil {
		im.python.codes = map[codeKey]*python.Code{}
		ps.cached = append(ps.cached, im)
	}
	im.python.codes[key] = c
	return c, nil
}

// Python keeps a new stack of Python.
func (a *aggregate) Python(s bpf.Python) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if im := a.python.told[int(s.Tgid)]; im != nil {
		a.python.stack(s, im)
	}
}
