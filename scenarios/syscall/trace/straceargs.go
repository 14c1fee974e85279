// SPDX-License-Identifier: Apache-2.0

package trace

import (
	"math/bits"
	"net"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/assaylab/assay/internal/lazyregexp"
)

// maxArguments bounds the arguments that are looked at; no call has more than six, but strace shows some that aren't passed.
const maxArguments = 12

// splitArguments takes a call's arguments, up to the bracket that ends them, and what comes after it.
func splitArguments(text string) (arguments []string, rest string, ok bool) {
	var depth, decoration, begin int
	for i := 0; i < len(text); i++ {
		switch b := text[i]; {
		case b == '"':
			i = skipString(text, i)
		case b == '/' && strings.HasPrefix(text[i:], "/*") && decoration == 0:
			end := strings.Index(text[i:], "*/")
			if end < 0 {
				return nil, "", false
			}
			i += end + 1
		case b == '<' && (decoration > 0 || i > 0 && isWord(text[i-1])):
			decoration++
		case b == '>' && decoration > 0 && text[i-1] != '-': // "->" is part of a connection's addresses
			decoration--
		case decoration > 0:
		case b == '(' || b == '[' || b == '{':
			depth++
		case b == ')' && depth == 0:
			if last := strings.TrimSpace(text[begin:i]); last != "" || len(arguments) > 0 {
				arguments = append(arguments, last)
			}
			return arguments, text[i+1:], true
		case b == ')' || b == ']' || b == '}':
			depth--
		case b == ',' && depth == 0:
			arguments = append(arguments, strings.TrimSpace(text[begin:i]))
			begin = i + 1
			if len(arguments) > maxArguments {
				return nil, "", false
			}
		}
	}
	return nil, "", false
}

func isWord(b byte) bool {
	return b >= '0' && b <= '9' || b >= 'A' && b <= 'Z' || b >= 'a' && b <= 'z' || b == '_'
}

// skipString returns the index of the quote that ends the string beginning at a quote, or the text's end.
func skipString(text string, i int) int {
	for i++; i < len(text) && text[i] != '"'; i++ {
		if text[i] == '\\' {
			i++
		}
	}
	return i
}

var (
	// opens are the calls that return a descriptor; addressed those whose addresses stay; pathed those whose strings are paths.
	opens = set("open openat openat2 creat dup dup2 dup3 socket accept accept4 epoll_create epoll_create1 eventfd eventfd2 timerfd_create " +
		"signalfd signalfd4 inotify_init inotify_init1 memfd_create")
	addressed = set("mmap munmap mremap mprotect madvise msync brk futex")
	pathed    = set("open openat openat2 creat stat lstat newfstatat statx access faccessat faccessat2 readlink readlinkat unlink unlinkat " +
		"mkdir mkdirat rmdir rename renameat renameat2 link linkat symlink symlinkat chmod fchmodat chown lchown fchownat utimensat utime " +
		"utimes truncate statfs chdir chroot execve execveat mknod mknodat mount umount2 pivot_root getxattr lgetxattr setxattr listxattr " +
		"llistxattr removexattr memfd_create inotify_add_watch swapon swapoff acct name_to_handle_at")
)

func set(names string) map[string]bool {
	all := map[string]bool{}
	for _, name := range strings.Fields(names) {
		all[name] = true
	}
	return all
}

// setArguments fills what a call's arguments say. It says whether all were understood.
func (c *Call) setArguments(arguments []string) bool {
	understood := true
	for i, text := range arguments[:min(len(arguments), len(c.Args))] {
		if !c.setArgument(i, text) {
			understood = false
		}
	}
	return c.setPointees(arguments) && understood
}

func (c *Call) setArgument(i int, text string) bool {
	if text == "" {
		return false
	}
	if class, ok := decorated(text); ok && c.FD == NoFD {
		c.FD = class
	}
	switch text[0] {
	case '"':
		return !pathed[c.Name] || c.addPath(text)
	case '{', '[', '@', '~', '&':
		return true
	}
	n, ok := parseValue(text)
	if pointer := ok && strings.HasPrefix(text, "0x") && bits.Len64(n) > 32; !pointer || addressed[c.Name] {
		c.Args[i] = n
	}
	return ok
}

// addPath takes a path, and says whether it is a whole one.
func (c *Call) addPath(text string) bool {
	path, err := strconv.Unquote(unhex(text))
	switch {
	case err != nil || len(path) > MaxPath:
		return false
	case c.Path == "":
		c.Path = path
	case c.Path2 == "":
		c.Path2 = path
	}
	return true
}

var octal = lazyregexp.New(`\\[0-7]{1,3}`)

// unhex writes the octal escapes of strace, which may be of one digit, as Go reads them.
func unhex(text string) string {
	return octal().ReplaceAllStringFunc(text, func(escape string) string {
		n, err := strconv.ParseUint(escape[1:], 8, 8)
		if err != nil {
			return escape
		}
		return `\x` + string("0123456789abcdef"[n>>4]) + string("0123456789abcdef"[n&15])
	})
}

// setPointees takes from what lies behind pointers what the format keeps; see Call.
func (c *Call) setPointees(arguments []string) bool {
	at := func(i int) string {
		if i < len(arguments) {
			return arguments[i]
		}
		return ""
	}
	f := pointees(true)
	switch c.Name {
	case "pipe", "pipe2":
		c.Args[0] = f.pair(at(0))
	case "socketpair":
		c.Args[3] = f.pair(at(3))
	case "clone":
		c.Args[0] = f.field(strings.Join(arguments, ", "), "flags")
	case "clone3":
		c.Args[0] = f.field(at(0), "flags")
	case "openat2":
		c.Args[2], c.Args[4] = f.field(at(2), "flags"), f.field(at(2), "mode")
	case "epoll_ctl":
		c.Args[3] = f.field(at(3), "events")
	case "poll", "ppoll":
		c.Args[0] = f.field(at(0), "fd")&0xffffffff | f.field(at(0), "events")<<32
	case "setsockopt":
		c.Args[3] = f.word(at(3))
	case "ioctl":
		if c.Args[1] == fionbio {
			c.Args[2] = f.word(at(2))
		}
	case "fcntl":
		if strings.HasPrefix(at(2), "{") {
			c.Args[2], c.Args[3], c.Args[4] = f.field(at(2), "l_type"), f.field(at(2), "l_start"), f.field(at(2), "l_len")
		}
	case "connect", "bind":
		c.Path = f.address(at(1))
	case "readv", "writev", "preadv", "pwritev", "preadv2", "pwritev2", "sendmsg", "recvmsg", "vmsplice":
		c.Size = f.sumLengths(at(1))
	case "stat", "lstat", "fstat", "newfstatat", "statx":
		c.setStatus(&f, arguments)
	}
	return bool(f)
}

// setStatus takes what a file is and its size from what a stat found.
func (c *Call) setStatus(f *pointees, arguments []string) {
	for _, text := range arguments {
		if !strings.HasPrefix(text, "{st") {
			continue
		}
		c.Size = int64(min(max(f.field(text, "st_size"), f.field(text, "stx_size")), 1<<62))
		mode := f.field(text, "st_mode") | f.field(text, "stx_mode")
		if class, ok := modes[mode&unix.S_IFMT]; ok && (c.FD == NoFD || c.Path != "") {
			c.FD = class
		}
	}
}

var modes = map[uint64]FDClass{
	unix.S_IFREG: Regular, unix.S_IFDIR: Directory, unix.S_IFIFO: Pipe, unix.S_IFCHR: Device, unix.S_IFBLK: Device,
	unix.S_IFSOCK: OtherSocket, unix.S_IFLNK: OtherFD,
}

// pointees reads what lies behind pointers. It is no longer true once something wasn't understood; what isn't is 0.
type pointees bool

// pair reads "[3, 4]".
func (f *pointees) pair(text string) uint64 {
	first, second, ok := strings.Cut(strings.Trim(text, "[]"), ", ")
	a, ok1 := parseValue(first)
	b, ok2 := parseValue(second)
	*f = *f && pointees(ok && ok1 && ok2)
	return a&0xffffffff | b<<32
}

// word reads "[1]" or "NULL"; what strace knows to be another thing than a number, or couldn't read, isn't understood.
func (f *pointees) word(text string) uint64 {
	inside, bracket := strings.CutPrefix(text, "[")
	n, ok := parseValue(strings.TrimSuffix(inside, "]"))
	if !ok || !bracket && n != 0 {
		*f = false
		return 0
	}
	return n
}

// field reads the first NAME=VALUE of a structure; 0 if there is none.
func (f *pointees) field(text, name string) uint64 {
	for rest := text; ; {
		i := strings.Index(rest, name+"=")
		if i < 0 {
			return 0
		}
		value := rest[i+len(name)+1:]
		if i == 0 || strings.IndexByte("{ [,", rest[i-1]) >= 0 {
			if end := strings.IndexAny(value, ",} ]"); end >= 0 {
				value = value[:end]
			}
			n, ok := parseValue(value)
			*f = *f && pointees(ok)
			return n
		}
		rest = value
	}
}

// sumLengths adds up the iov_len of a structure.
func (f *pointees) sumLengths(text string) int64 {
	var sum int64
	for {
		_, rest, ok := strings.Cut(text, "iov_len=")
		if !ok {
			return sum
		}
		text = rest
		if n := f.field("{iov_len="+rest, "iov_len"); n < 1<<31 && sum < 1<<40 {
			sum += int64(n)
		}
	}
}

var (
	port  = lazyregexp.New(`sin6?_port=htons\((\d{1,5})\)`)
	host  = lazyregexp.New(`(?:inet_addr\(|inet_pton\(AF_INET6, )"([0-9a-fA-F.:]{1,45})"`)
	local = lazyregexp.New(`sun_path=(@?)("(?:[^"\\]|\\.)*")`)
)

// address reads a socket's: a path, with @ before an abstract one, or host:port; "" for other families and without a name.
func (f *pointees) address(text string) string {
	if m := local().FindStringSubmatch(text); m != nil {
		path, err := strconv.Unquote(unhex(m[2]))
		if err != nil {
			*f = false
			return ""
		}
		return m[1] + path
	}
	p, h := port().FindStringSubmatch(text), host().FindStringSubmatch(text)
	if p == nil || h == nil {
		*f = *f && pointees(!strings.Contains(text, "sa_family=AF_INET") && !strings.Contains(text, "sun_path="))
		return ""
	}
	return net.JoinHostPort(h[1], p[1])
}

// decorated tells what a descriptor is by what -y or -yy puts behind its number.
func decorated(text string) (FDClass, bool) {
	number, inside, ok := strings.Cut(text, "<")
	if _, err := strconv.ParseUint(number, 10, 31); !ok || err != nil {
		return NoFD, false
	}
	return classOf("<"+inside, 0), true
}

var decorations = []struct {
	begin string
	class FDClass
}{
	{"pipe:", Pipe},
	{"anon_inode:[eventpoll", Epoll},
	{"anon_inode:[eventfd", EventFD},
	{"anon_inode:[timerfd", TimerFD},
	{"anon_inode:[signalfd", SignalFD},
	{"anon_inode:", OtherFD},
	{"TCPv6:", Inet6Stream},
	{"TCP:", InetStream},
	{"UDPv6:", Inet6Datagram},
	{"UDP:", InetDatagram},
	{"UNIX-STREAM:", UnixStream},
	{"UNIX-DGRAM:", UnixDatagram},
	{"UNIX-SEQPACKET:", UnixSeqpacket},
	{"UNIX:", UnixStream},
	{"NETLINK:", Netlink},
	{"socket:", OtherSocket},
	{"/dev/pts/", TTY},
	{"/dev/tty", TTY},
	{"/dev/ptmx", TTY},
}

// classOf tells what a descriptor such as "3</etc/passwd>" is; NoFD without decoration.
func classOf(text string, openFlags uint64) FDClass {
	_, inside, ok := strings.Cut(text, "<")
	if !ok {
		return NoFD
	}
	for _, d := range decorations {
		if strings.HasPrefix(inside, d.begin) {
			return d.class
		}
	}
	switch {
	case strings.Contains(inside, "<char ") || strings.Contains(inside, "<block "):
		return Device
	case openFlags&unix.O_DIRECTORY != 0:
		return Directory
	case strings.HasPrefix(inside, "/"):
		return Regular
	}
	return OtherFD
}

func parseInteger(text string) (uint64, error) {
	if n, err := strconv.ParseInt(text, 0, 64); err == nil {
		return uint64(n), nil
	}
	return strconv.ParseUint(text, 0, 64)
}

// parseValue reads a number, a descriptor with decoration, or symbols joined by "|".
func parseValue(text string) (uint64, bool) {
	text, _, _ = strings.Cut(text, " ") // an explanation after it
	if _, value, ok := strings.Cut(text, "="); ok {
		text = value
	}
	text, _, _ = strings.Cut(text, "<")
	var sum uint64
	for part := range strings.SplitSeq(text, "|") {
		if n, err := parseInteger(part); err == nil {
			sum |= n
			continue
		}
		n, ok := symbols[part]
		if !ok {
			return sum, false
		}
		sum |= n
	}
	return sum, true
}

// errno reads "ENOENT (No such file or directory)", as the kernel returns it; 0 if it isn't one.
func errno(text string) int64 {
	name, _, _ := strings.Cut(text, " ")
	if name == "" { // as numbers are that stand for no error
		return 0
	}
	if n, ok := restarts[name]; ok {
		return -n
	}
	for n := int64(1); n < 134; n++ {
		if unix.ErrnoName(unix.Errno(n)) == name {
			return -n
		}
	}
	return 0
}

// restarts are results that only tracers see; include/linux/errno.h.
var restarts = map[string]int64{"ERESTARTSYS": 512, "ERESTARTNOINTR": 513, "ERESTARTNOHAND": 514, "ERESTART_RESTARTBLOCK": 516}
