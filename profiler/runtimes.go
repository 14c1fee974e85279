// SPDX-License-Identifier: Apache-2.0

package profiler

import (
	"fmt"
	"maps"
	"slices"

	"github.com/assaylab/assay/internal/elfx"
)

// maxReasons bounds how many files a profile tells of that should have something of a runtime and don't.
const maxReasons = 20

// runtimes are the processes of a language's runtime: F is what a file has for us, P what the kernel is told of a process.
type runtimes[F, P any] struct {
	files   *objects
	lacks   string // what is missing where a file can't be read
	read    func(e *elfx.File, path string) (F, error)
	add     func(pid int, p P) error
	remove  func(pid int) error
	known   map[*object]F
	told    map[int]*image  // for which the kernel was told, by PID
	unknown map[string]bool // why something is missing, one line a file
}

// object is the file of a mapping.
func (rs *runtimes[F, P]) object(im *image, m *timedMapping) *object {
	if m.obj == nil {
		m.obj = rs.files.of(im.pid, &m.mapping)
	}
	return m.obj
}

// inspect reads a file, once.
func (rs *runtimes[F, P]) inspect(o *object, path string) F {
	f, ok := rs.known[o]
	if ok {
		return f
	}
	f, err := rs.readObject(o, path)
	if err != nil {
		rs.unknown[fmt.Sprintf("no %s of %s: %v", rs.lacks, path, err)] = true
	}
	rs.known[o] = f
	return f
}

func (rs *runtimes[F, P]) readObject(o *object, path string) (f F, err error) {
	view, err := o.view()
	if err != nil {
		return f, err
	}
	e, err := elfx.Open(view, view.Size())
	if err != nil {
		return f, err
	}
	return rs.read(e, path)
}

// tell tells the kernel of a process.
func (rs *runtimes[F, P]) tell(im *image, p P) {
	if err := rs.add(im.pid, p); err != nil {
		rs.unknown[err.Error()] = true
		return
	}
	rs.told[im.pid] = im
}

// forget takes back what the kernel was told of a process, unless that was of this image.
func (rs *runtimes[F, P]) forget(pid int, but *image) {
	if im, ok := rs.told[pid]; !ok || im == but {
		return
	}
	delete(rs.told, pid)
	if err := rs.remove(pid); err != nil {
		rs.unknown[err.Error()] = true
	}
}

// reasons are why something is missing where it should be.
func (rs *runtimes[F, P]) reasons() []string {
	all := slices.Sorted(maps.Keys(rs.unknown))
	return all[:min(len(all), maxReasons)]
}
