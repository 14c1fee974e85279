// SPDX-License-Identifier: Apache-2.0

package profiler

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"

	"golang.org/x/sys/unix"
)

// Tables are kept on disk for later recordings, and the name under which one is kept has to stand for the content that it was made of: who could
// have the table of a file of theirs taken for that of another would mislead all later recordings of everybody. A build ID will not do, for it is what
// a file says of itself, and those that the Go tool chain links have none of the usual kind.
//
// Where the kernel itself keeps inodes and times, device, inode, size and times will do: each change sets the time of the last change to now, which
// nobody can set otherwise, so what has the same is the same. They cost a system call. Other file systems say what whoever mounted them likes. FUSE
// can be mounted by any user, and an overlay, as containers have it, passes on what is below. There the content is hashed, block by block, and
// the table made of blocks that are compared with these sums when they are read again, for a second reading may be told something else.

const (
	blockSize = 64 << 10
	maxHashed = 1 << 30 // bytes of a file; the table of a larger one is not kept
)

// faithful are the file systems that keep times of their own, and that nobody but root mounts, or that are made anew in memory.
var faithful = []int64{unix.EXT4_SUPER_MAGIC, unix.XFS_SUPER_MAGIC, unix.BTRFS_SUPER_MAGIC, unix.F2FS_SUPER_MAGIC, unix.TMPFS_MAGIC}

// identity is what stands for the content of a file.
type identity struct {
	key     string      // "": nothing does
	content io.ReaderAt // the file, which fails where it isn't any more what key stands for
	file    *os.File    // nil: content sees to it that it is
}

// identify finds the identity of a file of size bytes. file is nil for what has no file system.
func identify(r io.ReaderAt, size int64, file *os.File) (identity, error) {
	if file != nil {
		var fs unix.Statfs_t
		if err := unix.Fstatfs(int(file.Fd()), &fs); err != nil {
			return identity{}, fmt.Errorf("file system of %s: %w", file.Name(), err)
		}
		if slices.Contains(faithful, fs.Type) {
			key, err := inodeKey(file)
			return identity{key, r, file}, err
		}
	}
	if size > maxHashed {
		return identity{content: r}, nil
	}
	b := &blocks{file: r, size: size}
	err := b.hash()
	return identity{key: b.key(), content: b}, err
}

// inodeKey tells a file by what its file system says of it.
func inodeKey(file *os.File) (string, error) {
	var st unix.Stat_t
	if err := unix.Fstat(int(file.Fd()), &st); err != nil {
		return "", fmt.Errorf("%s: %w", file.Name(), err)
	}
	return fmt.Sprintf("inode %d %d %d %d.%d %d.%d", st.Dev, st.Ino, st.Size, st.Mtim.Sec, st.Mtim.Nsec, st.Ctim.Sec, st.Ctim.Nsec), nil
}

// holds says whether the file still is what key stands for.
func (id *identity) holds() bool {
	if id.file == nil {
		return id.key != ""
	}
	key, err := inodeKey(id.file)
	return err == nil && key == id.key
}

// blocks reads a file whose every block has to be the one that was hashed.
type blocks struct {
	file io.ReaderAt
	size int64
	sums [][sha256.Size]byte
	last int64 // number of the block in buf
	buf  []byte
}

var errChanged = errors.New("file changed while it was read")

// hash reads all blocks.
func (b *blocks) hash() error {
	for n := int64(0); n*blockSize < b.size; n++ {
		if err := b.read(n); err != nil {
			return err
		}
		b.sums = append(b.sums, sha256.Sum256(b.buf))
	}
	return nil
}

// key is the same for the same content.
func (b *blocks) key() string {
	all := sha256.New()
	for i := range b.sums {
		all.Write(b.sums[i][:])
	}
	return "content " + hex.EncodeToString(all.Sum(binary.LittleEndian.AppendUint64(nil, uint64(b.size))))
}

// read fills buf with block n.
func (b *blocks) read(n int64) error {
	b.last = n
	b.buf = append(b.buf[:0], make([]byte, min(blockSize, b.size-n*blockSize))...)
	if _, err := b.file.ReadAt(b.buf, n*blockSize); err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	return nil
}

// ReadAt is that of an [io.ReaderAt].
func (b *blocks) ReadAt(p []byte, off int64) (int, error) {
	done := 0
	for done < len(p) {
		at := off + int64(done)
		if at < 0 || at >= b.size {
			return done, io.EOF
		}
		if n := at / blockSize; b.last != n || len(b.buf) == 0 {
			if err := b.read(n); err != nil {
				return done, err
			}
			if sha256.Sum256(b.buf) != b.sums[n] {
				b.buf = b.buf[:0]
				return done, errChanged
			}
		}
		done += copy(p[done:], b.buf[at%blockSize:])
	}
	return done, nil
}
