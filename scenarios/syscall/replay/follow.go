// SPDX-License-Identifier: Apache-2.0

package replay

import (
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/assaylab/assay/scenarios/syscall/trace"
)

// follow keeps track of what a call changed: descriptors, working folders, processes, and what it tells of files.
func (p *plan) follow(s *schedule, o *op) {
	c, proc := o.call, s.process
	if at, ok := wokeUp(c); ok {
		s.woke = at
	}
	switch c.Name {
	case "clone", "clone3", "fork", "vfork":
		p.fork(s, o)
	case "execve", "execveat":
		if c.Result >= 0 {
			p.execute(proc, o)
		}
	case "wait4":
		if child := p.byThread[int32(c.Result)]; c.Result > 0 && child != nil && child.forked {
			o.awaits = child
		}
	case "epoll_ctl":
		if c.Result == 0 {
			p.watched(proc, int32(c.Args[2]))
		}
	case "close":
		if c.Result >= 0 {
			delete(proc.fds, int32(c.Args[0]))
		}
	case "pipe", "pipe2", "socketpair":
		p.pair(proc, c)
	case "dup", "dup2", "dup3", "fcntl":
		p.duplicate(proc, c)
	case "socket", "bind", "connect", "accept", "accept4", "listen":
		p.socket(s, o)
	case "epoll_create", "epoll_create1", "eventfd", "eventfd2", "timerfd_create", "memfd_create", "inotify_init", "inotify_init1",
		"signalfd", "signalfd4":
		p.special(proc, c)
	case "mmap":
		if f, ok := p.fileOf(proc, int32(c.Args[4])); ok && c.Result >= 0 && int32(c.Args[4]) >= 0 && c.Args[5] < 1<<40 && c.Args[1] < 1<<40 {
			if f != nil && f.size < int64(c.Args[5]+c.Args[1]) && !f.exact && f.size == 0 {
				f.extent(int64(c.Args[5]+c.Args[1]), false)
			}
		}
	default:
		p.followFile(s, o)
	}
}

func (p *plan) followFile(s *schedule, o *op) {
	c, proc := o.call, s.process
	folder := func(i int) string { return p.folderOf(proc, int32(c.Args[i]), c) }
	switch c.Name {
	case "open", "creat":
		p.opened(proc, c, absolute(proc.folder, c.Path), c.Args[1])
	case "openat", "openat2":
		p.opened(proc, c, absolute(folder(0), c.Path), c.Args[2])
	case "chdir":
		name := absolute(proc.folder, c.Path)
		if p.saw(c, name, directory); c.Result >= 0 {
			proc.folder = name
		}
	case "fchdir":
		if f := proc.fds[int32(c.Args[0])]; f != nil && c.Result >= 0 && f.shared().path != "" {
			proc.folder = f.shared().path
			p.world.need(proc.folder, directory)
		}
	case "stat", "lstat", "access", "statfs", "truncate", "chmod", "chown", "lchown", "utime", "utimes", "getxattr", "lgetxattr",
		"listxattr", "llistxattr", "setxattr", "removexattr":
		p.saw(c, absolute(proc.folder, c.Path), unknown)
	case "newfstatat", "statx", "faccessat", "faccessat2", "fchmodat", "fchownat", "utimensat":
		if c.Path != "" {
			p.saw(c, absolute(folder(0), c.Path), unknown)
		}
	case "readlink":
		p.readlink(c, absolute(proc.folder, c.Path))
	case "readlinkat":
		p.readlink(c, absolute(folder(0), c.Path))
	case "mkdir":
		p.created(c, absolute(proc.folder, c.Path))
	case "mkdirat":
		p.created(c, absolute(folder(0), c.Path))
	case "unlink":
		p.removed(c, absolute(proc.folder, c.Path), regular)
	case "rmdir":
		p.removed(c, absolute(proc.folder, c.Path), directory)
	case "unlinkat":
		k := regular
		if c.Args[2]&unix.AT_REMOVEDIR != 0 {
			k = directory
		}
		p.removed(c, absolute(folder(0), c.Path), k)
	case "rename":
		p.renamed(c, absolute(proc.folder, c.Path), absolute(proc.folder, c.Path2))
	case "renameat", "renameat2":
		p.renamed(c, absolute(folder(0), c.Path), absolute(folder(2), c.Path2))
	case "link":
		p.saw(c, absolute(proc.folder, c.Path), unknown)
		p.created(c, absolute(proc.folder, c.Path2))
	case "linkat":
		p.saw(c, absolute(folder(0), c.Path), unknown)
		p.created(c, absolute(folder(2), c.Path2))
	case "symlink":
		p.created(c, absolute(proc.folder, c.Path2))
	case "symlinkat":
		p.created(c, absolute(folder(1), c.Path2))
	default:
		p.transferred(s, o)
	}
}

// folderOf is the folder that a path is relative to.
func (p *plan) folderOf(proc *process, fd int32, c *trace.Call) string {
	if fd == unix.AT_FDCWD {
		return proc.folder
	}
	if strings.HasPrefix(c.Path, "/") {
		return "/"
	}
	if o := p.descriptor(proc, fd, c); o != nil && o.shared().path != "" {
		return o.shared().path
	}
	return proc.folder
}

// saw notes what the result of a call tells of the file that it named.
func (p *plan) saw(c *trace.Call, name string, k kind) {
	switch {
	case c.Result >= 0:
		f := p.world.need(name, k)
		if f != nil && c.Size > 0 && strings.Contains(c.Name, "stat") {
			if f.kind == unknown {
				f.kind = kindOf(c.FD)
			}
			if f.kind == regular {
				f.extent(c.Size, true)
			}
		}
	case c.Result == -int64(unix.ENOENT):
		p.world.missing(name)
	}
}

func (p *plan) readlink(c *trace.Call, name string) {
	if c.Result > 0 {
		if f := p.world.need(name, symlink); f != nil && f.kind == symlink {
			f.size = c.Result
		}
		return
	}
	if c.Result == -int64(unix.EINVAL) {
		p.world.need(name, unknown)
		return
	}
	p.saw(c, name, unknown)
}

func (p *plan) created(c *trace.Call, name string) {
	switch {
	case c.Result >= 0:
		p.world.make(name)
	case c.Result == -int64(unix.EEXIST):
		p.world.need(name, unknown)
	}
}

func (p *plan) removed(c *trace.Call, name string, k kind) {
	switch {
	case c.Result >= 0:
		p.world.remove(name, k)
	case c.Result == -int64(unix.ENOENT):
		p.world.missing(name)
	case c.Result == -int64(unix.ENOTEMPTY):
		if f := p.world.need(name, directory); f != nil {
			f.listing = max(f.listing, 1)
		}
	}
}

func (p *plan) renamed(c *trace.Call, from, to string) {
	if c.Result < 0 {
		p.saw(c, from, unknown)
		return
	}
	p.world.remove(from, unknown)
	p.world.make(to)
}

// opened follows an open, and its descriptor.
func (p *plan) opened(proc *process, c *trace.Call, name string, flags uint64) {
	if c.Name == "creat" {
		flags = unix.O_CREAT | unix.O_TRUNC | unix.O_WRONLY
	}
	switch {
	case c.Result == -int64(unix.ENOENT):
		p.world.missing(name)
	case c.Result == -int64(unix.EEXIST):
		p.world.need(name, unknown)
	}
	if c.Result < 0 {
		return
	}
	k := kindOf(c.FD)
	if k == regular && p.recording.Strace || k == unknown {
		k = unknown // strace doesn't tell a file from a folder
		if flags&unix.O_DIRECTORY != 0 {
			k = directory
		}
	}
	if p.world.now[name] == untouched && flags&unix.O_CREAT != 0 && c.Size == 0 {
		p.world.make(name)
	} else if f := p.world.need(name, k); f != nil && c.Size > 0 && f.kind != directory {
		f.extent(c.Size, true)
	}
	class := c.FD
	if class == trace.NoFD {
		class = trace.Regular
	}
	proc.fds[int32(c.Result)] = &open{
		class: class, path: name, append: flags&unix.O_APPEND != 0, cloexec: flags&unix.O_CLOEXEC != 0, blocks: true,
	}
}

// fileOf is the file that was there before the recording and that a descriptor stands for; ok if the descriptor is known.
func (p *plan) fileOf(proc *process, fd int32) (f *file, ok bool) {
	o := proc.fds[fd]
	if o == nil {
		return nil, false
	}
	name := o.shared().path
	if name == "" || p.world.now[name] != there {
		return nil, true
	}
	return p.world.files[name], true
}

// transferred follows reads, writes and what else moves in a file.
func (p *plan) transferred(s *schedule, o *op) {
	c := o.call
	fd := int32(c.Args[0])
	if d := s.process.fds[fd]; d != nil && d.shared().talk != nil {
		d.shared().talk.talked(o, s.woke)
		return
	}
	f, ok := p.fileOf(s.process, fd)
	if !ok {
		return
	}
	d := s.process.fds[fd].shared()
	if c.Result < 0 || d.path == "" {
		return
	}
	switch c.Name {
	case "read", "readv":
		wanted := int64(c.Args[2])
		if c.Name == "readv" {
			wanted = c.Size
		}
		d.offset += c.Result
		f.extent(d.offset, c.Result < wanted)
	case "pread64":
		if c.Args[3] < 1<<50 && (c.Result > 0 || c.Args[3] == 0) {
			f.extent(int64(c.Args[3])+c.Result, c.Result < int64(c.Args[2]))
		}
	case "write", "writev":
		d.offset += c.Result
		p.changed(d.path, f)
	case "pwrite64", "ftruncate", "fallocate":
		p.changed(d.path, f)
	case "lseek":
		d.offset = c.Result
		if c.Args[2] == unix.SEEK_END {
			f.extent(c.Result-int64(c.Args[1]), true)
		}
		if c.Result == 0 {
			d.listed = 0
		}
	case "getdents64", "getdents":
		d.listed += c.Result
		if f != nil {
			f.kind = directory
			f.listing = max(f.listing, d.listed)
		}
	}
}

// changed notes that the recording wrote to a file: from then on its size tells nothing of how it was in the beginning.
func (p *plan) changed(_ string, f *file) {
	if f != nil {
		f.exact = true
	}
}

// special follows calls that make a descriptor of no file.
func (p *plan) special(proc *process, c *trace.Call) {
	if c.Result < 0 {
		return
	}
	class, cloexec := trace.OtherFD, uint64(0)
	switch c.Name {
	case "epoll_create", "epoll_create1":
		class, cloexec = trace.Epoll, c.Args[0]
	case "eventfd", "eventfd2":
		class, cloexec = trace.EventFD, c.Args[1]
	case "timerfd_create":
		class, cloexec = trace.TimerFD, c.Args[1]
	case "memfd_create":
		class = trace.Regular
	case "signalfd", "signalfd4":
		class, cloexec = trace.SignalFD, c.Args[3]
	}
	proc.fds[int32(c.Result)] = &open{class: class, cloexec: cloexec&unix.O_CLOEXEC != 0, blocks: true}
}

func (p *plan) pair(proc *process, c *trace.Call) {
	class, both, flags := trace.Pipe, c.Args[0], c.Args[1]
	if c.Name == "socketpair" {
		class, both = trace.UnixStream, c.Args[3]
	}
	if c.Name == "pipe" {
		flags = 0
	}
	if c.Result < 0 {
		return
	}
	for _, fd := range []int32{int32(both), int32(both >> 32)} {
		proc.fds[fd] = &open{class: class, cloexec: flags&unix.O_CLOEXEC != 0, blocks: flags&unix.O_NONBLOCK == 0}
	}
}

func (p *plan) duplicate(proc *process, c *trace.Call) {
	cloexec := false
	if c.Name == "fcntl" {
		o := proc.fds[int32(c.Args[0])]
		switch c.Args[1] {
		case unix.F_SETFD:
			if o != nil {
				o.cloexec = c.Args[2]&unix.FD_CLOEXEC != 0
			}
			return
		case unix.F_SETFL:
			if o != nil {
				o.shared().blocks = c.Args[2]&unix.O_NONBLOCK == 0
			}
			return
		case unix.F_DUPFD_CLOEXEC:
			cloexec = true
		case unix.F_DUPFD:
		default:
			return
		}
	}
	old := p.descriptor(proc, int32(c.Args[0]), c)
	if old == nil || c.Result < 0 || int32(c.Result) == int32(c.Args[0]) {
		return
	}
	proc.fds[int32(c.Result)] = &open{class: old.class, file: old.shared(), cloexec: cloexec || c.Name == "dup3" && c.Args[2] != 0}
}

// fork follows the beginning of a thread or process.
func (p *plan) fork(s *schedule, o *op) {
	c := o.call
	if c.Result <= 0 || c.Result > 1<<30 {
		return
	}
	id := int32(c.Result)
	thread := strings.HasPrefix(c.Name, "clone") && c.Args[0]&unix.CLONE_THREAD != 0
	if p.byThread[id] != nil {
		return // its number was used before
	}
	child := s.process
	if !thread {
		if p.processes[id] != nil {
			return
		}
		child = p.process(id)
		child.home, child.folder, child.parent = s.process.folder, s.process.folder, s.process
		for fd, old := range s.process.fds {
			child.fds[fd] = &open{class: old.class, file: old.shared(), cloexec: old.cloexec}
		}
	}
	begun := &schedule{id: id, process: child, gated: true, forked: !thread, end: c.Start}
	p.byThread[id] = begun
	p.threads = append(p.threads, begun)
	o.only, o.child, o.begins = fork, child, begun
}

// execute follows an execve: descriptors end, and the heap is another.
func (p *plan) execute(proc *process, o *op) {
	o.only = execute
	for fd, f := range proc.fds {
		if f.cloexec {
			o.closing = append(o.closing, fd)
			delete(proc.fds, fd)
		}
	}
	slices.Sort(o.closing)
	proc.heap = 0
	p.world.need(absolute(proc.folder, o.call.Path), regular)
}
