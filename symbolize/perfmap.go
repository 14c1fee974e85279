// SPDX-License-Identifier: Apache-2.0

package symbolize

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"

	"github.com/google/pprof/profile"
)

const (
	maxPerfMapName = 512     // bytes of a name that are kept
	maxPerfMapLine = 4096    // longer lines are passed over
	maxPerfMapSize = 1 << 30 // bytes of one map that are read
	// maxPerfMapHits bounds how often an address may be named anew; a map says each of its addresses once or a few times.
	maxPerfMapHits = 1 << 26
)

// namePerfMaps names code that a JIT compiler made, from the map that the JIT writes (tools/perf/Documentation/jit-interface.txt
// of the kernel). Processes are told apart by the identity of the open file, for all have mappings named alike.
func namePerfMaps(targets []*target, src Source, funcs *functions) {
	var maps []*perfMapFile
	for _, t := range targets {
		if len(t.locations) > 0 {
			maps = addToPerfMap(maps, t, src)
		}
	}
	for _, m := range maps {
		m.name(src, funcs)
	}
}

// perfMapFile is one perf map and the mappings of its process. It isn't kept open: there may be more of them than we may have
// open files.
type perfMapFile struct {
	info    fs.FileInfo // nil when the reader doesn't tell
	targets []*target
}

func addToPerfMap(maps []*perfMapFile, t *target, src Source) []*perfMapFile {
	info, err := statPerfMap(src, t.mapping)
	if err != nil {
		why := perfMapError(err)
		t.unnamed(why.Reason, why.Detail, len(t.locations))
		return maps
	}
	for _, m := range maps {
		if info != nil && m.info != nil && os.SameFile(info, m.info) {
			m.targets = append(m.targets, t)
			return maps
		}
	}
	return append(maps, &perfMapFile{info: info, targets: []*target{t}})
}

func statPerfMap(src Source, m *profile.Mapping) (info fs.FileInfo, err error) {
	r, err := src.PerfMap(m)
	if err != nil {
		return nil, err
	}
	if f, ok := r.(interface{ Stat() (fs.FileInfo, error) }); ok {
		info, err = f.Stat()
	}
	return info, errors.Join(err, r.Close())
}

func perfMapError(err error) Unnamed {
	if errors.Is(err, fs.ErrNotExist) {
		return Unnamed{Reason: NoPerfMap}
	}
	return Unnamed{Reason: BadPerfMap, Detail: err.Error()}
}

func (m *perfMapFile) name(src Source, funcs *functions) {
	q := &query{funcs: funcs}
	q.addAll(m.targets)
	want := q.addrs()
	found, err := readPerfMap(src, m.targets[0].mapping, want)
	if err != nil {
		q.refuse(perfMapError(err))
		return
	}
	q.answer(want, found, Unnamed{Reason: NotCovered})
}

func readPerfMap(src Source, m *profile.Mapping, want addrs) ([][]frame, error) {
	r, err := src.PerfMap(m)
	if err != nil {
		return nil, err
	}
	names, err := scanPerfMap(io.LimitReader(r, maxPerfMapSize), want)
	if err := errors.Join(err, r.Close()); err != nil {
		return nil, err
	}
	found := make([][]frame, len(want))
	for i, n := range names {
		if n != "" {
			found[i] = []frame{jitFrame(n)}
		}
	}
	return found, nil
}

// scanPerfMap gives the names of the wanted addresses, "" for those that the map lacks. A JIT frees code and puts other code in
// its place, appending to the map; so the last entry for an address is the one that holds.
func scanPerfMap(r io.Reader, want addrs) ([]string, error) {
	names := make([]string, len(want))
	b := bufio.NewReaderSize(r, maxPerfMapLine)
	whole := true // what ReadSlice gives next starts a line
	for hits := 0; hits < maxPerfMapHits; {
		line, err := b.ReadSlice('\n')
		if whole && !errors.Is(err, bufio.ErrBufferFull) {
			hits += nameRange(names, want, line)
		}
		whole = !errors.Is(err, bufio.ErrBufferFull)
		switch {
		case err == io.EOF:
			return names, nil
		case err != nil && whole:
			return nil, err
		}
	}
	return nil, errors.New("entries overlap too often")
}

// nameRange names the addresses that a line covers, and counts them.
func nameRange(names []string, want addrs, line []byte) int {
	e, ok := parsePerfMapEntry(line)
	if !ok {
		return 0
	}
	i := want.from(e.start)
	if i == len(want) || want[i]-e.start >= e.size {
		return 0
	}
	name, hits := string(e.name), 0
	for ; i < len(want) && want[i]-e.start < e.size; i++ {
		names[i] = name
		hits++
	}
	return hits
}

// perfMapEntry is a line of a perf map. Its name is only lent by the parser.
type perfMapEntry struct {
	start, size uint64
	name        []byte
}

// parsePerfMapEntry reads "START SIZE name", where the numbers are hexadecimal with or without 0x, and the name may have
// spaces.
func parsePerfMapEntry(line []byte) (perfMapEntry, bool) {
	start, rest, ok := cutHexField(line)
	if !ok {
		return perfMapEntry{}, false
	}
	size, rest, ok := cutHexField(rest)
	if !ok {
		return perfMapEntry{}, false
	}
	name := bytes.TrimSpace(rest)
	name = name[:min(len(name), maxPerfMapName)]
	return perfMapEntry{start, size, name}, size > 0 && len(name) > 0
}

// cutHexField reads a number and the blanks behind it.
func cutHexField(p []byte) (v uint64, rest []byte, ok bool) {
	if len(p) > 1 && p[0] == '0' && p[1]|0x20 == 'x' {
		p = p[2:]
	}
	v, rest, ok = cutHex(p)
	if !ok || len(rest) == 0 || rest[0] != ' ' && rest[0] != '\t' {
		return 0, nil, false
	}
	return v, bytes.TrimLeft(rest, " \t"), true
}
