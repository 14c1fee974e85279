// SPDX-License-Identifier: Apache-2.0

package syscall

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/assaylab/assay/scenarios"
	"github.com/assaylab/assay/scenarios/syscall/trace"
)

// at is a call of thread 1 that took 5 µs, the n-th of a recording.
func at(n int, name string, result int64, fd trace.FDClass, path string, args ...uint64) trace.Call {
	c := trace.Call{
		Thread: 1, Process: 1, Name: name, Start: time.Duration(n) * 50 * time.Microsecond, Duration: 5 * time.Microsecond, Result: result, FD: fd, Path: path,
	}
	copy(c.Args[:], args)
	return c
}

// atFolder is AT_FDCWD as a call has it.
const atFolder = 1<<64 + unix.AT_FDCWD

// recorded writes a recording of some calls.
func recorded(t *testing.T, calls ...trace.Call) string {
	t.Helper()
	f, err := os.Create(filepath.Join(t.TempDir(), "test.trace"))
	if err != nil {
		t.Fatal(err)
	}
	w, err := trace.NewWriter(f, trace.Header{Arch: "amd64", Kernel: "test", Began: time.Now(), Folder: "/home/someone"})
	for i := range calls {
		if err == nil {
			err = w.Write(&calls[i])
		}
	}
	if err == nil {
		err = w.Close(nil)
	}
	if err = errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
	return f.Name()
}

// replayed replays some calls once.
func replayed(t *testing.T, calls ...trace.Call) *scenarios.Outcome {
	t.Helper()
	w := prepared(t, "syscall/replay", map[string]string{"file": recorded(t, calls...), "pace": "fast"})
	o, err := w.Run(t.Context(), time.Nanosecond)
	if err != nil {
		t.Fatal(err)
	}
	return o
}

// TestReplayMix replays calls on a file, a pipe and nothing, all of which give what they gave; and tells of those that are left out.
func TestReplayMix(t *testing.T) {
	before := at(9, "openat", 3, trace.Regular, "before", atFolder, 0, unix.O_RDONLY)
	before.Size = 700
	o := replayed(t,
		at(0, "getpid", 1, trace.NoFD, ""),
		at(1, "openat", 3, trace.Regular, "made", atFolder, 0, unix.O_RDWR|unix.O_CREAT, 0o600),
		at(2, "write", 100, trace.Regular, "", 3, 0, 100),
		at(3, "lseek", 0, trace.Regular, "", 3, 0, unix.SEEK_SET),
		at(4, "read", 100, trace.Regular, "", 3, 0, 4096),
		at(5, "read", 0, trace.Regular, "", 3, 0, 4096),
		at(6, "close", 0, trace.Regular, "", 3),
		at(7, "openat", -int64(unix.ENOENT), trace.NoFD, "missing", atFolder, 0, unix.O_RDONLY),
		at(8, "unlink", 0, trace.NoFD, "made"),
		before,
		at(10, "read", 700, trace.Regular, "", 3, 0, 4096),
		at(11, "close", 0, trace.Regular, "", 3),
		at(12, "kill", 0, trace.NoFD, "", 1, uint64(unix.SIGKILL)),
	)
	v := o.Values
	if v["recorded_calls_count"] != 13 || v["replayed_calls_count"]+v["substituted_calls_count"]+v["left_out_calls_count"] != 13 || v["withheld_calls_count"] != 0 {
		t.Errorf("calls: %v", v)
	}
	if v["replayed_calls_count"] != 12 || v["differing_results_count"] != 0 {
		t.Errorf("%v, notes %q", v, o.Notes)
	}
	if !strings.Contains(strings.Join(o.Notes, "; "), "kill") {
		t.Errorf("a kill was not told of: %q", o.Notes)
	}
}

// TestReplayStaysInside has a recording make files where it has no business, by absolute and climbing paths.
func TestReplayStaysInside(t *testing.T) {
	outside := filepath.Join(t.TempDir(), "outside")
	climbing := strings.Repeat("../", 40) + strings.TrimPrefix(outside, "/")
	if err := os.WriteFile(outside+".keep", []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	replayed(t,
		at(0, "openat", 3, trace.Regular, outside, atFolder, 0, unix.O_RDWR|unix.O_CREAT, 0o600),
		at(1, "close", 0, trace.Regular, "", 3),
		at(2, "openat", 3, trace.Regular, climbing, atFolder, 0, unix.O_RDWR|unix.O_CREAT, 0o600),
		at(3, "close", 0, trace.Regular, "", 3),
		at(4, "symlink", 0, trace.NoFD, "/"),
		at(5, "unlink", 0, trace.NoFD, outside+".keep"),
		at(6, "mkdir", 0, trace.NoFD, outside+".folder", 0o700),
	)
	for _, name := range []string{outside, outside + ".folder"} {
		if _, err := os.Lstat(name); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s was made outside of the sandbox: %v", name, err)
		}
	}
	if text, err := os.ReadFile(outside + ".keep"); err != nil || string(text) != "mine" {
		t.Errorf("a file outside of the sandbox: %q, %v", text, err)
	}
}

// TestReplayNeverHangs reads from a pipe into which nobody writes, and waits for a word of memory that nobody changes.
func TestReplayNeverHangs(t *testing.T) {
	done := make(chan *scenarios.Outcome, 1)
	calls := []trace.Call{
		at(0, "pipe2", 0, trace.Pipe, "", 0, 0),
		at(1, "read", 10, trace.Pipe, "", 3, 0, 10),
		at(2, "futex", 0, trace.NoFD, "", 0x7000, 0, 5),
		at(3, "getpid", 1, trace.NoFD, ""),
	}
	file := recorded(t, calls...)
	w := prepared(t, "syscall/replay", map[string]string{"file": file, "pace": "fast"})
	go func() {
		o, err := w.Run(t.Context(), time.Nanosecond)
		if err != nil {
			t.Error(err)
		}
		done <- o
	}()
	select {
	case o := <-done:
		if o != nil && o.Values["recorded_calls_count"] != 4 {
			t.Errorf("%v", o.Values)
		}
	case <-time.After(30 * time.Second):
		t.Fatal("it hangs")
	}
}

func TestReplayRefuses(t *testing.T) {
	for name, want := range map[string]string{"": "want a recording", "/no/such/trace": "no such file"} {
		w, err := newWorkload("syscall/replay", map[string]string{"file": name})
		if err == nil {
			err = errors.Join(w.Prepare(t.Context()), w.Close())
		}
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%q: %v, want %q", name, err, want)
		}
	}
}
