// SPDX-License-Identifier: Apache-2.0

package profiler

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/assaylab/assay/internal/elfx"
)

// A program's libraries are known before it maps them: it names them, and the dynamic linker's rules say where they are found
// (ld.so(8)). What these rules have beyond the names in the file, LD_LIBRARY_PATH, the linker's cache and its own folders, is left out:
// such a library is known when it is mapped.

const (
	maxLibraries = 128     // of one program
	maxLinkCache = 8 << 20 // bytes
)

// linkCache is where the dynamic linker keeps which libraries there are.
const linkCache = "/etc/ld.so.cache"

// librarian finds libraries.
type librarian struct {
	preferred []string            // folders of LD_LIBRARY_PATH
	cached    map[string][]string // paths by name
	folders   []string            // of the linker
}

// newLibrarian reads the cache of the dynamic linker in root.
func newLibrarian(root, libraryPath string) (*librarian, error) {
	l := &librarian{preferred: filepath.SplitList(libraryPath), folders: []string{"/lib64", "/usr/lib64", "/lib", "/usr/lib"}}
	f, err := elfx.OpenRegular(filepath.Join(root, linkCache))
	if errors.Is(err, fs.ErrNotExist) {
		return l, nil
	} else if err != nil {
		return nil, err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil || st.Size() > maxLinkCache {
		return l, err
	}
	b := make([]byte, st.Size())
	if _, err := f.ReadAt(b, 0); err != nil {
		return nil, err
	}
	l.cached = parseLinkCache(b)
	return l, nil
}

// parseLinkCache reads the cache in the format that glibc has written alone since 2.32 (sysdeps/generic/dl-cache.h): "glibc-ld.so.cache1.1", u32 count,
// 24 bytes; of each library s32 flags, u32 name and path as offsets, u32, u64 hardware. It leaves out those for some hardware only.
func parseLinkCache(b []byte) map[string][]string {
	const magic, head, entry = "glibc-ld.so.cache1.1", 48, 24
	if len(b) < head || !bytes.HasPrefix(b, []byte(magic)) {
		return nil
	}
	le := binary.LittleEndian
	text := func(off uint32) string { return cString(b[min(int(off), len(b)):]) }
	found := map[string][]string{}
	count := int(le.Uint32(b[len(magic):]))
	for e := b[head:]; count > 0 && len(e) >= entry; count, e = count-1, e[entry:] {
		if le.Uint64(e[16:]) == 0 {
			name := text(le.Uint32(e[4:]))
			found[name] = append(found[name], text(le.Uint32(e[8:])))
		}
	}
	return found
}

// libraries gives the files of all libraries that the program at path needs, and that these need, in the form that their mappings will have.
func (l *librarian) libraries(path string) []mapping {
	var found []mapping
	seen := map[string]bool{}
	for todo := []string{path}; len(todo) > 0; todo = todo[1:] {
		d, machine, _, err := inspectLibrary(todo[0])
		if err != nil {
			continue // it was there a moment ago
		}
		for _, name := range d.Needed {
			if seen[name] || len(seen) == maxLibraries {
				continue
			}
			seen[name] = true
			if m, ok := l.find(name, filepath.Dir(todo[0]), d.RunPath, machine); ok {
				found = append(found, m)
				todo = append(todo, m.path)
			}
		}
	}
	return found
}

// find finds the first library of a name that is for a machine.
func (l *librarian) find(name, origin, runPath string, machine elf.Machine) (mapping, bool) {
	candidates := []string{name}
	if !strings.Contains(name, "/") {
		candidates = nil
		in := func(folders []string) {
			for _, f := range folders {
				candidates = append(candidates, filepath.Join(f, name))
			}
		}
		in(l.preferred)
		in(filepath.SplitList(strings.NewReplacer("$ORIGIN", origin, "${ORIGIN}", origin).Replace(runPath)))
		candidates = append(candidates, l.cached[name]...)
		in(l.folders)
	}
	for _, c := range candidates {
		path, err := filepath.EvalSymlinks(c)
		if err != nil {
			continue
		}
		if _, its, m, err := inspectLibrary(path); err == nil && its == machine {
			return m, true
		}
	}
	return mapping{}, false
}

// inspectLibrary reads what a file needs, for which machine it is, and what a mapping of it will say.
func inspectLibrary(path string) (d elfx.Dynamic, machine elf.Machine, m mapping, err error) {
	f, err := elfx.OpenRegular(path)
	if err != nil {
		return d, machine, m, err
	}
	defer f.Close()
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		return d, machine, m, &os.PathError{Op: "fstat", Path: path, Err: err}
	}
	e, err := elfx.Open(f, st.Size)
	if err != nil {
		return d, machine, m, err
	}
	d, err = e.Dynamic()
	return d, e.Machine(), mapping{path: path, buildID: e.BuildID(), inode: st.Ino}, err
}
