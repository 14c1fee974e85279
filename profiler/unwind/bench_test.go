// SPDX-License-Identifier: Apache-2.0

package unwind

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"runtime/metrics"
	"syscall"
	"testing"
	"time"

	"github.com/assaylab/assay/internal/elfx"
)

// text counts the bytes of code of an ELF file: its executable segments.
func text(b *testing.B, f *os.File, size int64) int64 {
	b.Helper()
	image, err := elfx.Open(f, size)
	if err != nil {
		return 0
	}
	sum := uint64(0)
	for _, l := range image.Loads() {
		if l.Executable() {
			sum += l.Filesz
		}
	}
	return int64(sum)
}

// big are files with much code; what a machine lacks is left out.
func big() []string {
	var paths []string
	for _, path := range []string{
		"/lib/x86_64-linux-gnu/libc.so.6", "/usr/lib/x86_64-linux-gnu/libLLVM.so.19.1", "/usr/lib/x86_64-linux-gnu/libclang-cpp.so.19.1",
		"/usr/lib/x86_64-linux-gnu/libpython3.11.so.1.0", "/usr/bin/node", "/usr/local/go/bin/go", "/usr/lib/x86_64-linux-musl/libc.so",
	} {
		if _, err := os.Stat(path); err == nil {
			paths = append(paths, path)
		}
	}
	return paths
}

// BenchmarkBuild builds tables of big files. MB/cpu-s are megabytes of code by seconds of CPU time, which others on the machine don't spoil; B/op are
// all bytes allocated, so more than are in use at any time.
func BenchmarkBuild(b *testing.B) {
	for _, path := range big() {
		b.Run(filepath.Base(path), func(b *testing.B) {
			f, err := os.Open(path)
			if err != nil {
				b.Fatal(err)
			}
			defer f.Close()
			info, err := f.Stat()
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			var table *Table
			started := cpuTime(b)
			for b.Loop() {
				if table, err = Build(f, info.Size(), Options{}); err != nil {
					b.Fatal(err)
				}
			}
			cpu := (cpuTime(b) - started).Seconds() / float64(b.N)
			b.ReportMetric(float64(text(b, f, info.Size()))/1e6/cpu, "MB/cpu-s")
			b.ReportMetric(float64(table.Stats.Rows), "rows")
			b.ReportMetric(float64(table.Size())/float64(table.Stats.Rows), "bytes/row")
		})
	}
}

// BenchmarkDesktop builds the tables of all ELF files in /usr/bin and /usr/lib, or in the folder that ASSAY_UNWIND_FILES names, once
// each: what an operating system costs, and what is not supported in it.
func BenchmarkDesktop(b *testing.B) {
	folders := []string{"/usr/bin", "/usr/lib"}
	if only := os.Getenv("ASSAY_UNWIND_FILES"); only != "" {
		folders = []string{only}
	}
	for b.Loop() {
		s := survey{unsupported: map[Reason]int{}, seen: map[uint64]bool{}}
		for _, folder := range folders {
			if err := filepath.WalkDir(folder, s.visit(b)); err != nil {
				b.Fatal(err)
			}
		}
		s.report(b)
	}
}

type survey struct {
	files, functions, rows, rules, pages, size, lostFP, malformed, overlaps int

	code        int64
	cpu         time.Duration
	heap        uint64 // the most for one file,
	largest     string // that one
	unsupported map[Reason]int
	seen        map[uint64]bool // inodes
}

func (s *survey) visit(b *testing.B) fs.WalkDirFunc {
	return func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		if inode := info.Sys().(*syscall.Stat_t).Ino; !s.seen[inode] {
			s.seen[inode] = true
			s.add(b, path, info.Size())
		}
		return nil
	}
}

func (s *survey) add(b *testing.B, path string, size int64) {
	f, err := os.Open(path)
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	var magic [4]byte
	if _, err := f.ReadAt(magic[:], 0); err != nil || !bytes.Equal(magic[:], []byte("\x7fELF")) {
		return
	}
	runtime.GC()
	heap := heapOf(f)
	started := cpuTime(b)
	t, err := Build(heap, size, Options{})
	s.cpu += cpuTime(b) - started
	if err != nil {
		b.Logf("%s: %v", path, err)
		return
	}
	if heap.most > s.heap {
		s.heap, s.largest = heap.most, path
	}
	s.code += text(b, f, size)
	s.files++
	s.functions += t.Stats.Functions
	s.rows += t.Stats.Rows
	s.rules += len(t.Rules)
	s.pages += len(t.Pages)
	s.size += t.Size()
	s.lostFP += t.Stats.LostFP
	s.malformed += t.Stats.Malformed
	s.overlaps += t.Stats.Overlaps
	for why, n := range t.Stats.Unsupported {
		s.unsupported[why] += n
		if testing.Verbose() {
			b.Logf("%s: %d rows: %s", path, n, why)
		}
	}
	if n := t.Stats.Malformed + t.Stats.Overlaps + t.Stats.LostFP; n > 0 && testing.Verbose() {
		b.Logf("%s: %+v", path, t.Stats)
	}
}

// heapReader notes how much memory is in use, garbage included, whenever it is read from.
type heapReader struct {
	f      *os.File
	sample []metrics.Sample
	base   uint64
	most   uint64 // more than at first
}

func heapOf(f *os.File) *heapReader {
	r := &heapReader{f: f, sample: []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}}
	metrics.Read(r.sample)
	r.base = r.sample[0].Value.Uint64()
	return r
}

func (r *heapReader) ReadAt(p []byte, off int64) (int, error) {
	metrics.Read(r.sample)
	r.most = max(r.most, r.sample[0].Value.Uint64()-min(r.base, r.sample[0].Value.Uint64()))
	return r.f.ReadAt(p, off)
}

// cpuTime is what this process has used of the CPUs; the collector of garbage counts too.
func cpuTime(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func (s *survey) report(b *testing.B) {
	b.Logf("%d files, %d MB of code, %d functions, %d rows, %d rules, %d pages, %d bytes; %d frame pointers lost, %d malformed, %d overlaps, unsupported %v",
		s.files, s.code>>20, s.functions, s.rows, s.rules, s.pages, s.size, s.lostFP, s.malformed, s.overlaps, s.unsupported)
	b.Logf("most memory for %s", s.largest)
	b.ReportMetric(float64(s.size)/float64(s.rows), "bytes/row")
	b.ReportMetric(float64(s.code)/1e6/s.cpu.Seconds(), "MB/cpu-s")
	b.ReportMetric(float64(s.heap)/1e6, "MB-most")
}
