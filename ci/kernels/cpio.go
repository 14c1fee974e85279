// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path"
)

// archive writes an initramfs: a cpio archive in the "newc" format, described in the kernel's
// Documentation/driver-api/early-userspace/buffer-format.rst.
type archive struct {
	out   io.Writer
	inode int
	dirs  map[string]bool
}

// Types of inodes, as in stat(2).
const (
	modeDir    = 0o040755
	modeFile   = 0o100755
	modeLink   = 0o120777
	modeDevice = 0o020600
)

func newArchive(out io.Writer) *archive {
	return &archive{out: out, dirs: map[string]bool{".": true}}
}

// addFile packs a file of the host, or a symbolic link, under the given name, without a leading slash, and makes the folders that it needs.
func (a *archive) addFile(name, hostPath string) error {
	if err := a.addDir(path.Dir(name)); err != nil {
		return err
	}
	if target, err := os.Readlink(hostPath); err == nil {
		return a.entry(name, modeLink, 0, 0, []byte(target))
	}
	data, err := os.ReadFile(hostPath)
	if err != nil {
		return err
	}
	return a.entry(name, modeFile, 0, 0, data)
}

// addDir packs a folder and those above it, each once.
func (a *archive) addDir(name string) error {
	if a.dirs[name] {
		return nil
	}
	if err := a.addDir(path.Dir(name)); err != nil {
		return err
	}
	a.dirs[name] = true
	return a.entry(name, modeDir, 0, 0, nil)
}

// addDevice packs a character device.
func (a *archive) addDevice(name string, major, minor int) error {
	if err := a.addDir(path.Dir(name)); err != nil {
		return err
	}
	return a.entry(name, modeDevice, major, minor, nil)
}

// close ends the archive.
func (a *archive) close() error {
	return a.entry("TRAILER!!!", 0, 0, 0, nil)
}

// entry writes a header, a name and data, each padded to four bytes.
func (a *archive) entry(name string, mode, major, minor int, data []byte) error {
	a.inode++
	var b bytes.Buffer
	const links, none = 1, 0
	b.WriteString("070701")
	for _, field := range []int{a.inode, mode, none, none, links, none, len(data), none, none, major, minor, len(name) + 1, none} {
		fmt.Fprintf(&b, "%08x", field)
	}
	b.WriteString(name + "\x00")
	pad(&b)
	b.Write(data)
	pad(&b)
	_, err := b.WriteTo(a.out)
	return err
}

// pad fills up to a multiple of four bytes.
func pad(b *bytes.Buffer) {
	for b.Len()%4 != 0 {
		b.WriteByte(0)
	}
}
