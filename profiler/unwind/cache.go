// SPDX-License-Identifier: Apache-2.0

package unwind

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/assaylab/assay/internal/atomicfile"
)

const cacheSuffix = ".unwind"

// Cache keeps tables in a folder, one file each, by keys of any length, which stand for the content of a file. Each look-up renews the time of a file, and when all of them
// take more than the cache may, those that weren't asked for the longest go. The methods may be called from several goroutines;
// several processes can share a folder, and then each sees to the files that it knew at its start.
type Cache struct {
	folder string
	max    int64 // bytes

	mu    sync.Mutex
	files map[string]cached
	total int64
}

type cached struct {
	size int64
	used time.Time
}

// OpenCache makes the folder, for its owner alone, unless it is there. The cache takes at most maxBytes.
func OpenCache(folder string, maxBytes int64) (*Cache, error) {
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return nil, fmt.Errorf("cache of unwind tables: %w", err)
	}
	entries, err := os.ReadDir(folder)
	if err != nil {
		return nil, fmt.Errorf("cache of unwind tables: %w", err)
	}
	c := &Cache{folder: folder, max: maxBytes, files: map[string]cached{}}
	for _, e := range entries {
		if info, err := e.Info(); err == nil && info.Mode().IsRegular() && strings.HasSuffix(e.Name(), cacheSuffix) {
			c.files[e.Name()] = cached{info.Size(), info.ModTime()}
			c.total += info.Size()
		}
	}
	return c, nil
}

// cacheName is the name of a file.
func cacheName(key string) string {
	sum := sha256.Sum256([]byte(key))
	return hex.EncodeToString(sum[:16]) + cacheSuffix
}

// Get gives the table of a key, nil when the cache doesn't have it. A file that can't be decoded is removed and its error given:
// what it said has to be built again. One that another version of Assay wrote is removed without a word.
func (c *Cache) Get(key string, options Options) (*Table, error) {
	name := cacheName(key)
	path := filepath.Join(c.folder, name)
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("cache of unwind tables: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("cache of unwind tables: %w", err)
	}
	t, err := Decode(f, info.Size(), options)
	if errors.Is(err, errVersion) {
		return nil, c.remove(name)
	}
	if errors.Is(err, errCorrupt) {
		err = errors.Join(err, c.remove(name))
	}
	if err != nil {
		return nil, fmt.Errorf("cache of unwind tables: %s: %w", path, err)
	}
	now := time.Now()
	if err := os.Chtimes(path, now, now); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("cache of unwind tables: %w", err)
	}
	c.know(name, cached{info.Size(), now})
	return t, nil
}

// Put writes a table, and makes room for it. A table larger than the whole cache is left out.
func (c *Cache) Put(key string, t *Table) error {
	size := int64(t.encodedSize())
	if size > c.max {
		return nil
	}
	name := cacheName(key)
	if err := c.makeRoom(name, size); err != nil {
		return fmt.Errorf("cache of unwind tables: %w", err)
	}
	if err := atomicfile.Write(filepath.Join(c.folder, name), 0o600, t.Encode); err != nil {
		return fmt.Errorf("cache of unwind tables: %w", err)
	}
	c.know(name, cached{size, time.Now()})
	return nil
}

func (c *Cache) know(name string, f cached) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.total += f.size - c.files[name].size
	c.files[name] = f
}

// makeRoom removes files, but for one, until there is room for a size in its place.
func (c *Cache) makeRoom(name string, size int64) error {
	for _, oldest := range c.oldest(name, size) {
		if err := c.remove(oldest); err != nil {
			return err
		}
	}
	return nil
}

// oldest names the files to remove.
func (c *Cache) oldest(name string, size int64) []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	over := c.total - c.files[name].size + size - c.max
	if over <= 0 {
		return nil
	}
	var names []string
	for n := range c.files {
		if n != name {
			names = append(names, n)
		}
	}
	slices.SortFunc(names, func(a, b string) int { return cmp.Or(c.files[a].used.Compare(c.files[b].used), cmp.Compare(a, b)) })
	for i, n := range names {
		if over -= c.files[n].size; over <= 0 {
			return names[:i+1]
		}
	}
	return names
}

func (c *Cache) remove(name string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.total -= c.files[name].size
	delete(c.files, name)
	if err := os.Remove(filepath.Join(c.folder, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
