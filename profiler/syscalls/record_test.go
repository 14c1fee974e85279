// SPDX-License-Identifier: Apache-2.0

package syscalls

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/assaylab/assay/internal/truth"
)

// recorded is a recording with its calls.
type recorded struct {
	*Recording
	command string
	calls   []Call
}

func record(t *testing.T, ctx context.Context, opts Options) *recorded {
	t.Helper()
	r := &recorded{}
	if opts.Started == nil {
		opts.Started = func(time.Time, time.Duration) error { return nil }
	}
	var err error
	r.Recording, err = Record(ctx, opts, func(c *Call) error {
		r.calls = append(r.calls, *c)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if r.Calls != int64(len(r.calls)) {
		t.Errorf("%d calls, handed out %d", r.Calls, len(r.calls))
	}
	return r
}

// inFolder runs the test in a folder of its own, with nothing on standard input and what commands say in a file, which said reads.
func inFolder(t *testing.T) (said func() truth.Says) {
	t.Helper()
	t.Chdir(t.TempDir())
	null, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	out, err := os.Create("../said")
	if err != nil {
		t.Fatal(err)
	}
	in, stdout := os.Stdin, os.Stdout
	os.Stdin, os.Stdout = null, out
	t.Cleanup(func() {
		os.Stdin, os.Stdout = in, stdout
		if err := out.Close(); err != nil {
			t.Error(err)
		}
	})
	return func() truth.Says {
		text, err := os.ReadFile(out.Name())
		if err != nil {
			t.Fatal(err)
		}
		said, err := truth.Parse(string(text))
		if err != nil {
			t.Fatal(err)
		}
		return said
	}
}

// recordTruth records the program of known truth.
func recordTruth(t *testing.T, opts Options) (*recorded, truth.Says) {
	t.Helper()
	opts.Command = []string{truth.Build(t, "calls.c")}
	said := inFolder(t)
	r := record(t, t.Context(), opts)
	r.command = opts.Command[0]
	if code, err := r.Wait(); code != 0 || err != nil {
		t.Fatalf("the program: status %d, %v", code, err)
	}
	if len(r.Lost) > 0 || r.Unfollowed > 0 {
		t.Errorf("lost %v, not followed %d; want none", r.Lost, r.Unfollowed)
	}
	return r, said()
}

// find returns the calls of a name, in the order in which they ended.
func (r *recorded) find(name string) []Call {
	var found []Call
	for _, c := range r.calls {
		if c.Name == name {
			found = append(found, c)
		}
	}
	return found
}

// only returns the one call of a name that is as wanted.
func (r *recorded) only(t *testing.T, name string, wanted func(*Call) bool) Call {
	t.Helper()
	var found []Call
	for _, c := range r.find(name) {
		if wanted(&c) {
			found = append(found, c)
		}
	}
	if len(found) != 1 {
		t.Fatalf("%d calls of %s, want one: %+v", len(found), name, r.find(name))
	}
	return found[0]
}

func any(*Call) bool { return true }

func withPath(path string) func(*Call) bool { return func(c *Call) bool { return c.Path == path } }

// TestTruth compares with what the program says of itself.
func TestTruth(t *testing.T) {
	r, said := recordTruth(t, Options{})
	if got, want := r.Names["getppid"], said.Want(t, "calls.getppid"); got != want {
		t.Errorf("%d calls of getppid, want %d", got, want)
	}
	// Two leaders and two workers end by exit_group and exit.
	if diff := cmp.Diff(map[string]int64{PartialEnded: 4, PartialCut: 1}, r.Partial); diff != "" {
		t.Errorf("partial, - want, + got:\n%s", diff)
	}
	first, main := r.calls[0], r.calls[0].Process
	if first.Name != "execve" || first.Path != r.command || first.Result != 0 || first.Thread != main {
		t.Errorf("the first call is %+v, want execve of %s", first, r.command)
	}
	childID := int32(said.Want(t, "pid.child"))
	if fork := r.only(t, "fork", any); fork.Result != int64(childID) {
		t.Errorf("fork returned %d, want %d", fork.Result, childID)
	}
	end := r.only(t, "exit_group", func(c *Call) bool { return c.Process == childID })
	if end.Args != [6]uint64{3} || end.Duration != NotEnded {
		t.Errorf("the child's exit_group: %+v", end)
	}
	// The sleeper is killed in its call, which the kernel would have gone on with: ERESTARTNOHAND.
	if p := r.only(t, "pause", any); p.Result != -514 || p.Thread == main || p.Process != main {
		t.Errorf("the sleeper's pause: %+v", p)
	}
	checkTimes(t, r)
}

// checkTimes wants the calls of each thread to follow each other without overlap, within the recording.
func checkTimes(t *testing.T, r *recorded) {
	t.Helper()
	ended := map[int32]time.Duration{}
	for _, c := range r.calls {
		if c.Start < ended[c.Thread] || c.Start > r.Elapsed {
			t.Errorf("%s of thread %d begins at %s, the call before ended at %s, the recording at %s", c.Name, c.Thread, c.Start, ended[c.Thread], r.Elapsed)
		}
		ended[c.Thread] = c.Start + max(0, c.Duration)
	}
	slept := r.only(t, "clock_nanosleep", any)
	if slept.Duration < 20*time.Millisecond {
		t.Errorf("a sleep of 20 ms took %s", slept.Duration)
	}
	if r.Empty <= 0 || r.Empty > time.Millisecond {
		t.Errorf("an empty call takes %s", r.Empty)
	}
}

// TestArguments wants what the program gave to its calls.
func TestArguments(t *testing.T) {
	r, said := recordTruth(t, Options{})
	at, long := uint64(0xffffff9c), uint64(0xffffffffffffff9c) // AT_FDCWD, as an int and as a long
	tests := []struct {
		name   string
		wanted func(*Call) bool
		args   [6]uint64
		file   File
		size   int64
		paths  [2]string
		result int64
	}{
		{name: "openat", wanted: func(c *Call) bool { return c.Path == "file" && c.Args[2] != 0 }, args: [6]uint64{at, 0, unix.O_CREAT | unix.O_RDWR, 0o600}, file: File{Kind: Regular}, paths: [2]string{"file"}, result: 3},
		{name: "openat", wanted: func(c *Call) bool { return c.Path == "file" && c.Args[2] == 0 }, args: [6]uint64{at}, file: File{Kind: Regular}, size: 360, paths: [2]string{"file"}, result: 3},
		{name: "writev", args: [6]uint64{3, 0, 3}, file: File{Kind: Regular}, size: 60, result: 60},
		{name: "pread64", wanted: func(c *Call) bool { return c.Args[2] == 50 }, args: [6]uint64{3, 0, 50, 0}, file: File{Kind: Regular}, result: 50},
		{name: "fcntl", args: [6]uint64{3, unix.F_SETLK, unix.F_WRLCK, 7, 11}, file: File{Kind: Regular}},
		{name: "openat", wanted: withPath("late"), args: [6]uint64{long}, paths: [2]string{"late"}, result: -int64(unix.ENOENT)},
		{name: "openat", wanted: withPath(strings.Repeat("x", 255)), args: [6]uint64{long}, paths: [2]string{strings.Repeat("x", 255)}, result: -int64(unix.ENAMETOOLONG)},
		{name: "openat", wanted: withPath(""), args: [6]uint64{long}, result: -int64(unix.EFAULT)},
		{name: "mkdirat", args: [6]uint64{at, 0, 0o700}, paths: [2]string{"folder"}},
		{name: "renameat", args: [6]uint64{at, 0, at}, paths: [2]string{"file", "folder/renamed"}},
		{name: "openat", wanted: withPath("folder"), args: [6]uint64{at, 0, unix.O_DIRECTORY}, file: File{Kind: Directory}, paths: [2]string{"folder"}, result: 4},
		{name: "openat", wanted: withPath("/dev/null"), args: [6]uint64{at, 0, unix.O_WRONLY}, file: File{Kind: Device}, paths: [2]string{"/dev/null"}, result: 5},
		{name: "socketpair", args: [6]uint64{unix.AF_UNIX, unix.SOCK_STREAM, 0, uint64(said.Want(t, "fd.socketpair"))}, file: File{Kind: Socket, Family: unix.AF_UNIX, Type: unix.SOCK_STREAM}},
		{name: "sendmsg", args: [6]uint64{6}, file: File{Kind: Socket, Family: unix.AF_UNIX, Type: unix.SOCK_STREAM}, size: 12, result: 12},
		{name: "socket", args: [6]uint64{unix.AF_INET, unix.SOCK_DGRAM}, file: File{Kind: Socket, Family: unix.AF_INET, Type: unix.SOCK_DGRAM, Protocol: unix.IPPROTO_UDP}, result: 8},
		{name: "setsockopt", args: [6]uint64{8, unix.SOL_SOCKET, unix.SO_BROADCAST, 1, 4}, file: File{Kind: Socket, Family: unix.AF_INET, Type: unix.SOCK_DGRAM, Protocol: unix.IPPROTO_UDP}},
		{name: "ioctl", args: [6]uint64{8, fionbio, 1}, file: File{Kind: Socket, Family: unix.AF_INET, Type: unix.SOCK_DGRAM, Protocol: unix.IPPROTO_UDP}},
		{name: "connect", args: [6]uint64{8, 0, 16}, file: File{Kind: Socket, Family: unix.AF_INET, Type: unix.SOCK_DGRAM, Protocol: unix.IPPROTO_UDP}, paths: [2]string{"127.0.0.1:9"}},
		{name: "eventfd2", file: File{Kind: EventFD}, result: 9},
		{name: "epoll_create1", file: File{Kind: Epoll}, result: 10},
		{name: "pipe2", args: [6]uint64{uint64(said.Want(t, "fd.pipe2")), unix.O_NONBLOCK}, file: File{Kind: Pipe}},
		{name: "epoll_ctl", args: [6]uint64{10, unix.EPOLL_CTL_ADD, 9, unix.EPOLLIN}, file: File{Kind: Epoll}},
		{name: "epoll_wait", args: [6]uint64{10, 0, 4, 0}, file: File{Kind: Epoll}},
		{name: "poll", args: [6]uint64{uint64(said.Want(t, "poll.event")), 1}},
		{name: "timerfd_create", args: [6]uint64{unix.CLOCK_MONOTONIC}, file: File{Kind: TimerFD}, result: 13},
		{name: "read", wanted: func(c *Call) bool { return c.Result == -int64(unix.EAGAIN) }, args: [6]uint64{11, 0, 1}, file: File{Kind: Pipe}, result: -int64(unix.EAGAIN)},
	}
	for _, test := range tests {
		if test.wanted == nil {
			test.wanted = any
		}
		c := r.only(t, test.name, test.wanted)
		got := Call{Name: c.Name, Args: c.Args, File: c.File, Size: c.Size, Path: c.Path, Path2: c.Path2, Result: c.Result}
		want := Call{Name: test.name, Args: test.args, File: test.file, Size: test.size, Path: test.paths[0], Path2: test.paths[1], Result: test.result}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s, - want, + got:\n%s", test.name, diff)
		}
	}
}

// TestNoPaths wants a number for each path, the same each time, and nothing of a path or an address.
func TestNoPaths(t *testing.T) {
	r, _ := recordTruth(t, Options{NoPaths: true})
	number := regexp.MustCompile(`^[0-9]*$`)
	for _, c := range r.calls {
		if !number.MatchString(c.Path) || !number.MatchString(c.Path2) {
			t.Errorf("%s: paths %q, %q", c.Name, c.Path, c.Path2)
		}
	}
	created := r.only(t, "openat", func(c *Call) bool { return c.Args[2] == unix.O_CREAT|unix.O_RDWR })
	renamed := r.only(t, "renameat", any)
	if created.Path == "" || created.Path != renamed.Path || renamed.Path == renamed.Path2 {
		t.Errorf("a file is made as %q, and renamed from %q to %q", created.Path, renamed.Path, renamed.Path2)
	}
}

// A traced call is one as strace tells it: its name and what came of it, as far as that is the same each time.
type traced struct {
	Name, Result string
}

var (
	straceLine = regexp.MustCompile(`^(\d+) +(\w+)\(.*\) += (.*)$`)
	straceOpen = regexp.MustCompile(`^(\d+) +(\w+)\(.* <unfinished \.\.\.>$`)
	straceRest = regexp.MustCompile(`^(\d+) +<\.\.\. (\w+) resumed>.*\) += (.*)$`)
)

// strace runs a command under strace, and returns the calls of its first process in the order of their begin, and their numbers by name of all.
func strace(t *testing.T, command string) ([]traced, map[string]int64) {
	t.Helper()
	out, err := os.Create("../said-again")
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	cmd := exec.Command("strace", "-f", "-s", "1", "-o", "../strace.out", command)
	cmd.Stdout, cmd.Stderr = out, os.Stderr
	if err := cmd.Run(); err != nil {
		t.Fatalf("strace: %v", err)
	}
	text, err := os.ReadFile("../strace.out")
	if err != nil {
		t.Fatal(err)
	}
	first, _, _ := bytes.Cut(text, []byte(" "))
	var calls []traced
	names := map[string]int64{}
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSuffix(line, "\n")
		if m := straceRest.FindStringSubmatch(line); m != nil {
			if m[1] == string(first) {
				calls[len(calls)-1].Result = m[3]
			}
			continue
		}
		m := straceOpen.FindStringSubmatch(line)
		if m == nil {
			m = straceLine.FindStringSubmatch(line)
		}
		if m == nil {
			continue // a signal, or an end
		}
		names[m[2]]++
		if m[1] == string(first) {
			calls = append(calls, traced{Name: m[2], Result: strings.Join(m[3:], "")})
		}
	}
	for i := range calls {
		calls[i].Result, _, _ = strings.Cut(calls[i].Result, " (")
	}
	return calls, names
}

// varies are the calls whose results are numbers of processes.
var varies = []string{"getppid", "getpid", "fork", "wait4", "clone3", "set_tid_address", "rt_sigreturn"}

// asStrace tells a call as strace does.
func asStrace(c *Call) traced {
	switch {
	case c.Duration == NotEnded:
		return traced{c.Name, "?"}
	case c.Result < 0:
		return traced{c.Name, "-1 " + unix.ErrnoName(unix.Errno(-c.Result))}
	}
	return traced{c.Name, fmt.Sprint(c.Result)}
}

// steady leaves out the results that differ from run to run: numbers of processes, and addresses.
func steady(calls []traced) []traced {
	for i := range calls {
		if slices.Contains(varies, calls[i].Name) || strings.HasPrefix(calls[i].Result, "0x") || len(calls[i].Result) > 12 && calls[i].Result[0] != '-' {
			calls[i].Result = ""
		}
	}
	return calls
}

// TestStrace compares with strace: the numbers of calls by name, and the first process' calls with their results, one by one.
func TestStrace(t *testing.T) {
	r, _ := recordTruth(t, Options{})
	if err := os.RemoveAll("folder"); err != nil {
		t.Fatal(err)
	}
	want, names := strace(t, r.command)
	if diff := cmp.Diff(names, r.Names); diff != "" {
		t.Errorf("calls by name, - strace, + ours:\n%s", diff)
	}
	var got []traced
	for _, c := range r.calls {
		if c.Thread == r.calls[0].Thread {
			got = append(got, asStrace(&c))
		}
	}
	if diff := cmp.Diff(steady(want), steady(got)); diff != "" {
		t.Errorf("calls of the first thread, - strace, + ours:\n%s", diff)
	}
}
