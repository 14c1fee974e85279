// SPDX-License-Identifier: Apache-2.0

package syscall

import (
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// A call is a pattern of system calls, under the name that parameters give it.
type call struct {
	name    string
	about   string // what an operation is
	maxSize int    // of the parameter size; it keeps an operation below about 10 ms; 0: the call takes no size
	file    bool   // it needs the thread's file
	timed   bool   // an operation takes microseconds, so that each can be timed
	open    func(site) (pattern, error)
}

// A site is what a thread has to make a pattern of.
type site struct {
	size int
	file string       // of so many bytes, and the thread's own; only for calls that need one
	cpus *unix.CPUSet // where it and its partner run; nil: anywhere
}

// A pattern is a call made ready for one thread. Only that thread, locked to its goroutine, calls its methods.
type pattern interface {
	// do does an operation. After an error it may be called again.
	do() error
	// close ends what still runs, waits for it, and gives back what open took.
	close() error
}

const (
	maxFile    = 16 << 20
	maxMapping = 8 << 20
	maxMessage = 1 << 20
)

var calls = []call{
	{name: "getpid", about: "getpid", open: openGetpid},
	{name: "read", about: "read size bytes from the start of a file (pread64)", maxSize: maxFile, file: true, open: openRead},
	{name: "write", about: "write size bytes to the start of a file (pwrite64)", maxSize: maxFile, file: true, open: openWrite},
	{name: "open", about: "openat, fstat and close of a file of size bytes", maxSize: maxFile, file: true, open: openOpen},
	{name: "futex", about: "hand a word of memory to a partner and get it back (FUTEX_WAKE, FUTEX_WAIT)", timed: true, open: openFutex},
	{name: "pipe", about: "send a byte to a partner through a pipe and get it back through another", timed: true, open: openPipe},
	{name: "epoll", about: "write an eventfd, see it with epoll_wait, read it", open: openEpoll},
	{name: "mmap", about: "mmap size bytes of anonymous memory, write to each page, munmap", maxSize: maxMapping, open: openMmap},
	{name: "spawn", about: "start the program true (clone, execve) and wait for its end (wait4)", timed: true, open: openSpawn},
	{
		name: "socketpair", about: "send size bytes to a partner through a pair of UNIX stream sockets and get them back",
		maxSize: maxMessage, timed: true, open: openSocketpair,
	},
}

func callNames() []string {
	names := make([]string, len(calls))
	for i, c := range calls {
		names[i] = c.name
	}
	return names
}

// aboutCalls says in a line what each call does.
func aboutCalls() string {
	lines := make([]string, len(calls))
	for i, c := range calls {
		lines[i] = c.name + ": " + c.about
	}
	return strings.Join(lines, "; ")
}

func findCall(name string) (*call, error) {
	for i := range calls {
		if calls[i].name == name {
			return &calls[i], nil
		}
	}
	return nil, fmt.Errorf("call %q: want one of %s", name, strings.Join(callNames(), ", "))
}

// checkSize says whether a call can be made with a size, which the parameter's own bounds let pass.
func (c *call) checkSize(size int) error {
	if c.maxSize > 0 && size > c.maxSize {
		return fmt.Errorf("parameter size: %d: want up to %s for call %s", size, sizeText(c.maxSize), c.name)
	}
	return nil
}

// sizeText writes a whole number of megabytes as parameters do.
func sizeText(bytes int) string { return strconv.Itoa(bytes>>20) + "M" }
