// SPDX-License-Identifier: Apache-2.0

package replay

import (
	"path"
	"strings"

	"github.com/assaylab/assay/scenarios/syscall/trace"
)

// What a file of the folder is.
type kind byte

const (
	unknown kind = iota
	regular
	directory
	symlink
	device
)

// A file is what a recording implies of one that was there when it began.
type file struct {
	kind    kind
	size    int64 // at least; of a link, the length of its target
	exact   bool  // the size is no more than that
	listing int64 // bytes that getdents64 returned for all entries
	child   bool  // something lies in it
}

// What is known of a path while the recording goes on.
type presence byte

const (
	untouched presence = iota
	there              // since before the recording
	made               // by the recording
	gone
)

// A world is the files that a recording worked on, inferred from its calls: what it could open must have been there, unless it had made
// it, and must have been as long as it could read.
type world struct {
	files map[string]*file // that were there, by absolute path
	now   map[string]presence
	// absent are those that were not there when they were first looked for.
	absent []string
}

func newWorld() *world {
	w := &world{files: map[string]*file{}, now: map[string]presence{}}
	w.need("/", directory)
	return w
}

// need notes that there is a file, and returns what is known of it if it was there from the beginning; else nil.
func (w *world) need(name string, k kind) *file {
	switch w.now[name] {
	case made:
		return nil
	case untouched:
		if w.inMade(name) {
			w.now[name] = made
			return nil
		}
		w.now[name] = there
		w.files[name] = &file{}
		if name != "/" {
			w.inside(name)
		}
	case gone: // it must have come back by something that is not in the recording
		w.make(name)
		return nil
	}
	f := w.files[name]
	if f.kind == unknown || k == directory {
		f.kind = k
	}
	return f
}

// inMade says whether a file lies in what the recording made, by something that is not in it, or through a link that it made.
func (w *world) inMade(name string) bool {
	for name != "/" {
		name = path.Dir(name)
		if w.now[name] == made {
			return true
		}
	}
	return false
}

// inside notes that the folder of a file is there.
func (w *world) inside(name string) {
	if f := w.need(path.Dir(name), directory); f != nil {
		f.child = true
	}
}

// make notes that the recording made a file.
func (w *world) make(name string) {
	if w.now[name] == untouched || w.now[name] == gone {
		w.inside(name)
		w.now[name] = made
	}
}

func (w *world) remove(name string, k kind) {
	w.need(name, k)
	w.now[name] = gone
}

// missing notes that there is no such file.
func (w *world) missing(name string) {
	if w.now[name] == untouched {
		w.now[name] = gone
		w.absent = append(w.absent, name)
	}
}

// folders makes folders of what is only known to be there where something was looked for in it: in a file the answer is another.
func (w *world) folders() {
	for _, name := range w.absent {
		for name != "/" {
			name = path.Dir(name)
			if f := w.files[name]; f != nil && f.kind == unknown {
				f.kind = directory
			}
		}
	}
}

// extent notes that an untouched file reaches so far.
func (f *file) extent(end int64, exact bool) {
	if f == nil || f.exact {
		return
	}
	f.size = max(f.size, end)
	f.exact = exact
}

// absolute joins a path with the folder that it is relative to, and takes out what a lookup can't leave: ".." at the root.
func absolute(folder, name string) string {
	if !strings.HasPrefix(name, "/") {
		name = folder + "/" + name
	}
	return path.Clean("/" + name)
}

// kindOf is the kind of file that a descriptor's class tells.
func kindOf(c trace.FDClass) kind {
	switch c {
	case trace.Regular:
		return regular
	case trace.Directory:
		return directory
	case trace.Device, trace.TTY:
		return device
	}
	return unknown
}
