// SPDX-License-Identifier: Apache-2.0

package profiler

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"testing/iotest"
)

// randomBytes are n bytes that are the same in each run.
func randomBytes(n int) []byte {
	b := make([]byte, n)
	if _, err := rand.NewChaCha8([32]byte{1}).Read(b); err != nil {
		panic(err)
	}
	return b
}

// TestIdentityOfFile: a file of the kernel's own file systems is told by its inode and times, and a change is seen.
func TestIdentityOfFile(t *testing.T) {
	content := randomBytes(1000)
	open := func(name string) *os.File {
		t.Helper()
		path := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		f, err := os.OpenFile(path, os.O_RDWR, 0)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := f.Close(); err != nil {
				t.Error(err)
			}
		})
		return f
	}
	identity := func(f *os.File) identity {
		t.Helper()
		id, err := identify(f, int64(len(content)), f)
		if err != nil {
			t.Fatal(err)
		}
		return id
	}
	f := open("a")
	first, again, other := identity(f), identity(f), identity(open("b"))
	if first.key != again.key || !first.holds() {
		t.Errorf("the same file: %q and %q", first.key, again.key)
	}
	if first.key == other.key {
		t.Errorf("two files: both %q", first.key)
	}
	if err := f.Truncate(999); err != nil {
		t.Fatal(err)
	}
	if changed := identity(f); changed.key == first.key || first.holds() {
		t.Errorf("before and after a change: both %q", first.key)
	}
}

// lie shows one content, and from the second reading on another.
type lie struct {
	first, second []byte
	read          int64
}

func (l *lie) ReadAt(p []byte, off int64) (int, error) {
	b := l.first
	if l.read >= int64(len(l.first)) {
		b = l.second
	}
	n := copy(p, b[off:])
	l.read += int64(n)
	return n, nil
}

// TestIdentityOfContent: what no file system vouches for is told by its content, which has to stay the same.
func TestIdentityOfContent(t *testing.T) {
	content := randomBytes(3*blockSize + 100)
	identity := func(r io.ReaderAt, size int) identity {
		t.Helper()
		id, err := identify(r, int64(size), nil)
		if err != nil {
			t.Fatal(err)
		}
		return id
	}
	id := identity(bytes.NewReader(content), len(content))
	if same := identity(bytes.NewReader(bytes.Clone(content)), len(content)); same.key != id.key || !id.holds() {
		t.Errorf("the same content: %q and %q", same.key, id.key)
	}
	if shorter := identity(bytes.NewReader(content), len(content)-1); shorter.key == id.key {
		t.Errorf("a byte less: %q too", id.key)
	}
	if err := iotest.TestReader(io.NewSectionReader(id.content, 0, int64(len(content))), content); err != nil {
		t.Error(err)
	}
	other := bytes.Clone(content)
	other[2*blockSize]++
	liar := identity(&lie{first: content, second: other}, len(content))
	if liar.key != id.key {
		t.Errorf("the same content at first: %q and %q", liar.key, id.key)
	}
	got := make([]byte, len(content))
	if n, err := liar.content.ReadAt(got, 0); !errors.Is(err, errChanged) || n != 2*blockSize {
		t.Errorf("another content then: %d bytes, %v", n, err)
	}
	if huge := identity(bytes.NewReader(nil), maxHashed+1); huge.key != "" || huge.holds() {
		t.Errorf("of more than is hashed: %q", huge.key)
	}
}
