// SPDX-License-Identifier: Apache-2.0

package unwind

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

const libc = "/lib/x86_64-linux-gnu/libc.so.6"

func encode(t testing.TB, table *Table) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := table.Encode(&b); err != nil {
		t.Fatal(err)
	}
	if b.Len() != table.encodedSize() {
		t.Errorf("encoded as %d bytes, announced %d", b.Len(), table.encodedSize())
	}
	return b.Bytes()
}

func decode(b []byte) (*Table, error) { return Decode(bytes.NewReader(b), int64(len(b)), Options{}) }

func TestEncode(t *testing.T) {
	for _, path := range []string{libc, "/usr/aarch64-linux-gnu/lib/libc.so.6", "/usr/bin/env"} {
		want := build(t, path)
		got, err := decode(encode(t, want))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s:\n%s", path, diff[:min(len(diff), 2000)])
		}
	}
}

// TestDecodeRefuses: each change of a byte is noticed, and each end that comes too early.
func TestDecodeRefuses(t *testing.T) {
	good := encode(t, build(t, compile(t, "gcc", "bare.c", "-nostdlib")))
	for i := range good {
		bad := bytes.Clone(good)
		bad[i] ^= 0x10
		want := errCorrupt
		if i == len(magic)-1 {
			want = errVersion
		}
		if _, err := decode(bad); !errors.Is(err, want) && !errors.Is(err, ErrTooLarge) {
			t.Errorf("byte %d changed: %v", i, err)
		}
		if _, err := decode(good[:i]); !errors.Is(err, errCorrupt) {
			t.Errorf("cut to %d bytes: %v", i, err)
		}
	}
	if _, err := Decode(bytes.NewReader(good), int64(len(good)), Options{MaxBytes: RowSize}); !errors.Is(err, ErrTooLarge) {
		t.Errorf("with room for one row: %v", err)
	}
}

func TestCache(t *testing.T) {
	table := build(t, compile(t, "gcc", "bare.c", "-nostdlib"))
	size := int64(table.encodedSize())
	folder := filepath.Join(t.TempDir(), "a", "b")
	c, err := OpenCache(folder, 3*size)
	must(t, err)
	old := time.Now().Add(-time.Hour)
	for i := range 3 {
		id := fmt.Sprintf("go/build/id%d", i)
		must(t, c.Put(id, table))
		must(t, os.Chtimes(filepath.Join(folder, cacheName(id)), old, old.Add(time.Duration(i)*time.Minute)))
	}
	c, err = OpenCache(folder, 3*size) // knows only what the files say
	must(t, err)
	got, err := c.Get("go/build/id0", Options{})
	must(t, err)
	if diff := cmp.Diff(table, got); diff != "" {
		t.Error(diff)
	}
	must(t, c.Put("new", table))
	must(t, c.Put("new", table))
	for id, want := range map[string]bool{"go/build/id0": true, "go/build/id1": false, "go/build/id2": true, "new": true, "other": false} {
		got, err := c.Get(id, Options{})
		if err != nil || (got != nil) != want {
			t.Errorf("%s: %v, %v; want %v", id, got != nil, err, want)
		}
	}
	if c.total != 3*size {
		t.Errorf("counted %d bytes, want %d", c.total, 3*size)
	}
}

// TestCacheCorrupt: a file that isn't a table is an error once, and then gone.
func TestCacheCorrupt(t *testing.T) {
	folder := t.TempDir()
	must(t, os.WriteFile(filepath.Join(folder, cacheName("id")), make([]byte, 1000), 0o600))
	c, err := OpenCache(folder, 1<<20)
	must(t, err)
	if _, err := c.Get("id", Options{}); !errors.Is(err, errCorrupt) {
		t.Errorf("got %v", err)
	}
	if got, err := c.Get("id", Options{}); got != nil || err != nil {
		t.Errorf("afterwards: %v, %v", got, err)
	}
	if c.total != 0 {
		t.Errorf("counted %d bytes", c.total)
	}
}

// TestCacheVersion: a table of another version is no table, and gone.
func TestCacheVersion(t *testing.T) {
	folder := t.TempDir()
	table := encode(t, build(t, compile(t, "gcc", "bare.c", "-nostdlib")))
	table[len(magic)-1]--
	must(t, os.WriteFile(filepath.Join(folder, cacheName("id")), table, 0o600))
	c, err := OpenCache(folder, 1<<20)
	must(t, err)
	if got, err := c.Get("id", Options{}); got != nil || err != nil {
		t.Errorf("got %v, %v", got, err)
	}
	if left, err := os.ReadDir(folder); len(left) != 0 || err != nil {
		t.Errorf("left %v, %v", left, err)
	}
}

// TestCacheTooLarge: a table larger than the cache doesn't drive out the others.
func TestCacheTooLarge(t *testing.T) {
	small := build(t, compile(t, "gcc", "bare.c", "-nostdlib"))
	c, err := OpenCache(t.TempDir(), int64(small.encodedSize()))
	must(t, err)
	must(t, c.Put("small", small))
	must(t, c.Put("large", build(t, libc)))
	for id, want := range map[string]bool{"small": true, "large": false} {
		if got, err := c.Get(id, Options{}); err != nil || (got != nil) != want {
			t.Errorf("%s: %v, %v; want %v", id, got != nil, err, want)
		}
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
