// SPDX-License-Identifier: Apache-2.0

package symbolize

import (
	"bytes"
	"debug/elf"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/pprof/profile"

	"github.com/assaylab/assay/internal/elfx"
	"github.com/assaylab/assay/internal/elfx/elfxtest"
)

// run gives the standard output of a command.
func run(t testing.TB, stdin, name string, args ...string) string {
	t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Stdin = strings.NewReader(stdin)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, errs.String())
	}
	return out.String()
}

// write puts text in a new file and returns its path.
func write(t testing.TB, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// files is a Source of files on disk: the File of a mapping is their path. Perf maps are text by the File of a mapping.
type files struct {
	perfMaps map[string]string
	jitDumps map[string]string
	opened   map[string]int
	open     int // objects that weren't closed yet
}

func (s *files) Object(m *profile.Mapping) (Object, error) {
	b, err := os.ReadFile(m.File)
	if err != nil {
		return nil, err
	}
	if s.opened == nil {
		s.opened = make(map[string]int)
	}
	s.opened[m.File]++
	s.open++
	return &object{bytes.NewReader(b), s}, nil
}

func (s *files) PerfMap(m *profile.Mapping) (io.ReadCloser, error) {
	text, ok := s.perfMaps[m.File]
	if !ok {
		return nil, fmt.Errorf("perf map: %w", fs.ErrNotExist)
	}
	return io.NopCloser(strings.NewReader(text)), nil
}

func (s *files) JITDump(m *profile.Mapping) (io.ReadCloser, error) {
	dump, ok := s.jitDumps[m.File]
	if !ok {
		return nil, fmt.Errorf("jitdump: %w", fs.ErrNotExist)
	}
	return io.NopCloser(strings.NewReader(dump)), nil
}

type object struct {
	*bytes.Reader
	source *files
}

func (o *object) Close() error {
	o.source.open--
	return nil
}

// newProfile is a profile with the given mappings, and a location with a sample for each of their addresses.
func newProfile(mappings map[*profile.Mapping][]uint64) *profile.Profile {
	p := &profile.Profile{SampleType: []*profile.ValueType{{Type: "samples", Unit: "count"}}}
	for m, addresses := range mappings {
		m.ID = uint64(len(p.Mapping) + 1)
		p.Mapping = append(p.Mapping, m)
		for _, a := range addresses {
			l := &profile.Location{ID: uint64(len(p.Location) + 1), Mapping: m, Address: a}
			p.Location = append(p.Location, l)
			p.Sample = append(p.Sample, &profile.Sample{Location: []*profile.Location{l}, Value: []int64{1}})
		}
	}
	return p
}

// symbolized runs Profile and checks what must hold for each of its results.
func symbolized(t testing.TB, p *profile.Profile, src Source, opts *Options) *Report {
	t.Helper()
	r, err := Profile(p, src, opts)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.CheckValid(); err != nil {
		t.Errorf("the profile isn't valid any more: %v", err)
	}
	named, all := 0, 0
	for _, m := range r.Mappings {
		n := m.Named
		for _, u := range m.Unnamed {
			n += u.Locations
		}
		if n != m.Locations {
			t.Errorf("%v: %d locations, %d with a name or a reason", m.Mapping, m.Locations, n)
		}
		named, all = named+m.Named, all+m.Locations
	}
	lines := 0
	for _, l := range p.Location {
		if len(l.Line) > 0 {
			lines++
		}
	}
	if lines != named || r.Named() != named || all != len(p.Location) {
		t.Errorf("%d of %d locations have lines, the report says %d of %d", lines, len(p.Location), named, all)
	}
	return r
}

// openELF opens a file with both readers: ours, and the standard library's, which may be trusted with files of our own.
func openELF(t testing.TB, path string) (*elfx.File, *elf.File) {
	t.Helper()
	theirs, err := elf.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closing(t, theirs) })
	return elfxtest.Open(t, path), theirs
}

func closing(t testing.TB, c io.Closer) {
	if err := c.Close(); err != nil {
		t.Error(err)
	}
}

// textAddrs gives up to n vaddrs, spread over the .text section.
func textAddrs(f *elf.File, n uint64) addrs {
	s := f.Section(".text")
	step := max(1, s.Size/n) | 1
	var want addrs
	for a := s.Addr; a < s.Addr+s.Size; a += step {
		want = append(want, a)
	}
	return want
}

// hexLines is what symbolizers read.
func hexLines(want addrs) string {
	var b strings.Builder
	for _, a := range want {
		fmt.Fprintf(&b, "%#x\n", a)
	}
	return b.String()
}

func readFile(t testing.TB, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}
