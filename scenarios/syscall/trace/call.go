// SPDX-License-Identifier: Apache-2.0

package trace

import (
	"fmt"
	"time"
)

// A Call is one system call of a recording.
//
// An argument that points to memory which the kernel reads or writes is 0, and where a replay needs what lies there, it is in the place of
// the pointer:
//
//	pipe, pipe2 (argument 0), socketpair (3)   the two descriptors, the first in the low 32 bits, the second in the high ones
//	epoll_ctl (3)                              the events
//	poll, ppoll (0)                            of the first entry: the descriptor in the low 32 bits, the events above
//	setsockopt (3), ioctl FIONBIO (2)          the value, if it is of 4 bytes
//	fcntl F_SETLK, F_SETLKW, F_GETLK (2)       the lock's type; its start and length in arguments 3 and 4
//	clone3 (0), openat2 (2)                    the flags; of openat2 the mode in argument 4
//
// Each may be missing, that is 0, except the descriptors of pipe and socketpair. An address that is itself what a call is about stays as
// it was given: those of mmap, munmap, mremap, mprotect, madvise, msync and brk, and the word of a futex.
type Call struct {
	Thread   int32         // as the kernel numbered it
	Process  int32         // its thread group
	Name     string        // as on amd64: openat, read, …
	Start    time.Duration // since the recording began
	Duration time.Duration // in the kernel; Unfinished if it had not ended
	Result   int64         // -errno on failure
	Args     [6]uint64     // as given, for pointers see above
	Path     string        // first path argument, or the address of bind and connect: a path, or host:port; "" for none
	Path2    string        // second path argument, of rename, link and the like
	FD       FDClass       // of the first argument that is a descriptor; without one, of the descriptor returned
	Size     int64         // of what lies behind pointers: the sum of an iovec, the file's size at open, else 0
}

// Unfinished is the duration of a call that had not ended with the recording.
const Unfinished time.Duration = -1

// An FDClass says what a file descriptor stands for.
type FDClass string

// The classes. A socket is its family and type.
const (
	NoFD          FDClass = "" // the call has none, or failed before there was one
	Regular       FDClass = "regular"
	Directory     FDClass = "directory"
	Pipe          FDClass = "pipe"
	EventFD       FDClass = "eventfd"
	Epoll         FDClass = "epoll"
	TimerFD       FDClass = "timerfd"
	SignalFD      FDClass = "signalfd"
	TTY           FDClass = "tty"
	Device        FDClass = "device" // any other character or block device, such as /dev/null
	UnixStream    FDClass = "unix/stream"
	UnixDatagram  FDClass = "unix/dgram"
	UnixSeqpacket FDClass = "unix/seqpacket"
	InetStream    FDClass = "inet/stream"
	InetDatagram  FDClass = "inet/dgram"
	Inet6Stream   FDClass = "inet6/stream"
	Inet6Datagram FDClass = "inet6/dgram"
	Netlink       FDClass = "netlink"
	OtherSocket   FDClass = "socket"
	OtherFD       FDClass = "other"
)

var classes = map[FDClass]bool{
	NoFD: true, Regular: true, Directory: true, Pipe: true, EventFD: true, Epoll: true, TimerFD: true, SignalFD: true, TTY: true,
	Device: true, UnixStream: true, UnixDatagram: true, UnixSeqpacket: true, InetStream: true, InetDatagram: true, Inet6Stream: true,
	Inet6Datagram: true, Netlink: true, OtherSocket: true, OtherFD: true,
}

const (
	maxName = 32
	// MaxPath is how long a path may be, in bytes; the kernel's own bound.
	MaxPath = 4096
)

// Check says what no recorder can have seen.
func (c *Call) Check() error {
	switch {
	case !isName(c.Name):
		return fmt.Errorf("call %.40q: want a name of a-z, 0-9 and _, up to %d bytes", c.Name, maxName)
	case c.Thread < 1 || c.Process < 1:
		return fmt.Errorf("%s: thread %d of process %d: want numbers from 1", c.Name, c.Thread, c.Process)
	case c.Start < 0 || c.Duration < Unfinished:
		return fmt.Errorf("%s: start %d ns, duration %d ns: want none below 0", c.Name, c.Start, c.Duration)
	case len(c.Path) > MaxPath || len(c.Path2) > MaxPath:
		return fmt.Errorf("%s: a path of %d bytes: want up to %d", c.Name, max(len(c.Path), len(c.Path2)), MaxPath)
	case !classes[c.FD]:
		return fmt.Errorf("%s: descriptor class %.40q: unknown", c.Name, c.FD)
	case c.Size < 0:
		return fmt.Errorf("%s: size %d: want none below 0", c.Name, c.Size)
	}
	return nil
}

func isName(name string) bool {
	for _, b := range []byte(name) {
		if (b < 'a' || b > 'z') && (b < '0' || b > '9') && b != '_' {
			return false
		}
	}
	return name != "" && len(name) <= maxName
}

// A Header says where a recording is from.
type Header struct {
	Format  string    `json:"format"` // set by the writer
	Version int       `json:"version"`
	Arch    string    `json:"arch"`              // as Go names it: amd64, arm64
	Kernel  string    `json:"kernel"`            // its release
	Command []string  `json:"command,omitempty"` // what was recorded
	Began   time.Time `json:"began"`
	Folder  string    `json:"folder,omitempty"` // the command's working directory when it began; "" if unknown
	// Empty is how long the recorder says that a call takes which does next to nothing, getpid; 0 if unknown. Another recorder, or a
	// replay, has another figure: who compares durations takes each one's away.
	Empty time.Duration `json:"empty_ns,omitempty"`
}

// A Footer says how a recording ended.
type Footer struct {
	Calls uint64            `json:"calls"`          // in the file
	Lost  map[string]uint64 `json:"lost,omitempty"` // calls that are not in it, by cause
}

const (
	format  = "assay-syscalls"
	version = 1
	// maxHeader bounds the header's line, maxFooter the footer, maxLost the causes in it.
	maxHeader = 1 << 20
	maxLost   = 1000
	maxCause  = 200
)

func (f *Footer) check() error {
	if len(f.Lost) > maxLost {
		return fmt.Errorf("footer: %d causes of loss: want up to %d", len(f.Lost), maxLost)
	}
	for cause := range f.Lost {
		if len(cause) > maxCause {
			return fmt.Errorf("footer: a cause of loss of %d bytes: want up to %d", len(cause), maxCause)
		}
	}
	return nil
}
