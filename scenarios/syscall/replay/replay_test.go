// SPDX-License-Identifier: Apache-2.0

package replay

import (
	"context"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/assaylab/assay/scenarios/syscall/trace"
)

const here64 = 1<<64 - 100 // AT_FDCWD

// replayOf replays calls, a microsecond after one another, in a folder that it returns.
func replayOf(t *testing.T, ctx context.Context, speed float64, calls ...trace.Call) *Fidelity {
	t.Helper()
	for i := range calls {
		c := &calls[i]
		c.Start = time.Duration(i+1) * 10 * time.Microsecond
		if c.Thread == 0 {
			c.Thread, c.Process = 7, 7
		}
		if c.Duration == 0 {
			c.Duration = time.Microsecond
		}
	}
	folder := t.TempDir()
	r, err := New(&trace.Recording{Header: trace.Header{Arch: runtime.GOARCH}, Calls: calls}, Options{Folder: folder, Speed: speed})
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Prepare(ctx); err != nil {
		t.Fatal(err)
	}
	f, err := r.Run(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Close(); err != nil {
		t.Error(err)
	}
	if left, err := os.ReadDir(folder); err != nil || len(left) != 0 {
		t.Errorf("%d files left in the folder, error %v", len(left), err)
	}
	return f
}

// check wants so many calls of each name to have been made, with the recording's results.
func (f *Fidelity) check(t *testing.T, want map[string]int64) {
	t.Helper()
	for _, c := range f.Calls {
		if got := c.Replayed + c.Substituted; got != want[c.Name] || c.Differ > 0 {
			t.Errorf("%s: %d made, want %d; %d results differ", c.Name, got, want[c.Name], c.Differ)
		}
		delete(want, c.Name)
	}
	if len(want) > 0 {
		t.Errorf("not made: %v", want)
	}
}

func TestFiles(t *testing.T) {
	for _, speed := range []float64{0, 1} {
		f := replayOf(t, t.Context(), speed,
			trace.Call{Name: "openat", Args: [6]uint64{here64, 0, unix.O_RDONLY}, Path: "/etc/some/where", Result: 3, FD: trace.Regular, Size: 5000},
			trace.Call{Name: "read", Args: [6]uint64{3, 0, 4096}, Result: 4096},
			trace.Call{Name: "read", Args: [6]uint64{3, 0, 4096}, Result: 904},
			trace.Call{Name: "read", Args: [6]uint64{3, 0, 4096}},
			trace.Call{Name: "close", Args: [6]uint64{3}},
			trace.Call{Name: "close", Args: [6]uint64{3}, Result: -int64(unix.EBADF)},
			trace.Call{Name: "openat", Args: [6]uint64{here64, 0, unix.O_RDONLY}, Path: "absent", Result: -int64(unix.ENOENT)},
			trace.Call{Name: "openat", Args: [6]uint64{here64, 0, unix.O_RDWR | unix.O_CREAT, 0o600}, Path: "new", Result: 3, FD: trace.Regular},
			trace.Call{Name: "pwrite64", Args: [6]uint64{3, 0, 100, 50}, Result: 100},
			trace.Call{Name: "lseek", Args: [6]uint64{3, 0, unix.SEEK_END}, Result: 150},
			trace.Call{Name: "unlinkat", Args: [6]uint64{here64}, Path: "new"},
			trace.Call{Name: "mkdirat", Args: [6]uint64{here64, 0, 0o700}, Path: "folder"},
			trace.Call{Name: "execve", Path: "/bin/true"},
		)
		f.check(t, map[string]int64{
			"openat": 3, "read": 3, "close": 2, "pwrite64": 1, "lseek": 1, "unlinkat": 1, "mkdirat": 1, "execve": 0,
		})
	}
}

// TestNoHang replays waits for what never comes.
func TestNoHang(t *testing.T) {
	both := uint64(3 | 4<<32)
	tests := map[string][]trace.Call{
		"pipe": {{Name: "pipe2", Args: [6]uint64{both}}, {Name: "read", Args: [6]uint64{3, 0, 10}, Result: 10}},
		"epoll": {
			{Name: "epoll_create1", Result: 3, FD: trace.Epoll},
			{Name: "epoll_pwait", Args: [6]uint64{3, 0, 10, 1<<64 - 1}, Result: 1, Duration: time.Hour},
		},
		"inherited": {{Name: "read", Args: [6]uint64{0, 0, 10}, Result: 10, FD: trace.Pipe}},
	}
	for name, calls := range tests {
		t.Run(name, func(t *testing.T) {
			begin := time.Now()
			replayOf(t, t.Context(), 0, calls...)
			if took := time.Since(begin); took > 10*time.Second {
				t.Errorf("took %v", took)
			}
		})
	}
}

// TestNoEscape has recordings reach for a file outside of the sandbox, and wants it untouched.
func TestNoEscape(t *testing.T) {
	outside := filepath.Join(t.TempDir(), "outside")
	if err := os.WriteFile(outside, []byte("kept"), 0o600); err != nil {
		t.Fatal(err)
	}
	var calls []trace.Call
	for _, name := range []string{outside, "../../../../../../../../../.." + outside, "/proc/self/root" + outside, "link" + outside} {
		calls = append(calls,
			trace.Call{Name: "symlinkat", Args: [6]uint64{0, here64}, Path: "../../../../../../../../../..", Path2: "link"},
			trace.Call{Name: "openat", Args: [6]uint64{here64, 0, unix.O_WRONLY | unix.O_TRUNC}, Path: name, Result: 3, FD: trace.Regular},
			trace.Call{Name: "truncate", Path: name},
			trace.Call{Name: "unlinkat", Args: [6]uint64{here64}, Path: name},
		)
	}
	replayOf(t, t.Context(), 0, calls...)
	if text, err := os.ReadFile(outside); err != nil || string(text) != "kept" {
		t.Errorf("the file outside: %q, %v", text, err)
	}
}

// TestMemory has a heap grow and shrink, and a mapping that moves and is then used where it went.
func TestMemory(t *testing.T) {
	const heap, place, moved, none = 0x5000_0000, 0x7000_0000, 0x7100_0000, 1<<64 - 1
	f := replayOf(t, t.Context(), 0,
		trace.Call{Name: "brk", Result: heap},
		trace.Call{Name: "brk", Args: [6]uint64{heap + 0x21000}, Result: heap + 0x21000},
		trace.Call{Name: "brk", Args: [6]uint64{heap + 0x1000}, Result: heap + 0x1000},
		trace.Call{Name: "mmap", Args: [6]uint64{0, 0x10000, unix.PROT_READ | unix.PROT_WRITE, unix.MAP_PRIVATE | unix.MAP_ANONYMOUS, none}, Result: place},
		trace.Call{Name: "mremap", Args: [6]uint64{place, 0x10000, 0x40000, unix.MREMAP_MAYMOVE}, Result: moved},
		trace.Call{Name: "mprotect", Args: [6]uint64{moved, 0x40000, unix.PROT_READ}},
		trace.Call{Name: "munmap", Args: [6]uint64{moved, 0x40000}},
	)
	f.check(t, map[string]int64{"brk": 3, "mmap": 1, "mremap": 1, "mprotect": 1, "munmap": 1})
}

// TestUnwritable has mappings that nothing may be written to, and one that reaches beyond its file's end, end in each way that asks for
// memory to have been used.
func TestUnwritable(t *testing.T) {
	const place, end = 0x7000_0000, 0x7100_0000
	calls := []trace.Call{{Name: "openat", Args: [6]uint64{here64}, Path: "/file", Result: 3, FD: trace.Regular, Size: 5000}}
	for _, protection := range []uint64{unix.PROT_NONE, unix.PROT_READ, unix.PROT_READ | unix.PROT_WRITE} {
		mapping := trace.Call{Name: "mmap", Args: [6]uint64{0, 0x10000, protection, unix.MAP_PRIVATE, 3}, Result: place}
		calls = append(calls,
			mapping, trace.Call{Name: "mremap", Args: [6]uint64{place, 0x10000, 0x20000, unix.MREMAP_MAYMOVE}, Result: end, Duration: time.Millisecond},
			mapping, trace.Call{Name: "munmap", Args: [6]uint64{place, 0x10000}, Duration: time.Millisecond},
			mapping, trace.Call{Name: "madvise", Args: [6]uint64{place, 0x10000, unix.MADV_DONTNEED}, Duration: time.Millisecond},
			trace.Call{Name: "mprotect", Args: [6]uint64{place, 0x10000, unix.PROT_READ}, Duration: time.Millisecond},
		)
	}
	replayOf(t, t.Context(), 0, calls...).check(t, map[string]int64{"openat": 1, "mmap": 9, "mremap": 3, "munmap": 3, "madvise": 3, "mprotect": 3})
}

// TestShared maps a file of the memory file system, which isn't a device though it lies among them.
func TestShared(t *testing.T) {
	const none, place = 1<<64 - 1, 0x7000_0000
	f := replayOf(t, t.Context(), 0,
		trace.Call{Name: "openat", Args: [6]uint64{here64, 0, unix.O_RDWR}, Path: "/dev/shm/pool", Result: 3, FD: trace.Regular, Size: 4096},
		trace.Call{Name: "mmap", Args: [6]uint64{0, 4096, unix.PROT_READ | unix.PROT_WRITE, unix.MAP_SHARED, 3}, Result: place, FD: trace.Regular},
		trace.Call{Name: "munmap", Args: [6]uint64{place, 4096}},
		trace.Call{Name: "openat", Args: [6]uint64{here64, 0, unix.O_RDWR}, Path: "/dev/null", Result: 4, FD: trace.Device},
		trace.Call{Name: "write", Args: [6]uint64{4, 0, 100}, Result: 100, FD: trace.Device},
	)
	f.check(t, map[string]int64{"openat": 2, "mmap": 1, "munmap": 1, "write": 1})
}

// TestChild has a process wait for one that it began, which takes longer than its wait did in the recording; and that one close what it
// has from before the recording.
func TestChild(t *testing.T) {
	const long = 50 * time.Millisecond
	f := replayOf(t, t.Context(), 0,
		trace.Call{Name: "clone", Args: [6]uint64{uint64(unix.SIGCHLD)}, Result: 8},
		trace.Call{Thread: 8, Process: 8, Name: "nanosleep", Duration: long},
		trace.Call{Thread: 8, Process: 8, Name: "close", Args: [6]uint64{5}, FD: trace.Pipe},
		trace.Call{Name: "wait4", Args: [6]uint64{8}, Result: 8},
		trace.Call{Name: "close", Args: [6]uint64{5}, FD: trace.Pipe},
	)
	for _, c := range f.Calls {
		if c.Name == "wait4" && (c.Substituted != 1 || c.ReplayedTime < long/2) {
			t.Errorf("%d waits took %v, want one of %v", c.Substituted, c.ReplayedTime, long)
		}
	}
	f.check(t, map[string]int64{"clone": 0, "nanosleep": 1, "close": 2, "wait4": 1})
}

// TestWatched has descriptors of signals and of what was there before the recording be watched, and waits for nothing and for something.
func TestWatched(t *testing.T) {
	f := replayOf(t, t.Context(), 0,
		trace.Call{Name: "epoll_create1", Result: 3, FD: trace.Epoll},
		trace.Call{Name: "signalfd4", Args: [6]uint64{1<<64 - 1, 0, 8}, Result: 4, FD: trace.SignalFD},
		trace.Call{Name: "signalfd4", Args: [6]uint64{4, 0, 8}, Result: 4, FD: trace.SignalFD},
		trace.Call{Name: "epoll_ctl", Args: [6]uint64{3, unix.EPOLL_CTL_ADD, 4, unix.EPOLLIN}, FD: trace.Epoll},
		trace.Call{Name: "epoll_ctl", Args: [6]uint64{3, unix.EPOLL_CTL_ADD, 9, unix.EPOLLIN}, FD: trace.Epoll},
		trace.Call{Name: "read", Args: [6]uint64{4, 0, 128}, Result: -int64(unix.EAGAIN), FD: trace.SignalFD},
		trace.Call{Name: "pselect6", Args: [6]uint64{0}, Duration: time.Millisecond},
		trace.Call{Name: "pselect6", Args: [6]uint64{5}, Result: 1, Duration: time.Millisecond},
	)
	for _, c := range f.Calls {
		if c.Name == "pselect6" && (c.Replayed != 1 || c.Substituted != 1) {
			t.Errorf("pselect6: %d as it was, %d by another, want 1 and 1", c.Replayed, c.Substituted)
		}
	}
	f.check(t, map[string]int64{"epoll_create1": 1, "signalfd4": 2, "epoll_ctl": 2, "read": 1, "pselect6": 2})
}

// TestFolders looks for a file in what is only known to be there.
func TestFolders(t *testing.T) {
	f := replayOf(t, t.Context(), 0,
		trace.Call{Name: "faccessat", Args: [6]uint64{here64}, Path: "refs/tags"},
		trace.Call{Name: "faccessat", Args: [6]uint64{here64}, Path: "refs/tags/a/b", Result: -int64(unix.ENOENT)},
	)
	f.check(t, map[string]int64{"faccessat": 2})
}
