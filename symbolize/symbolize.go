// SPDX-License-Identifier: Apache-2.0

// Package symbolize gives the addresses of a pprof profile their names: it fills functions, files, lines and inlined frames
// into an existing profile, in place.
//
// A profile reaches this package with locations that are addresses in mappings. Each mapping belongs to one kind, and each
// kind has one source, in a file of its own:
//
//	kernel.go   [kernel.kallsyms], [module], [bpf]   /proc/kallsyms, read once
//	elf.go      files and [vdso]                     .symtab and .dynsym (symtab.go), debug information (native.go),
//	                                                 and for Go programs pclntab (pclntab.go)
//	perfmap.go  memory without a file                the perf map of the process' JIT; or its jitdump (jitdump.go);
//	                                                 names that V8 and HotSpot write are
//	                                                 read by v8.go and jvm.go
//	vsyscall.go [vsyscall]                           the three addresses of its ABI
//
// The work is asked for and done in bulk: the addresses of a source are sorted first, then its table is streamed past them (or,
// for pclntab, searched), so memory grows with the addresses that are wanted and not with the tables, and one file is opened
// once however many mappings show it.
//
// What is read here belongs to the programs that were profiled, so it is hostile: every length has a bound, loops that a
// table could prolong have a budget, and a table that lies can give wrong names for its own file and nothing more.
//
// A location that can't be named keeps its mapping and address and has no lines; the report says why. That is
// better than a guess: a name from a file that was replaced since misleads more than an address does.
package symbolize

import (
	"fmt"
	"io"
	"os"

	"github.com/google/pprof/profile"

	"github.com/assaylab/assay/symbolize/debugfile"
)

// Object is an open ELF image of a mapping: a file, or bytes copied from memory.
type Object interface {
	io.ReaderAt
	io.Closer
	Size() int64
}

// Source opens what stands behind a user mapping of a profile. An error that is fs.ErrNotExist says that it is gone.
type Source interface {
	// Object opens the ELF file behind a mapping; for File "[vdso]" the image that the kernel gave the process.
	Object(m *profile.Mapping) (Object, error)
	// PerfMap opens the perf map (/tmp/perf-PID.map) of the process behind an anonymous mapping. Where the reader has the
	// Stat method of an *os.File, the mappings of one process share one reading.
	PerfMap(m *profile.Mapping) (io.ReadCloser, error)
	// JITDump opens the jitdump (jit-PID.dump) of the process behind an anonymous mapping.
	JITDump(m *profile.Mapping) (io.ReadCloser, error)
}

// Options change where names come from and how they are written. The zero value, like nil, means the running kernel.
type Options struct {
	// KernelNames asks the running kernel itself for the symbols of sorted addresses: "name", or "name [module]", "" for none. It is
	// tried before Kallsyms, which serves when it is nil or returns an error.
	KernelNames func(addresses []uint64) ([]string, error)
	// Kallsyms opens the symbols of the kernel that was profiled; nil opens /proc/kallsyms.
	Kallsyms func() (io.ReadCloser, error)
	// LeaveFiles leaves the addresses of files to a later call, which may be on another machine. The kernel, the vdso and code made at run
	// time are named all the same: their names are known only where and when the profile was recorded.
	LeaveFiles bool
	// DebugFiles finds the debug files of stripped programs, and parts of debug information that lie in files of their own; nil
	// uses only what each file has itself.
	DebugFiles *debugfile.Finder
	// Names says how native functions are called; the zero value keeps names short and tells clones of a function apart.
	Names NameStyle
	// KernelBuildID is the GNU build ID of the kernel that Kallsyms speaks of, in hexadecimal. When it and the build ID of the
	// [kernel.kallsyms] mapping are both known and differ, the kernel's frames stay unnamed. "" doesn't check.
	KernelBuildID string
}

func openKallsyms() (io.ReadCloser, error) { return os.Open("/proc/kallsyms") }

// Profile names the locations of p that have no lines yet, and sets the Has fields of the mappings of these. Location
// addresses must be fit for look-up: return addresses were reduced by one. It never removes or changes a location.
//
// The error is that p isn't valid; p is then unchanged. All that stands in the way of names is in the report instead.
func Profile(p *profile.Profile, src Source, opts *Options) (*Report, error) {
	if err := p.CheckValid(); err != nil {
		return nil, fmt.Errorf("symbolize: %w", err)
	}
	if opts == nil {
		opts = &Options{}
	}
	targets := newTargets(p)
	funcs := newFunctions(p, opts.Names)
	byKind := make(map[kind][]*target)
	for _, t := range targets {
		k := kindOf(t.mapping)
		byKind[k] = append(byKind[k], t)
	}
	nameNothing(byKind[kindNone])
	nameKernel(byKind[kindKernel], opts, funcs)
	nameVsyscall(byKind[kindVsyscall], funcs)
	if opts.LeaveFiles {
		byKind[kindFile] = leave(byKind[kindFile])
	}
	jit := nameFiles(byKind[kindFile], src, opts, funcs)
	jit = append(byKind[kindAnon], jit...)
	nameJITDumps(jit, src, funcs)
	namePerfMaps(jit, src, funcs)

	report := &Report{}
	for _, t := range targets {
		t.finish()
		report.Mappings = append(report.Mappings, t.report)
	}
	return report, nil
}

// leave notes why the addresses of files have no names, and gives back the other mappings.
func leave(targets []*target) (rest []*target) {
	for _, t := range targets {
		if t.mapping.File == "[vdso]" || memoryFile(t.mapping.File) {
			rest = append(rest, t)
			continue
		}
		t.unnamed(LeftForLater, "", len(t.locations))
	}
	return rest
}

// nameNothing is the source of locations outside every mapping.
func nameNothing(targets []*target) {
	for _, t := range targets {
		t.unnamed(NoMapping, "", len(t.locations))
	}
}
