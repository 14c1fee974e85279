// SPDX-License-Identifier: Apache-2.0

package trace

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

const atFolder = 1<<64 + unix.AT_FDCWD

// TestStrace reads lines as strace 6.x writes them; the first call of each text begins at 100 s.
func TestStrace(t *testing.T) {
	tests := map[string]struct {
		text string
		want []Call
		lost map[string]uint64
	}{
		"open of a file that is not there": {
			text: `7 100.000000 openat(AT_FDCWD, "a \"b\"\n", O_RDONLY|O_CLOEXEC) = -1 ENOENT (No such file or directory) <0.000011>`,
			want: []Call{{
				Thread: 7, Process: 7, Name: "openat", Duration: 11 * time.Microsecond, Result: -2, Path: "a \"b\"\n",
				Args: [6]uint64{atFolder, 0, unix.O_CLOEXEC},
			}},
		},
		"no thread's number": {
			text: `100.000000 close(3) = 0 <0.000001>`,
			want: []Call{{Thread: 1, Process: 1, Name: "close", Duration: time.Microsecond, Args: [6]uint64{3}}},
		},
		"number in brackets": {
			text: `[pid  1234] 100.000000 close(3) = 0 <0.000001>`,
			want: []Call{{Thread: 1234, Process: 1234, Name: "close", Duration: time.Microsecond, Args: [6]uint64{3}}},
		},
		"brackets, quotes and comments within arguments": {
			text: `7 100.000000 write(1, ")= (\\\"", 6) = 6 <0.000002>` + "\n" +
				`7 100.000100 execve("/bin/ls", ["ls", "/"], 0x55598bc2dd58 /* 35 vars */) = 0 <0.000200>`,
			want: []Call{
				{Thread: 7, Process: 7, Name: "write", Duration: 2 * time.Microsecond, Result: 6, Args: [6]uint64{1, 0, 6}},
				{
					Thread: 7, Process: 7, Name: "execve", Start: 100 * time.Microsecond, Duration: 200 * time.Microsecond,
					Path: "/bin/ls",
				},
			},
		},
		"two threads' calls in one another": {
			text: strings.Join([]string{
				`7 100.000000 futex(0x7f0000000010, FUTEX_WAIT_PRIVATE, 2, NULL <unfinished ...>`,
				`8 100.000010 read(3,  <unfinished ...>`,
				`7 100.000500 <... futex resumed>) = 0 <0.000400>`,
				`8 100.000600 <... read resumed>"abc", 100) = 3 <0.000590>`,
			}, "\n"),
			want: []Call{
				{Thread: 7, Process: 7, Name: "futex", Duration: 400 * time.Microsecond, Args: [6]uint64{0x7f0000000010, 128, 2}},
				{
					Thread: 8, Process: 8, Name: "read", Start: 10 * time.Microsecond, Duration: 590 * time.Microsecond, Result: 3,
					Args: [6]uint64{3, 0, 100},
				},
			},
		},
		"thread of a process": {
			text: strings.Join([]string{
				`7 100.000000 clone3({flags=CLONE_VM|CLONE_THREAD, exit_signal=0} => {parent_tid=[9]}, 88) = 9 <0.000050>`,
				`9 100.000100 gettid() = 9 <0.000001>`,
			}, "\n"),
			want: []Call{
				{
					Thread: 7, Process: 7, Name: "clone3", Duration: 50 * time.Microsecond, Result: 9,
					Args: [6]uint64{unix.CLONE_VM | unix.CLONE_THREAD, 88},
				},
				{Thread: 9, Process: 7, Name: "gettid", Start: 100 * time.Microsecond, Duration: time.Microsecond, Result: 9},
			},
		},
		"never finished": {
			text: `7 100.000000 read(3,  <unfinished ...>` + "\n" + `8 100.000010 close(3) = 0 <0.000001>`,
			want: []Call{
				{Thread: 7, Process: 7, Name: "read", Duration: Unfinished, Args: [6]uint64{3}},
				{Thread: 8, Process: 8, Name: "close", Start: 10 * time.Microsecond, Duration: time.Microsecond, Args: [6]uint64{3}},
			},
			lost: map[string]uint64{"read: " + lostArgument: 1},
		},
		"values behind pointers": {
			text: strings.Join([]string{
				`7 100.000000 setsockopt(3, SOL_TCP, TCP_NODELAY, [1], 4) = 0 <0.000001>`,
				`7 100.000000 setsockopt(3, SOL_SOCKET, SO_LINGER, {l_onoff=1, l_linger=5}, 8) = 0 <0.000001>`,
				`7 100.000000 setsockopt(3, SOL_SOCKET, SO_RCVBUF, "\0\1", 2) = 0 <0.000001>`,
				`7 100.000000 setsockopt(3, SOL_SOCKET, SO_RCVBUF, 0x7ffd00000010, 4) = -1 EFAULT (Bad address) <0.000001>`,
				`7 100.000000 ioctl(3, FIONBIO, [1]) = 0 <0.000001>`,
				`7 100.000000 ioctl(3, FIONBIO, 0x7ffd00000010) = -1 EFAULT (Bad address) <0.000001>`,
				`7 100.000000 epoll_ctl(3, EPOLL_CTL_ADD, 4, {events=EPOLLSOON, data=0}) = 0 <0.000001>`,
				`7 100.000000 connect(3, {sa_family=AF_INET, sin_port=htons(70000000)}, 16) = 0 <0.000001>`,
				`7 100.000000 access("\x", F_OK) = 0 <0.000001>`,
			}, "\n"),
			want: []Call{
				about("setsockopt", 0, 3, unix.SOL_TCP, unix.TCP_NODELAY, 1, 4),
				about("setsockopt", 0, 3, unix.SOL_SOCKET, unix.SO_LINGER, 0, 8),
				about("setsockopt", 0, 3, unix.SOL_SOCKET, unix.SO_RCVBUF, 0, 2),
				about("setsockopt", -14, 3, unix.SOL_SOCKET, unix.SO_RCVBUF, 0, 4),
				about("ioctl", 0, 3, fionbio, 1),
				about("ioctl", -14, 3, fionbio),
				about("epoll_ctl", 0, 3, unix.EPOLL_CTL_ADD, 4),
				about("connect", 0, 3, 0, 16),
				about("access", 0),
			},
			lost: map[string]uint64{
				"setsockopt: " + lostArgument: 3, "ioctl: " + lostArgument: 1, "epoll_ctl: " + lostArgument: 1, "connect: " + lostArgument: 1,
				"access: " + lostArgument: 1,
			},
		},
		"exit": {
			text: `7 100.000000 exit_group(0) = ?` + "\n" + `7 100.000010 +++ exited with 0 +++` + "\n" + `7 100.000020 --- SIGCHLD {si_signo=SIGCHLD} ---`,
			want: []Call{{Thread: 7, Process: 7, Name: "exit_group", Duration: Unfinished}},
		},
		"cut off": {
			text: `7 100.000000 close(3) = 0 <0.000001>` + "\n" + `7 100.000010 openat(AT_FDCWD, "/et`,
			want: []Call{{Thread: 7, Process: 7, Name: "close", Duration: time.Microsecond, Args: [6]uint64{3}}},
			lost: map[string]uint64{lostUnreadable: 1},
		},
		"lines that are none": {
			text: strings.Join([]string{
				`strace: Process 9 attached`, `hello`, `7 100.000000 close(3) = 0 <0.000001>`, `7 yesterday close(3) = 0`,
				`7 100.000010 <... read resumed>"", 1) = 0 <0.000001>`, `7 100.000020 close(3`, `7 1e300 close(3) = 0`, `7 100.000030 Close(3) = 0`,
				"7 100.000040 close(" + strings.Repeat("x", maxLine) + ") = 0",
			}, "\n"),
			want: []Call{{Thread: 7, Process: 7, Name: "close", Duration: time.Microsecond, Args: [6]uint64{3}}},
			lost: map[string]uint64{lostUnreadable: 5, lostNoBegin: 1, lostLong: 1},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			r, err := Load(strings.NewReader(test.text))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, r.Calls); diff != "" {
				t.Errorf("- want, + read:\n%s", diff)
			}
			if test.lost == nil {
				test.lost = map[string]uint64{}
			}
			if diff := cmp.Diff(test.lost, r.Lost); diff != "" {
				t.Errorf("lost, - want, + told:\n%s", diff)
			}
			if !r.Strace {
				t.Error("it isn't told that the recording is strace's")
			}
		})
	}
}

// about is a call of thread 7 at the beginning.
func about(name string, result int64, args ...uint64) Call {
	c := Call{Thread: 7, Process: 7, Name: name, Duration: time.Microsecond, Result: result}
	copy(c.Args[:], args)
	return c
}

// TestStraceMisunderstood has more names of calls than are told.
func TestStraceMisunderstood(t *testing.T) {
	var text strings.Builder
	for i := range 2 * maxNamed {
		fmt.Fprintf(&text, "7 100.000000 call%d(WHAT) = 0 <0.1>\n", i)
	}
	r, err := Load(strings.NewReader(text.String()))
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Lost) != maxNamed+1 || r.Lost[lostArgument] != maxNamed {
		t.Errorf("%v", r.Lost)
	}
}

// TestStraceUnfinished has more calls begin than there can be threads: what is kept of them is bounded.
func TestStraceUnfinished(t *testing.T) {
	var text strings.Builder
	for i := range 2 * maxOpen {
		fmt.Fprintf(&text, "%d 100.000000 read(3,  <unfinished ...>\n", i+1)
	}
	r, err := Load(strings.NewReader(text.String()))
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Calls) != maxOpen || r.Lost[lostUnreadable] != maxOpen {
		t.Errorf("%d calls of %d, lost %v", len(r.Calls), 2*maxOpen, r.Lost)
	}
}

// FuzzStrace reads any text. All calls that come of it must be such as a recording may hold, in order, and each line must be one of them,
// counted as lost, or no call at all.
func FuzzStrace(f *testing.F) {
	for _, seed := range []string{
		`7 100.000000 openat(AT_FDCWD</root>, "a", O_RDONLY|O_CREAT, 0644) = 3</root/a> <0.000011>`,
		`[pid 7] 100.1 connect(3, {sa_family=AF_INET, sin_port=htons(53), sin_addr=inet_addr("127.0.0.1")}, 16) = -1 EINPROGRESS (Operation now in progress) <0.1>`,
		"7 100.0 read(3,  <unfinished ...>\n7 100.1 <... read resumed>\"a\", 1) = 1 <0.1>\n",
		"7 100.0 poll([{fd=3, events=POLLIN}], 1, -1) = 1 ([{fd=3, revents=POLLIN}]) <0.1>\n",
		"7 100.0 pipe2([3, 4], O_CLOEXEC) = 0 <0.1>\n7 100.0 writev(3, [{iov_base=\"\", iov_len=5}], 1) = 5 <0.1>",
		"7 100.0 epoll_ctl(3, EPOLL_CTL_ADD, 4, {events=EPOLLIN, data={u32=1, u64=1}}) = 0 <0.1>",
		"7 100.0 clone3({flags=CLONE_THREAD} => {parent_tid=[9]}, 88) = 9 <0.1>\n9 100.1 exit(0) = ?\n9 100.2 +++ exited with 0 +++",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if strings.HasPrefix(text, "{") {
			return // a recording of ours: FuzzRead
		}
		r, err := Load(strings.NewReader(text))
		if err != nil {
			return
		}
		for i := range r.Calls {
			if err := r.Calls[i].Check(); err != nil {
				t.Errorf("call %d: %v", i, err)
			}
			if i > 0 && r.Calls[i].Start < r.Calls[i-1].Start {
				t.Errorf("call %d begins before the one before", i)
			}
		}
		if lines := 1 + strings.Count(text, "\n"); len(r.Calls) > lines {
			t.Errorf("%d calls of %d lines", len(r.Calls), lines)
		}
	})
}
