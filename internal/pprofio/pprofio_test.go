// SPDX-License-Identifier: Apache-2.0

package pprofio

import (
	"bytes"
	"compress/gzip"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/pprof/profile"
	"golang.org/x/sys/unix"
)

// sample returns a profile that has each kind of content.
func sample() *profile.Profile {
	m := &profile.Mapping{ID: 1, Start: 0x1000, Limit: 0x2000, Offset: 0x200, File: "/bin/true", BuildID: "abcd"}
	f := &profile.Function{ID: 1, Name: "main", SystemName: "main", Filename: "main.c", StartLine: 3}
	named := &profile.Location{ID: 1, Mapping: m, Address: 0x1010, Line: []profile.Line{{Function: f, Line: 4}}}
	bare := &profile.Location{ID: 2, Address: 0xffff800000000010}
	return &profile.Profile{
		SampleType: []*profile.ValueType{{Type: "samples", Unit: "count"}, {Type: "cpu", Unit: "nanoseconds"}},
		PeriodType: &profile.ValueType{Type: "cpu", Unit: "nanoseconds"},
		Period:     10, TimeNanos: 1, DurationNanos: 2, DefaultSampleType: "cpu", Comments: []string{"one\ntwo"},
		Mapping: []*profile.Mapping{m}, Function: []*profile.Function{f}, Location: []*profile.Location{named, bare},
		Sample: []*profile.Sample{{
			Location: []*profile.Location{bare, named}, Value: []int64{1, 10},
			Label:    map[string][]string{"comm": {"true"}, "wait": {"io"}},
			NumLabel: map[string][]int64{"pid": {7}, "cpu": {0}},
			NumUnit:  map[string][]string{"cpu": {"id"}},
		}},
	}
}

func uncompressed(t *testing.T, p *profile.Profile) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := p.WriteUncompressed(&b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func compressed(t testing.TB, p *profile.Profile) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := Write(&b, p); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestWriteReadWriteIsStable(t *testing.T) {
	first := sample()
	file := compressed(t, first)
	read, err := Read(bytes.NewReader(file))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(sample().String(), read.String()); diff != "" {
		t.Errorf("content changed: %s", diff)
	}
	if !bytes.Equal(uncompressed(t, first), uncompressed(t, read)) {
		t.Error("uncompressed bytes changed")
	}
	if !bytes.Equal(file, compressed(t, read)) {
		t.Error("compressed bytes changed")
	}
}

// fullAfter is a disk with so many bytes left.
type fullAfter int

func (n *fullAfter) Write(b []byte) (int, error) {
	if len(b) > int(*n) {
		return int(*n), unix.ENOSPC
	}
	*n -= fullAfter(len(b))
	return len(b), nil
}

func TestEveryFailedWriteIsReported(t *testing.T) {
	size := len(compressed(t, sample()))
	for n := range size {
		disk := fullAfter(n)
		if err := Write(&disk, sample()); !errors.Is(err, unix.ENOSPC) {
			t.Fatalf("disk full after %d of %d bytes: %v", n, size, err)
		}
	}
	disk := fullAfter(size)
	if err := Write(&disk, sample()); err != nil {
		t.Errorf("disk of just the size: %v", err)
	}
}

func TestInvalidProfileIsNotWritten(t *testing.T) {
	for name, spoil := range map[string]func(*profile.Profile){
		"too many values":   func(p *profile.Profile) { p.Sample[0].Value = []int64{1, 2, 3} },
		"foreign mapping":   func(p *profile.Profile) { p.Mapping = nil },
		"location ID twice": func(p *profile.Profile) { p.Location[1].ID = 1 },
		"units missing":     func(p *profile.Profile) { p.Sample[0].NumLabel["cpu"] = []int64{1, 2} },
	} {
		p := sample()
		spoil(p)
		var b bytes.Buffer
		if err := Write(&b, p); err == nil || !strings.HasPrefix(err.Error(), "invalid profile: ") || b.Len() != 0 {
			t.Errorf("%s: error %v, %d bytes written", name, err, b.Len())
		}
		folder := t.TempDir()
		if err := WriteFile(filepath.Join(folder, "p.pb.gz"), p); err == nil {
			t.Errorf("%s: written to a file", name)
		}
		if entries, err := os.ReadDir(folder); err != nil || len(entries) != 0 {
			t.Errorf("%s: left %v, %v", name, entries, err)
		}
	}
}

func TestWriteFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "p.pb.gz")
	if err := WriteFile(path, sample()); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	p, err := Read(f)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(sample().String(), p.String()); diff != "" {
		t.Error(diff)
	}
}

func TestOddBytesAreEscaped(t *testing.T) {
	p := sample()
	p.Sample[0].Label = map[string][]string{"comm": {"a\xffb", ""}, "wait": {""}}
	p.Mapping[0].File = "/bin/\xc3\x28"
	p.Function[0].Name = "f\x80ü\ufffd"
	p.Comments[0] = "\xfe"
	got, err := Read(bytes.NewReader(compressed(t, p)))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string][]string{"comm": {`a\xffb`}}, got.Sample[0].Label); diff != "" {
		t.Error(diff)
	}
	names := []string{got.Mapping[0].File, got.Function[0].Name, got.Comments[0]}
	if diff := cmp.Diff([]string{`/bin/\xc3(`, "f\\x80ü\ufffd", `\xfe`}, names); diff != "" {
		t.Error(diff)
	}
}

func gzipped(t testing.TB, data []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	zw := gzip.NewWriter(&b)
	if _, err := zw.Write(data); err != nil {
		t.Fatal(err)
	}
	if err := zw.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestReadIsBounded(t *testing.T) {
	raw := uncompressed(t, sample())
	for name, input := range map[string][]byte{"plain": raw, "compressed": gzipped(t, raw)} {
		if _, err := read(bytes.NewReader(input), int64(len(raw))); err != nil {
			t.Errorf("%s at the limit: %v", name, err)
		}
		if _, err := read(bytes.NewReader(input), int64(len(raw))-1); !errors.Is(err, ErrTooLarge) {
			t.Errorf("%s over the limit: %v", name, err)
		}
	}
	if _, err := Read(bytes.NewReader(gzipped(t, gzipped(t, raw)))); err == nil {
		t.Error("compressed twice: read")
	}
}

func TestReadRefuses(t *testing.T) {
	whole := compressed(t, sample())
	for name, input := range map[string]string{
		"empty": "", "one byte": "\x1f", "text": "hello, world\n", "cut short": string(whole[:len(whole)-9]),
		"flipped": string(whole[:len(whole)-8]) + "\x00\x00\x00\x00" + string(whole[len(whole)-4:]),
	} {
		p, err := Read(strings.NewReader(input))
		if err == nil || p != nil || !strings.HasPrefix(err.Error(), "read profile: ") {
			t.Errorf("%s: %v, %v", name, p, err)
		}
	}
}

// FuzzRead: whatever Read takes, Write can write, and what is written is stable.
func FuzzRead(f *testing.F) {
	f.Add(compressed(f, sample()))
	var raw bytes.Buffer
	if err := sample().WriteUncompressed(&raw); err != nil {
		f.Fatal(err)
	}
	f.Add(raw.Bytes())
	f.Fuzz(func(t *testing.T, data []byte) {
		p, err := read(bytes.NewReader(data), 1<<20)
		if err != nil {
			return
		}
		var file bytes.Buffer
		if err := Write(&file, p); err != nil {
			return // what pprof takes for valid when reading and we don't when writing
		}
		again, err := Read(bytes.NewReader(file.Bytes()))
		if err != nil {
			t.Fatalf("own output refused: %v", err)
		}
		if !bytes.Equal(uncompressed(t, p), uncompressed(t, again)) {
			t.Error("uncompressed bytes changed")
		}
	})
}
