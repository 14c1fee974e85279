// SPDX-License-Identifier: Apache-2.0

package syscalls

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"github.com/assaylab/assay/bpf"
)

// A Call is one system call.
type Call struct {
	Thread, Process int32
	Name            string        // as on amd64
	Start           time.Duration // since the recording began
	Duration        time.Duration // NotEnded if it had not ended
	Result          int64         // -errno on failure
	// Args are numbers as they were given. Pointers are 0, but for those in whose place stands what they point to: see signatures.
	Args        [6]uint64
	Path, Path2 string // path arguments; of bind and connect a UNIX path, or host:port
	File        File   // of the descriptor returned, if any, otherwise of the first argument that is one
	Size        int64  // the sum of an iovec; of a call that opens a file, the file's size
}

// NotEnded is the duration of a call that had not ended with the recording, or whose thread ended in it.
const NotEnded time.Duration = -1

// A File is what a file descriptor leads to.
type File struct {
	Kind     Kind
	Family   uint16 // of a socket: AF_INET …
	Type     uint16 // SOCK_STREAM …
	Protocol uint16
}

// Kind is the kind of a file.
type Kind uint8

// The kinds.
const (
	NoFile Kind = iota // there is no descriptor, or it is not open
	Regular
	Directory
	Pipe
	Socket
	EventFD
	Epoll
	TimerFD
	SignalFD
	TTY
	Device
	Other
)

const fionbio = 0x5421

// isLock says whether a command of fcntl has a struct flock: F_GETLK to F_SETLKW, F_OFD_GETLK to F_OFD_SETLKW.
func isLock(cmd uint64) bool { return cmd >= 5 && cmd <= 7 || cmd >= 36 && cmd <= 38 }

// anonymous are the kinds of anonymous inodes, by the first 7 bytes of their names.
var anonymous = map[string]Kind{"[eventf": EventFD, "[eventp": Epoll, "[timerf": TimerFD, "[signal": SignalFD}

// fileOf tells what the kernel side has seen of a descriptor.
func fileOf(f *bpf.FileClass) File {
	if f.Name != 0 {
		var name [8]byte
		binary.NativeEndian.PutUint64(name[:], f.Name)
		if kind, ok := anonymous[string(name[:7])]; ok {
			return File{Kind: kind}
		}
		return File{Kind: Other}
	}
	switch f.Mode {
	case 0:
		return File{}
	case unix.S_IFREG:
		return File{Kind: Regular}
	case unix.S_IFDIR:
		return File{Kind: Directory}
	case unix.S_IFIFO:
		return File{Kind: Pipe}
	case unix.S_IFSOCK:
		return File{Kind: Socket, Family: f.Family, Type: f.Type, Protocol: f.Protocol}
	case unix.S_IFCHR:
		if isTTY(f.Rdev) {
			return File{Kind: TTY}
		}
		return File{Kind: Device}
	case unix.S_IFBLK:
		return File{Kind: Device}
	}
	return File{Kind: Other}
}

// isTTY knows terminals by their major numbers (Documentation/admin-guide/devices.txt): consoles, serial lines and pseudo terminals.
func isTTY(rdev uint32) bool {
	major := rdev >> 20 // in the kernel's own encoding
	return major == 4 || major == 5 || major == 204 || major >= 136 && major <= 143
}

// fill makes a call of a record. The path is not yet in it.
func (c *Call) fill(r *bpf.CallRecord, p *plan, began uint64) {
	*c = Call{
		Thread: int32(r.Tid), Process: int32(r.Tgid), Name: p.name,
		Start: time.Duration(r.Start - min(began, r.Start)), Duration: time.Duration(r.Duration), Result: r.Result,
		File: fileOf(&r.File), Size: int64(r.Size),
	}
	if r.Duration == bpf.CallNotEnded {
		c.Duration = NotEnded
	}
	taken := r.Flags&bpf.CallMemoryUnread == 0
	for i := range c.Args {
		c.Args[i] = p.keep(i, &r.Args, taken)
	}
}

// address writes a socket address: the path of a UNIX socket (@ in place of the NUL of an abstract one), host:port, "" for other families.
func address(b []byte) string {
	if len(b) < 2 {
		return ""
	}
	switch family := binary.NativeEndian.Uint16(b); {
	case family == unix.AF_UNIX:
		path := b[2:]
		if len(path) > 0 && path[0] == 0 {
			return "@" + string(path[1:])
		}
		path, _, _ = bytes.Cut(path, []byte{0})
		return string(path)
	case family == unix.AF_INET && len(b) >= 8:
		return netip.AddrPortFrom(netip.AddrFrom4([4]byte(b[4:8])), binary.BigEndian.Uint16(b[2:])).String()
	case family == unix.AF_INET6 && len(b) >= 24:
		addr := netip.AddrFrom16([16]byte(b[8:24]))
		return netip.AddrPortFrom(addr, binary.BigEndian.Uint16(b[2:])).String()
	}
	return ""
}

// text is a path without its NUL, cut at 255 bytes.
func text(b []byte) string {
	b = bytes.TrimRight(b, "\x00")
	return string(b[:min(len(b), bpf.MaxCallPath)])
}

// numbers gives a number to each distinct path.
type numbers map[string]int

func (n numbers) of(path string) string {
	if path == "" {
		return ""
	}
	number, ok := n[path]
	if !ok {
		number = len(n) + 1
		n[path] = number
	}
	return strconv.Itoa(number)
}

// paths are the two paths of a record, as texts.
func (p *plan) paths(r *bpf.CallRecord) (first, second string) {
	a, b := bpf.RecordPaths(r)
	if p.Memory == bpf.MemoryAddress {
		return address(a), ""
	}
	return text(a), text(b)
}
