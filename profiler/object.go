// SPDX-License-Identifier: Apache-2.0

package profiler

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/assaylab/assay/bpf"
	"github.com/assaylab/assay/internal/elfx"
)

// object is a file that is mapped somewhere, known by its build ID where it has one.
type object struct {
	path    string
	buildID string
	file    *os.File // nil when it could not be opened, or was closed to save descriptors
	loads   []elfx.Load
	reason  string // why there is no file
	tried   bool
	anon    bool
	pid     int // of anonymous memory: whose it is
	root    *os.File
	dump    *object // of anonymous memory: the jitdump that its process wrote, if any

	introduced bool // to the kernel, see unwinder
}

// objects holds the files behind mappings. A file is opened when the first frame falls into it, since later it
// may be gone.
type objects struct {
	byKey  map[objectKey]*object
	open   int
	limit  int    // descriptors that we may hold
	unheld uint64 // files not held open because of the limit
}

type objectKey struct {
	path, buildID string
	inode         uint64
	pid           int // of anonymous memory
}

func newObjects() *objects {
	return &objects{byKey: map[objectKey]*object{}, limit: raiseFileLimit() - 128}
}

// raiseFileLimit lifts the soft limit of descriptors to the hard one, at most 16384, and returns it.
func raiseFileLimit() int {
	var r unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_NOFILE, &r) != nil {
		return 1024
	}
	want := unix.Rlimit{Cur: min(r.Max, 16384), Max: r.Max}
	if want.Cur > r.Cur && unix.Setrlimit(unix.RLIMIT_NOFILE, &want) == nil {
		r = want
	}
	return int(r.Cur)
}

// of is the object that a mapping of process pid shows; it is opened at the first call.
func (s *objects) of(pid int, m *mapping) *object {
	key := objectKey{path: m.path, buildID: m.buildID}
	if m.buildID == "" {
		key.inode = m.inode
	}
	if !m.isFile() && m.path != vdsoName && m.path != "[vsyscall]" {
		key = objectKey{pid: pid}
	}
	o := s.byKey[key]
	if o == nil {
		o = &object{path: m.path, buildID: m.buildID, anon: key.pid != 0, pid: pid}
		s.byKey[key] = o
	}
	if !o.tried {
		o.tried = true
		s.openFor(o, pid, m)
	}
	return o
}

// dump is the jitdump that a mapping of process pid shows; it is opened at the first call.
func (s *objects) dump(pid int, m *mapping) *object {
	key := objectKey{path: m.path, inode: m.inode, pid: pid}
	o := s.byKey[key]
	if o != nil {
		return o
	}
	o = &object{path: m.path, pid: pid, tried: true}
	s.byKey[key] = o
	f, err := openMapped(pid, m)
	if err != nil {
		o.reason = err.Error()
	} else if s.mayHold(o, f) {
		o.file = f
	}
	return o
}

func (s *objects) openFor(o *object, pid int, m *mapping) {
	switch {
	case o.anon:
		// The root of the process, for its perf map, which may still grow.
		root, err := os.OpenFile(fmt.Sprintf("/proc/%d/root", pid), unix.O_PATH|unix.O_DIRECTORY, 0)
		if err != nil {
			o.reason = "process gone"
			return
		}
		if !s.mayHold(o, root) {
			return
		}
		o.root = root
		return
	case !m.isFile():
		return // the vdso is read from our own memory, vsyscall is no file
	}
	f, err := openMapped(pid, m)
	if err != nil {
		o.reason = err.Error()
		return
	}
	if err := o.inspect(f); err != nil {
		o.reason = err.Error()
		if cerr := f.Close(); cerr != nil {
			o.reason += "; " + cerr.Error()
		}
		return
	}
	if s.mayHold(o, f) {
		o.file = f
	}
}

// mayHold says whether one more file may stay open, and closes it if not.
func (s *objects) mayHold(o *object, f *os.File) bool {
	if s.open < s.limit {
		s.open++
		return true
	}
	s.unheld++
	o.reason = "too many files to hold open"
	if err := f.Close(); err != nil {
		o.reason += "; " + err.Error()
	}
	return false
}

var (
	errGone     = errors.New("file gone")
	errReplaced = errors.New("file replaced")
)

// openMapped opens the file behind a mapping: first the very file, by map_files, which also works for deleted files but wants
// CAP_CHECKPOINT_RESTORE; then its name as the process sees it; then its name as we see it. A name may lead to another file by now.
func openMapped(pid int, m *mapping) (*os.File, error) {
	if f, err := elfx.OpenRegular(fmt.Sprintf("/proc/%d/map_files/%x-%x", pid, m.start, m.end)); err == nil {
		return f, nil
	}
	path, deleted := strings.CutSuffix(m.path, " (deleted)")
	err := errGone
	for _, name := range []string{fmt.Sprintf("/proc/%d/root%s", pid, path), path} {
		f, oerr := elfx.OpenRegular(name)
		if oerr != nil {
			if errors.Is(oerr, os.ErrPermission) {
				err = errors.New("no permission to open the file")
			}
			continue
		}
		if same(f, m, deleted) {
			return f, nil
		}
		err = errReplaced
		if cerr := f.Close(); cerr != nil {
			return nil, cerr
		}
	}
	return nil, err
}

// same says whether an opened file is the one that was mapped, by build ID or else by inode.
func same(f *os.File, m *mapping, deleted bool) bool {
	if m.buildID != "" {
		st, err := f.Stat()
		if err != nil {
			return false
		}
		e, err := elfx.Open(f, st.Size())
		return err == nil && e.BuildID() == m.buildID
	}
	var st unix.Stat_t
	if m.inode == 0 {
		return !deleted
	}
	return unix.Fstat(int(f.Fd()), &st) == nil && st.Ino == m.inode
}

// inspect reads what a profile needs of an ELF file: its build ID and its segments.
func (o *object) inspect(f *os.File) error {
	st, err := f.Stat()
	if err != nil {
		return err
	}
	e, err := elfx.Open(f, st.Size())
	if err != nil {
		return fmt.Errorf("not a usable ELF file: %w", err)
	}
	o.loads = e.Loads()
	if o.buildID == "" {
		o.buildID = e.BuildID()
	}
	return nil
}

// segment is the loadable segment that holds a byte of the file.
func (o *object) segment(off uint64) (elfx.Load, bool) {
	for _, l := range o.loads {
		if l.Executable() && off >= l.Off && off < l.Off+l.Filesz {
			return l, true
		}
	}
	return elfx.Load{}, false
}

// bias is what to subtract from addresses in m, which shows o, for the vaddrs of the file.
func (o *object) bias(m *mapping) uint64 {
	for _, l := range o.loads {
		if l.Executable() && l.Off < m.off+(m.end-m.start) && m.off < l.Off+l.Filesz {
			return m.start - m.off + l.Off - l.Vaddr
		}
	}
	return m.start // the vdso
}

// inode is what the kernel knows o by, and how far its code is from its vaddrs; false when it has no file, or code in parts.
func (o *object) inode() (i bpf.UnwindInode, shift uint64, ok bool) {
	if o.path == vdsoName {
		return bpf.UnwindInode{}, 0, true
	}
	var st unix.Stat_t
	if o.file == nil || unix.Fstat(int(o.file.Fd()), &st) != nil {
		return i, 0, false
	}
	for _, l := range o.loads {
		if !l.Executable() {
			continue
		}
		if ok && l.Off-l.Vaddr != shift {
			return i, 0, false
		}
		shift, ok = l.Off-l.Vaddr, true
	}
	const minorBits = 20 // of a device in the kernel
	return bpf.UnwindInode{Number: st.Ino, Mtime: uint64(st.Mtim.Nano()), Dev: unix.Major(st.Dev)<<minorBits | unix.Minor(st.Dev)}, shift, ok
}

// close closes all files.
func (s *objects) close() error {
	var errs []error
	for _, o := range s.byKey {
		for _, f := range []*os.File{o.file, o.root} {
			if f != nil {
				errs = append(errs, f.Close())
			}
		}
	}
	return errors.Join(errs...)
}

// OpenFile is a file that a profile's mapping shows.
type OpenFile struct {
	io.ReaderAt
	size int64
}

// Size is the length of the file in bytes.
func (f *OpenFile) Size() int64 { return f.size }

// Close does nothing: the recording holds the file.
func (f *OpenFile) Close() error { return nil }

// content returns what o shows, for reading.
func (o *object) content() (*OpenFile, error) {
	if o.path == vdsoName {
		return vdso()
	}
	return o.view()
}

// size is the length of the file in bytes, 0 where it can't be read.
func (o *object) size() int64 {
	if o.file == nil {
		return 0
	}
	st, err := o.file.Stat()
	if err != nil {
		return 0
	}
	return st.Size()
}

// view returns o's file for reading.
func (o *object) view() (*OpenFile, error) {
	if o.file == nil {
		if o.reason == "" || o.reason == errGone.Error() {
			return nil, fmt.Errorf("%s: %w", o.path, os.ErrNotExist)
		}
		return nil, fmt.Errorf("%s: %s", o.path, o.reason)
	}
	st, err := o.file.Stat()
	if err != nil {
		return nil, err
	}
	return &OpenFile{o.file, st.Size()}, nil
}
