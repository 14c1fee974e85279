// SPDX-License-Identifier: Apache-2.0

package replay

import (
	"maps"

	"golang.org/x/sys/unix"
)

// Calls that newer architectures don't have.
func init() {
	maps.Copy(specs, map[string]spec{
		"newfstatat":   line(unix.SYS_NEWFSTATAT, "d p o", plain),
		"open":         line(unix.SYS_OPEN, "p", newFD),
		"creat":        line(unix.SYS_CREAT, "p", newFD),
		"stat":         line(unix.SYS_STAT, "p o", plain),
		"lstat":        line(unix.SYS_LSTAT, "p o", plain),
		"access":       line(unix.SYS_ACCESS, "p", plain),
		"readlink":     line(unix.SYS_READLINK, "p o", plain),
		"getdents":     line(unix.SYS_GETDENTS, "f b", plain),
		"dup2":         line(unix.SYS_DUP2, "f", newFD),
		"mkdir":        line(unix.SYS_MKDIR, "p", plain),
		"rmdir":        line(unix.SYS_RMDIR, "p", plain),
		"unlink":       line(unix.SYS_UNLINK, "p", plain),
		"rename":       line(unix.SYS_RENAME, "p P", plain),
		"renameat":     line(unix.SYS_RENAMEAT, "d p d P", plain),
		"link":         line(unix.SYS_LINK, "p P", plain),
		"symlink":      line(unix.SYS_SYMLINK, "p P", plain),
		"chmod":        line(unix.SYS_CHMOD, "p", plain),
		"chown":        line(unix.SYS_CHOWN, "p", plain),
		"lchown":       line(unix.SYS_LCHOWN, "p", plain),
		"utime":        line(unix.SYS_UTIME, "p n", plain),
		"utimes":       line(unix.SYS_UTIMES, "p n", plain),
		"getpgrp":      line(unix.SYS_GETPGRP, "", plain),
		"getrlimit":    line(unix.SYS_GETRLIMIT, "- o", plain),
		"time":         line(unix.SYS_TIME, "n", plain),
		"eventfd":      line(unix.SYS_EVENTFD2, "- n", newFD),
		"signalfd":     line(unix.SYS_SIGNALFD4, "- o", newFD),
		"inotify_init": line(unix.SYS_INOTIFY_INIT1, "n", newFD),
		"epoll_create": line(unix.SYS_EPOLL_CREATE, "", newFD),
		"epoll_wait":   line(unix.SYS_EPOLL_WAIT, "f b", plain),
		"pipe":         line(unix.SYS_PIPE2, "o", newPair),
		"poll":         line(unix.SYS_POLL, "o", plain),
	})
	maps.Copy(substitutes, map[string]spec{
		"arch_prctl": line(unix.SYS_GETTID, "", plain),
		"pause":      line(unix.SYS_FUTEX, "o - - o", plain),
		"select":     line(unix.SYS_PSELECT6, "- n n n o n", plain),
	})
}
