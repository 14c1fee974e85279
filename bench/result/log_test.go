// SPDX-License-Identifier: Apache-2.0

package result

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"golang.org/x/sys/unix"
)

// open opens a log that the test closes.
func open(t *testing.T, path string) (*Log, *Contents) {
	t.Helper()
	l, c, err := OpenLog(path, true)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() }) //nolint:errcheck // a test may have closed it
	return l, c
}

// wrote makes a log of an environment and blocks of two arms.
func wrote(t *testing.T, path string, blocks int) []Record {
	t.Helper()
	l, _ := open(t, path)
	e := environment()
	if err := l.AppendEnvironment(&e); err != nil {
		t.Fatal(err)
	}
	var all []Record
	for block := range blocks {
		records := []Record{good(t, block, "baseline"), good(t, block, "perf")}
		if err := l.Append(records...); err != nil {
			t.Fatal(err)
		}
		all = append(all, records...)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	return all
}

func TestLogKeepsAll(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	records := wrote(t, path, 3)
	c, err := ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	want := &Contents{Environments: []Environment{environment()}, Records: records}
	if diff := cmp.Diff(want, c, cmpopts.IgnoreUnexported(Contents{})); diff != "" {
		t.Error(diff)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.SplitAfter(string(text), "\n")
	if len(lines) != 8 || !strings.HasPrefix(lines[0], `{"type":"environment","version":1,`) || !strings.HasPrefix(lines[1], `{"type":"record","version":1,`) {
		t.Errorf("%d lines, the first two %.40s and %.40s", len(lines)-1, lines[0], lines[1])
	}
}

// TestLogGoesOnAfterACrash cuts the file at each byte, as a crash could, and goes on.
func TestLogGoesOnAfterACrash(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	records := wrote(t, path, 1)
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for n := 0; n <= len(text); n += 1 + n%7 {
		if err := os.WriteFile(path, text[:n], 0o644); err != nil {
			t.Fatal(err)
		}
		whole := bytes.Count(text[:n], []byte("\n"))
		l, c := open(t, path)
		if want := int64(n - 1 - bytes.LastIndexByte(text[:n], '\n')); c.Cut != want || len(c.Environments)+len(c.Records) != whole {
			t.Fatalf("cut at %d: %d environments, %d records, %d bytes left out; want %d lines, %d bytes", n, len(c.Environments), len(c.Records), c.Cut, whole, want)
		}
		if err := l.Append(records[1]); err != nil {
			t.Fatal(err)
		}
		l.Close() //nolint:errcheck // what it wrote is read next
		after, err := ReadFile(path)
		if err != nil || len(after.Records) != len(c.Records)+1 || after.Cut != 0 {
			t.Fatalf("cut at %d, then appended: %+v, %v", n, after, err)
		}
	}
}

func TestLogKeep(t *testing.T) {
	for _, n := range []int{0, 1, 2, 3, 4, 9} {
		path := filepath.Join(t.TempDir(), "log")
		wrote(t, path, 2)
		l, _ := open(t, path)
		if err := l.Keep(n); err != nil {
			t.Fatal(err)
		}
		if err := l.Append(good(t, 7, "again")); err != nil {
			t.Fatal(err)
		}
		c, err := ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if last := c.Records[len(c.Records)-1]; len(c.Records) != min(n, 4)+1 || last.Arm != "again" || len(c.Environments) != 1 {
			t.Errorf("kept %d: %d records, the last by %s, %d environments", n, len(c.Records), last.Arm, len(c.Environments))
		}
	}
}

func TestLogRefuses(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	l, _ := open(t, path)
	bad := good(t, 1, "perf")
	bad.DurationNS = -1
	if err := l.Append(good(t, 1, "baseline"), bad); err == nil || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), "duration_ns is -1") {
		t.Errorf("a bad record: %v", err)
	}
	if info, err := os.Stat(path); err != nil || info.Size() != 0 {
		t.Errorf("half a block was written: %v, %v", info, err)
	}
	if _, _, err := OpenLog(path, false); err == nil || !strings.Contains(err.Error(), "another experiment") {
		t.Errorf("two writers: %v", err)
	}
	if _, _, err := OpenLog(t.TempDir(), false); err == nil {
		t.Error("opened a folder")
	}
}

// TestLogLeavesAForeignFile: what isn't ours is neither read nor cut.
func TestLogLeavesAForeignFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "notes")
	const text = "my notes\nwithout a newline"
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, _, err := OpenLog(path, false); err == nil || !strings.Contains(err.Error(), path+": line 1: no JSON") {
		t.Errorf("opened: %v", err)
	}
	if got, err := os.ReadFile(path); string(got) != text || err != nil {
		t.Errorf("changed to %q, %v", got, err)
	}
}

// TestLogCutsHalfALine: what a failed write left is cut off, and the log can go on.
func TestLogCutsHalfALine(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	l, _ := open(t, path)
	if err := l.Append(good(t, 0, "baseline")); err != nil {
		t.Fatal(err)
	}
	if _, err := l.f.WriteString(`{"type":"reco`); err != nil { // what a full disk leaves of a line
		t.Fatal(err)
	}
	if err := l.cutTo(l.end, true); err != nil {
		t.Fatal(err)
	}
	if err := l.Append(good(t, 0, "perf")); err != nil {
		t.Fatal(err)
	}
	if c, err := ReadFile(path); err != nil || len(c.Records) != 2 {
		t.Errorf("%+v, %v", c, err)
	}
}

func TestLogTellsAFailedWrite(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	l, _ := open(t, path)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if err := l.Append(good(t, 0, "baseline")); !errors.Is(err, os.ErrClosed) || !strings.Contains(err.Error(), path) {
		t.Errorf("%v, want it to name %s", err, path)
	}
	if len(l.starts) != 0 {
		t.Error("it counts a record that isn't there")
	}
}

// TestLogOnAFullDisk keeps the blocks before, whole, and goes on when there is room.
func TestLogOnAFullDisk(t *testing.T) {
	folder := t.TempDir()
	if err := unix.Mount("none", folder, "tmpfs", 0, "size=16k"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(folder, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	path := filepath.Join(folder, "log")
	l, _ := open(t, path)
	block, err := 0, error(nil)
	for ; err == nil && block < 1000; block++ {
		err = l.Append(good(t, block, "baseline"), good(t, block, "perf"))
	}
	if !errors.Is(err, unix.ENOSPC) || strings.Contains(err.Error(), "\n") {
		t.Fatalf("after %d blocks: %v, want one line about the room", block, err)
	}
	if err := unix.Mount("none", folder, "tmpfs", unix.MS_REMOUNT, "size=1M"); err != nil {
		t.Fatal(err)
	}
	if err := l.Append(good(t, block, "baseline")); err != nil {
		t.Fatal(err)
	}
	if c, err := ReadFile(path); err != nil || c.Cut > 0 || len(c.Records) != 2*(block-1)+1 {
		t.Errorf("%+v, %v, want %d records", c, err, 2*(block-1)+1)
	}
}
