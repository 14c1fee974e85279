// SPDX-License-Identifier: Apache-2.0

package replay

import (
	"strings"

	"golang.org/x/sys/unix"
)

// An argument says what a call's argument is replaced with.
type argument byte

const (
	asGiven  argument = '-'
	fdArg    argument = 'f' // a descriptor
	folderFD argument = 'd' // a descriptor of a folder, or AT_FDCWD
	pathArg  argument = 'p'
	path2Arg argument = 'P'
	dataArg  argument = 'b' // memory of as many bytes as the next argument says
	scratch  argument = 'o' // memory for a structure that the kernel fills
	null     argument = 'n' // a pointer that may be absent
	vectors  argument = 'v' // as many as the next argument says, of the call's size together
	mapped   argument = 'a' // an address in memory that the recording mapped
)

// A result says what to do with what a call returned, or what the call changes.
type result byte

const (
	plain       result = iota
	newFD              // it's a descriptor
	endFD              // its first argument is one no more
	newPair            // two descriptors in scratch memory
	newMemory          // it's an address
	endMemory          // its first argument is one no more
	movedMemory        // its first argument is one no more, and the result is
	newFolder          // it changes the working folder
)

// A spec is how a call is replayed.
type spec struct {
	number    uintptr
	arguments [6]argument
	result    result
}

// line reads a spec from its arguments, such as "d p - -".
func line(number uintptr, arguments string, r result) spec {
	s := spec{number: number, result: r}
	for i := range s.arguments {
		s.arguments[i] = asGiven
	}
	for i, a := range strings.Fields(arguments) {
		s.arguments[i] = argument(a[0])
	}
	return s
}

// specs are the calls that are replayed as they are, by name. Those that only amd64 has are in table_amd64.go.
var specs = map[string]spec{
	"read":              line(unix.SYS_READ, "f b", plain),
	"write":             line(unix.SYS_WRITE, "f b", plain),
	"pread64":           line(unix.SYS_PREAD64, "f b", plain),
	"pwrite64":          line(unix.SYS_PWRITE64, "f b", plain),
	"readv":             line(unix.SYS_READV, "f v", plain),
	"writev":            line(unix.SYS_WRITEV, "f v", plain),
	"preadv":            line(unix.SYS_PREADV, "f v", plain),
	"pwritev":           line(unix.SYS_PWRITEV, "f v", plain),
	"openat":            line(unix.SYS_OPENAT, "d p", newFD),
	"close":             line(unix.SYS_CLOSE, "f", endFD),
	"fstat":             line(unix.SYS_FSTAT, "f o", plain),
	"statx":             line(unix.SYS_STATX, "d p - - o", plain),
	"faccessat":         line(unix.SYS_FACCESSAT, "d p", plain),
	"faccessat2":        line(unix.SYS_FACCESSAT2, "d p", plain),
	"readlinkat":        line(unix.SYS_READLINKAT, "d p o", plain),
	"statfs":            line(unix.SYS_STATFS, "p o", plain),
	"fstatfs":           line(unix.SYS_FSTATFS, "f o", plain),
	"getdents64":        line(unix.SYS_GETDENTS64, "f b", plain),
	"lseek":             line(unix.SYS_LSEEK, "f", plain),
	"fsync":             line(unix.SYS_FSYNC, "f", plain),
	"fdatasync":         line(unix.SYS_FDATASYNC, "f", plain),
	"truncate":          line(unix.SYS_TRUNCATE, "p", plain),
	"ftruncate":         line(unix.SYS_FTRUNCATE, "f", plain),
	"fallocate":         line(unix.SYS_FALLOCATE, "f", plain),
	"fadvise64":         line(unix.SYS_FADVISE64, "f", plain),
	"readahead":         line(unix.SYS_READAHEAD, "f", plain),
	"sync_file_range":   line(unix.SYS_SYNC_FILE_RANGE, "f", plain),
	"copy_file_range":   line(unix.SYS_COPY_FILE_RANGE, "f n f n", plain),
	"sendfile":          line(unix.SYS_SENDFILE, "f f n", plain),
	"flock":             line(unix.SYS_FLOCK, "f", plain),
	"fcntl":             line(unix.SYS_FCNTL, "f", plain),
	"ioctl":             line(unix.SYS_IOCTL, "f - o", plain),
	"dup":               line(unix.SYS_DUP, "f", newFD),
	"dup3":              line(unix.SYS_DUP3, "f", newFD),
	"mkdirat":           line(unix.SYS_MKDIRAT, "d p", plain),
	"unlinkat":          line(unix.SYS_UNLINKAT, "d p", plain),
	"renameat2":         line(unix.SYS_RENAMEAT2, "d p d P", plain),
	"linkat":            line(unix.SYS_LINKAT, "d p d P", plain),
	"symlinkat":         line(unix.SYS_SYMLINKAT, "p d P", plain),
	"fchmod":            line(unix.SYS_FCHMOD, "f", plain),
	"fchmodat":          line(unix.SYS_FCHMODAT, "d p", plain),
	"fchown":            line(unix.SYS_FCHOWN, "f", plain),
	"fchownat":          line(unix.SYS_FCHOWNAT, "d p", plain),
	"utimensat":         line(unix.SYS_UTIMENSAT, "d p n", plain),
	"getxattr":          line(unix.SYS_GETXATTR, "p o o", plain),
	"lgetxattr":         line(unix.SYS_LGETXATTR, "p o o", plain),
	"listxattr":         line(unix.SYS_LISTXATTR, "p o", plain),
	"llistxattr":        line(unix.SYS_LLISTXATTR, "p o", plain),
	"flistxattr":        line(unix.SYS_FLISTXATTR, "f o", plain),
	"getcwd":            line(unix.SYS_GETCWD, "o", plain),
	"chdir":             line(unix.SYS_CHDIR, "p", newFolder),
	"fchdir":            line(unix.SYS_FCHDIR, "f", newFolder),
	"umask":             line(unix.SYS_UMASK, "", plain),
	"getpid":            line(unix.SYS_GETPID, "", plain),
	"gettid":            line(unix.SYS_GETTID, "", plain),
	"getppid":           line(unix.SYS_GETPPID, "", plain),
	"getuid":            line(unix.SYS_GETUID, "", plain),
	"geteuid":           line(unix.SYS_GETEUID, "", plain),
	"getgid":            line(unix.SYS_GETGID, "", plain),
	"getegid":           line(unix.SYS_GETEGID, "", plain),
	"getpgid":           line(unix.SYS_GETPGID, "", plain),
	"getsid":            line(unix.SYS_GETSID, "", plain),
	"getgroups":         line(unix.SYS_GETGROUPS, "- o", plain),
	"sched_yield":       line(unix.SYS_SCHED_YIELD, "", plain),
	"sched_getaffinity": line(unix.SYS_SCHED_GETAFFINITY, "- - o", plain),
	"getcpu":            line(unix.SYS_GETCPU, "o o n", plain),
	"uname":             line(unix.SYS_UNAME, "o", plain),
	"sysinfo":           line(unix.SYS_SYSINFO, "o", plain),
	"times":             line(unix.SYS_TIMES, "o", plain),
	"getrusage":         line(unix.SYS_GETRUSAGE, "- o", plain),
	"clock_gettime":     line(unix.SYS_CLOCK_GETTIME, "- o", plain),
	"clock_getres":      line(unix.SYS_CLOCK_GETRES, "- o", plain),
	"gettimeofday":      line(unix.SYS_GETTIMEOFDAY, "o n", plain),
	"getrandom":         line(unix.SYS_GETRANDOM, "b", plain),
	"mmap":              line(unix.SYS_MMAP, "a - - - f", newMemory),
	"munmap":            line(unix.SYS_MUNMAP, "a", endMemory),
	"mremap":            line(unix.SYS_MREMAP, "a", movedMemory),
	"mprotect":          line(unix.SYS_MPROTECT, "a", plain),
	"madvise":           line(unix.SYS_MADVISE, "a", plain),
	"msync":             line(unix.SYS_MSYNC, "a", plain),
	"memfd_create":      line(unix.SYS_MEMFD_CREATE, "p", newFD),
	"eventfd2":          line(unix.SYS_EVENTFD2, "", newFD),
	"timerfd_create":    line(unix.SYS_TIMERFD_CREATE, "", newFD),
	"signalfd4":         line(unix.SYS_SIGNALFD4, "- o", newFD),
	"inotify_init1":     line(unix.SYS_INOTIFY_INIT1, "", newFD),
	"epoll_create1":     line(unix.SYS_EPOLL_CREATE1, "", newFD),
	"epoll_ctl":         line(unix.SYS_EPOLL_CTL, "f - f o", plain),
	"pipe2":             line(unix.SYS_PIPE2, "o", newPair),
	"socketpair":        line(unix.SYS_SOCKETPAIR, "- - - o", newPair),
	"socket":            line(unix.SYS_SOCKET, "", newFD),
	"bind":              line(unix.SYS_BIND, "f o", plain),
	"listen":            line(unix.SYS_LISTEN, "f", plain),
	"accept":            line(unix.SYS_ACCEPT, "f n n", newFD),
	"accept4":           line(unix.SYS_ACCEPT4, "f n n", newFD),
	"connect":           line(unix.SYS_CONNECT, "f o", plain),
	"sendto":            line(unix.SYS_SENDTO, "f b - - n", plain),
	"recvfrom":          line(unix.SYS_RECVFROM, "f b - - n n", plain),
	"sendmsg":           line(unix.SYS_SENDMSG, "f o", plain),
	"recvmsg":           line(unix.SYS_RECVMSG, "f o", plain),
	"shutdown":          line(unix.SYS_SHUTDOWN, "f", plain),
	"getsockname":       line(unix.SYS_GETSOCKNAME, "f o o", plain),
	"getpeername":       line(unix.SYS_GETPEERNAME, "f o o", plain),
	"setsockopt":        line(unix.SYS_SETSOCKOPT, "f - - o", plain),
	"getsockopt":        line(unix.SYS_GETSOCKOPT, "f - - o o", plain),
	"epoll_pwait":       line(unix.SYS_EPOLL_PWAIT, "f b - - n", plain),
	"ppoll":             line(unix.SYS_PPOLL, "o - o n", plain),
}

// substitutes are the calls that would change or end the process, or wait for what isn't there, and the harmless ones of about the same
// cost that stand for them.
var substitutes = map[string]spec{
	"rt_sigaction":    line(unix.SYS_RT_SIGACTION, "- n o", plain),   // which only asks
	"rt_sigprocmask":  line(unix.SYS_RT_SIGPROCMASK, "- n o", plain), // the same
	"sigaltstack":     line(unix.SYS_SIGALTSTACK, "n o", plain),      // the same
	"prlimit64":       line(unix.SYS_PRLIMIT64, "- - n o", plain),    // the same
	"setrlimit":       line(unix.SYS_GETRLIMIT, "- o", plain),
	"set_tid_address": line(unix.SYS_GETTID, "", plain),
	"set_robust_list": line(unix.SYS_GETTID, "", plain),
	"rseq":            line(unix.SYS_GETTID, "", plain),
	"prctl":           line(unix.SYS_GETTID, "", plain),
	"setuid":          line(unix.SYS_GETUID, "", plain),
	"setgid":          line(unix.SYS_GETUID, "", plain),
	"setreuid":        line(unix.SYS_GETUID, "", plain),
	"setregid":        line(unix.SYS_GETUID, "", plain),
	"setresuid":       line(unix.SYS_GETUID, "", plain),
	"setresgid":       line(unix.SYS_GETUID, "", plain),
	"setpgid":         line(unix.SYS_GETPGID, "", plain),
	"setsid":          line(unix.SYS_GETSID, "", plain),
	"mlock":           line(unix.SYS_GETTID, "", plain),
	"brk":             line(unix.SYS_BRK, "n", plain), // which asks; see plan.brk for the others
	"futex":           line(unix.SYS_FUTEX, "o - - o", plain),
	"nanosleep":       line(unix.SYS_FUTEX, "o - - o", plain),
	"clock_nanosleep": line(unix.SYS_FUTEX, "o - - o", plain),
	"wait4":           line(unix.SYS_FUTEX, "o - - o", plain), // which waits as long, or for the child
	"waitid":          line(unix.SYS_FUTEX, "o - - o", plain),
	"rt_sigsuspend":   line(unix.SYS_FUTEX, "o - - o", plain),
	"rt_sigtimedwait": line(unix.SYS_FUTEX, "o - - o", plain),
	"pselect6":        line(unix.SYS_PSELECT6, "- n n n o n", plain), // of no descriptors, since a recording doesn't tell them
	"setitimer":       line(unix.SYS_GETITIMER, "- o", plain),
	"kill":            line(unix.SYS_GETPID, "", plain),
	"tkill":           line(unix.SYS_GETPID, "", plain),
	"tgkill":          line(unix.SYS_GETPID, "", plain),
}
