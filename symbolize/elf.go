// SPDX-License-Identifier: Apache-2.0

package symbolize

import (
	"cmp"
	"errors"
	"io"
	"io/fs"
	"strings"

	"github.com/google/pprof/profile"

	"github.com/assaylab/assay/internal/elfx"
)

var errReplaced = errors.New("build ID differs")

// nameFiles names the addresses of ELF files and of the vdso. It gives back the mappings of memory files that aren't ELF:
// some JIT compilers put their code there.
func nameFiles(targets []*target, src Source, opts *Options, funcs *functions) (jit []*target) {
	for _, group := range byFile(targets) {
		for i, err := range nameFile(group, src, opts, funcs) {
			if t := group[i]; memoryFile(t.mapping.File) && notELF(err) {
				jit = append(jit, t)
				continue
			}
			why := fileError(err)
			group[i].unnamed(why.Reason, why.Detail, len(group[i].locations))
		}
	}
	return jit
}

// memoryFile says whether a file's name is one that the kernel gives to shared memory.
func memoryFile(name string) bool {
	return strings.HasPrefix(name, "/memfd:") || strings.HasPrefix(name, "/dev/zero") || strings.HasPrefix(name, "/SYSV")
}

func notELF(err error) bool {
	var bad *elfx.FormatError
	return errors.As(err, &bad) || errors.Is(err, io.ErrUnexpectedEOF)
}

// fileError turns an error of a file into the reason why its addresses have no names.
func fileError(err error) Unnamed {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return Unnamed{Reason: FileGone}
	case errors.Is(err, errReplaced):
		return Unnamed{Reason: FileReplaced}
	case notELF(err), errors.Is(err, errOverlap), errors.Is(err, errGoTable):
		return Unnamed{Reason: InvalidELF, Detail: strings.TrimPrefix(err.Error(), "ELF: ")}
	}
	return Unnamed{Reason: FileUnreadable, Detail: err.Error()}
}

// byFile groups the mappings of one file: by build ID, or by name where there is none.
func byFile(targets []*target) [][]*target {
	var groups [][]*target
	index := make(map[string]int)
	for _, t := range targets {
		if len(t.locations) == 0 {
			continue
		}
		key := "file:" + t.mapping.File
		if t.mapping.BuildID != "" {
			key = "id:" + t.mapping.BuildID
		}
		i, ok := index[key]
		if !ok {
			i = len(groups)
			index[key] = i
			groups = append(groups, nil)
		}
		groups[i] = append(groups[i], t)
	}
	return groups
}

// nameFile names the addresses of one file. Its mappings may show it under several names, or in several processes of which
// some have ended: the first that opens serves all. If none does, there is an error for each.
func nameFile(group []*target, src Source, opts *Options, funcs *functions) []error {
	var errs []error
	for _, t := range group {
		named := false
		err := withFile(t.mapping, src, func(f *elfx.File) {
			nameIn(f, group, opts, funcs)
			named = true
		})
		if named {
			return nil // an error of closing changes nothing about what was read
		}
		errs = append(errs, err)
	}
	return errs
}

// withFile opens the file of a mapping and calls do, provided that it is still the file that was mapped.
func withFile(m *profile.Mapping, src Source, do func(*elfx.File)) error {
	obj, err := src.Object(m)
	if err != nil {
		return err
	}
	f, err := elfx.Open(obj, obj.Size())
	switch {
	case err != nil:
	case m.BuildID != "" && !strings.EqualFold(m.BuildID, f.BuildID()) && m.BuildID != f.GoBuildID():
		err = errReplaced
	default:
		do(f)
	}
	return errors.Join(err, obj.Close())
}

// nameIn looks the addresses of all mappings of a file up in it.
func nameIn(f *elfx.File, group []*target, opts *Options, funcs *functions) {
	q := &query{funcs: funcs}
	path := ""
	for _, t := range group {
		path = cmp.Or(path, t.mapping.File)
		for _, l := range t.locations {
			if vaddr, ok := f.Vaddr(l.Address - t.mapping.Start + t.mapping.Offset); ok {
				q.add(t, l, vaddr)
			} else {
				t.unnamed(NotInFile, "", 1)
			}
		}
	}
	if len(q.items) == 0 {
		return
	}
	want := q.addrs()
	found := findFrames(f, path, want, opts)
	q.answer(want, found.frames, found.why)
	for _, it := range q.items {
		if err := found.noLines[want.from(it.addr)]; err != nil {
			it.target.lineless(err)
		}
	}
}

// answers are what a file says of wanted vaddrs.
type answers struct {
	frames  [][]frame
	why     Unnamed // the reason that holds for those without a frame
	noLines []error // why lines or inlined calls of an address are missing that the file should have; or nil
}

// findFrames gives the frames of each wanted vaddr. In a Go program pclntab comes first, for it has lines and inlined calls and
// survives stripping; the other tables then serve its C code.
func findFrames(f *elfx.File, path string, want addrs, opts *Options) answers {
	all := answers{frames: make([][]frame, len(want)), noLines: make([]error, len(want))}
	goErr := findGoFrames(f, want, all.frames)
	var rest addrs
	var index []int
	for i, frames := range all.frames {
		if frames == nil {
			rest = append(rest, want[i])
			index = append(index, i)
		}
	}
	if len(rest) == 0 {
		return all
	}
	n := newNativeFile(f, path, opts.DebugFiles)
	native := findNative(n, rest, opts.Names)
	for i, k := range index {
		all.frames[k], all.noLines[k] = native.frames[i], native.noLines[i]
	}
	all.why = native.why
	if err := errors.Join(goErr, n.close()); err != nil {
		all.why = fileError(err)
	}
	return all
}
