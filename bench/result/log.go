// SPDX-License-Identifier: Apache-2.0

package result

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/assaylab/assay/internal/atomicfile"
)

// A Log is a file of JSON lines that grows by whole lines. One goroutine at a time may use it, and one process: it holds a lock on the file.
type Log struct {
	f    *os.File
	path string
	sync bool

	end    int64   // of the last whole line
	starts []int64 // of the line of each record
}

// OpenLog opens the file at path for more lines, and makes it if there is none. It returns what the file holds, so that an experiment can go
// on where it ended. A last line that was not written to its end is cut off the file; Contents.Cut says so. With sync, what is appended is on
// the disk before Append returns. On an error, such as [Read]'s, the file is left as it is.
func OpenLog(path string, sync bool) (*Log, *Contents, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, nil, err // names the file
	}
	l := &Log{f: f, path: path, sync: sync}
	c, err := l.takeUp()
	if err != nil {
		return nil, nil, errors.Join(fmt.Errorf("open log %s: %w", path, err), f.Close())
	}
	return l, c, nil
}

// takeUp locks the file, reads it, and cuts off what is no whole line.
func (l *Log) takeUp() (*Contents, error) {
	err := unix.Flock(int(l.f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		return nil, errors.New("another experiment is writing to it")
	}
	if err != nil {
		return nil, fmt.Errorf("lock: %w", err)
	}
	c, err := Read(l.f)
	if err != nil {
		return nil, err
	}
	l.starts = c.starts
	if err := l.cutTo(c.end, c.Cut > 0); err != nil {
		return nil, err
	}
	if l.sync { // a file that was just made is not on the disk before its name is
		return c, atomicfile.SyncFolder(filepath.Dir(l.path))
	}
	return c, nil
}

// AppendEnvironment adds e. It belongs before the first record that names it.
func (l *Log) AppendEnvironment(e *Environment) error {
	line, err := e.line()
	if err != nil {
		return fmt.Errorf("append to %s: %w", l.path, err)
	}
	return l.write(line)
}

// Append adds records, such as those of a block, by one write: all of them or, on an error, none, unless the machine stops meanwhile.
func (l *Log) Append(records ...Record) error {
	var lines []byte
	starts := l.starts
	for i := range records {
		line, err := records[i].line()
		if err != nil {
			return fmt.Errorf("append to %s: %w", l.path, err)
		}
		starts = append(starts, l.end+int64(len(lines)))
		lines = append(lines, line...)
	}
	if err := l.write(lines); err != nil {
		return err
	}
	l.starts = starts
	return nil
}

// Keep cuts the log off after its first n records. It is for a block of which some records are missing: it will be run again, and must not be
// there twice. With n records or fewer nothing changes.
func (l *Log) Keep(n int) error {
	if n >= len(l.starts) {
		return nil
	}
	if err := l.cutTo(l.starts[n], true); err != nil {
		return fmt.Errorf("cut %s: %w", l.path, err)
	}
	l.starts = l.starts[:n]
	return nil
}

// Close ends the writing and gives up the lock.
func (l *Log) Close() error { return l.f.Close() }

// write adds lines at the end. What a failed write leaves is cut off, so that the next one doesn't go on in the middle of a line.
func (l *Log) write(lines []byte) error {
	_, err := l.f.Write(lines)
	if err == nil && l.sync {
		err = l.f.Sync()
	}
	if err != nil {
		return errors.Join(fmt.Errorf("append: %w", err), l.cutTo(l.end, true)) // the cause names the file
	}
	l.end += int64(len(lines))
	return nil
}

// cutTo makes end the place where the next line goes; with cut it is the end of the file too.
func (l *Log) cutTo(end int64, cut bool) error {
	if cut {
		if err := l.f.Truncate(end); err != nil {
			return err
		}
	}
	_, err := l.f.Seek(end, io.SeekStart)
	l.end = end
	return err
}
