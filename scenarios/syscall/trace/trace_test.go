// SPDX-License-Identifier: Apache-2.0

package trace

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var header = Header{Arch: "amd64", Kernel: "6.18.0", Command: []string{"true"}, Began: time.Unix(1, 0).UTC()}

// some returns n calls with all kinds of fields, not in the order of their starts.
func some(n int) []Call {
	all := make([]Call, n)
	for i := range all {
		all[i] = Call{
			Thread: int32(1 + i%3), Process: 1, Name: []string{"read", "openat", "rename"}[i%3],
			Start: time.Duration(i*1000 - i%7), Duration: time.Duration(i%500 - 1), Result: int64(-i % 40),
			Args: [6]uint64{uint64(i), 0, math.MaxUint64, 1 << 63}, FD: Regular, Size: int64(i),
		}
		if i%3 > 0 {
			all[i].Path, all[i].FD = fmt.Sprintf("/a/%d\n\xff", i%100), NoFD
		}
		if i%3 > 1 {
			all[i].Path2 = strings.Repeat("x", MaxPath)
		}
	}
	return all
}

func written(t testing.TB, calls []Call, lost map[string]uint64) []byte {
	t.Helper()
	var file bytes.Buffer
	w, err := NewWriter(&file, header)
	if err != nil {
		t.Fatal(err)
	}
	for i := range calls {
		if err := w.Write(&calls[i]); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(lost); err != nil {
		t.Fatal(err)
	}
	return file.Bytes()
}

// read reads a recording to its end and returns why it ended.
func read(file []byte) (*Reader, []Call, error) {
	r, err := NewReader(bytes.NewReader(file))
	if err != nil {
		return nil, nil, err
	}
	var all []Call
	for {
		var c Call
		if err := r.Read(&c); err != nil {
			return r, all, err
		}
		all = append(all, c)
	}
}

func TestRoundTrip(t *testing.T) {
	for _, n := range []int{0, 1, 10_000} {
		calls := some(n)
		lost := map[string]uint64{"ring full": 3}
		r, got, err := read(written(t, calls, lost))
		if !errors.Is(err, io.EOF) {
			t.Fatalf("%d calls: %v, want the end of the file", n, err)
		}
		if diff := cmp.Diff(calls, got, cmp.Transformer("empty", func(c []Call) []Call { return append([]Call{}, c...) })); diff != "" {
			t.Errorf("%d calls, - written, + read:\n%s", n, diff)
		}
		if diff := cmp.Diff(Footer{Calls: uint64(n), Lost: lost}, r.Footer); diff != "" {
			t.Errorf("footer, - want, + read:\n%s", diff)
		}
		want := header
		want.Format, want.Version = format, version
		if diff := cmp.Diff(want, r.Header); diff != "" {
			t.Errorf("header, - want, + read:\n%s", diff)
		}
	}
}

// TestCut cuts a recording of several blocks: what is read is a beginning of what was written, and the cut is told.
func TestCut(t *testing.T) {
	calls := some(10_000)
	file := written(t, calls, nil)
	longest := 0
	for length := bytes.IndexByte(file, '\n') + 1; length < len(file); length += 1997 {
		_, got, err := read(file[:length])
		if !errors.Is(err, ErrTruncated) {
			t.Fatalf("%d of %d bytes: %v, want that it's cut off", length, len(file), err)
		}
		if diff := cmp.Diff(calls[:len(got)], got); len(got) > 0 && diff != "" {
			t.Fatalf("%d of %d bytes: %s", length, len(file), diff)
		}
		longest = max(longest, len(got))
	}
	if longest < 1000 {
		t.Errorf("at most %d calls read from cut recordings of %d", longest, len(calls))
	}
}

// TestDamage turns each byte after the header's line: nothing of it may go unnoticed.
func TestDamage(t *testing.T) {
	calls := some(20)
	file := written(t, calls, nil)
	for i := bytes.IndexByte(file, '\n') + 1; i < len(file); i++ {
		damaged := bytes.Clone(file)
		damaged[i] ^= 0x55
		if _, _, err := read(damaged); err == nil || errors.Is(err, io.EOF) {
			t.Errorf("byte %d turned: no error", i)
		}
	}
}

func TestNotRecordings(t *testing.T) {
	tests := []struct{ file, want string }{
		{"", "not a recording"},
		{"{}\n", "not a recording"},
		{"\n", "not a recording"},
		{strings.Repeat("x", 1<<18), "not a recording"},
		{"{" + strings.Repeat(" ", 2*maxHeader), "not a recording"},
		{`{"format":"assay-syscalls","version":2}` + "\n", "version 2: want 1"},
		{`{"format":"assay-syscalls","version":1}` + "\nC\xff\xff\xff\xff0000", "block of 4294967295 bytes"},
	}
	for _, test := range tests {
		if _, _, err := read([]byte(test.file)); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%.40q: %v, want %q", test.file, err, test.want)
		}
	}
}

func TestCheck(t *testing.T) {
	tests := []struct {
		change func(*Call)
		want   string
	}{
		{func(*Call) {}, ""},
		{func(c *Call) { c.Duration = Unfinished }, ""},
		{func(c *Call) { c.Name = "" }, "want a name"},
		{func(c *Call) { c.Name = "Read" }, "want a name"},
		{func(c *Call) { c.Name = strings.Repeat("a", maxName+1) }, "want a name"},
		{func(c *Call) { c.Thread = 0 }, "thread 0"},
		{func(c *Call) { c.Process = -1 }, "process -1"},
		{func(c *Call) { c.Start = -1 }, "start -1"},
		{func(c *Call) { c.Duration = -2 }, "duration -2"},
		{func(c *Call) { c.Path = strings.Repeat("a", MaxPath+1) }, "4097 bytes"},
		{func(c *Call) { c.Path2 = strings.Repeat("a", MaxPath+1) }, "4097 bytes"},
		{func(c *Call) { c.FD = "file" }, "class"},
		{func(c *Call) { c.Size = -1 }, "size -1"},
	}
	w, err := NewWriter(io.Discard, header)
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range tests {
		c := some(1)[0]
		test.change(&c)
		err := w.Write(&c)
		if (err == nil) != (test.want == "") || err != nil && !strings.Contains(err.Error(), test.want) {
			t.Errorf("%+v: %v, want %q", c, err, test.want)
		}
	}
}

// A limit is a disk with room for so many bytes.
type limit int

var errFull = errors.New("full")

func (l *limit) Write(p []byte) (int, error) {
	if len(p) > int(*l) {
		return 0, errFull
	}
	*l -= limit(len(p))
	return len(p), nil
}

func TestFullDisk(t *testing.T) {
	for room := limit(0); room < 1000; room += 50 {
		left := room
		w, err := NewWriter(&left, header)
		if err == nil {
			err = w.Write(&some(1)[0])
		}
		if err == nil {
			err = w.Close(nil)
		}
		if whole := limit(len(written(t, some(1), nil))); (err == nil) != (room >= whole) {
			t.Errorf("room for %d bytes, wanted %d: %v", room, whole, err)
		}
	}
}

// FuzzRead reads any file. What could be read whole must be the same when it is written and read again.
func FuzzRead(f *testing.F) {
	f.Add(written(f, some(50), map[string]uint64{"x": 1}))
	f.Add(written(f, nil, nil)[:60])
	f.Fuzz(func(t *testing.T, file []byte) {
		r, calls, err := read(file)
		if !errors.Is(err, io.EOF) || r == nil {
			return
		}
		_, again, err := read(written(t, calls, r.Footer.Lost))
		if diff := cmp.Diff(calls, again); diff != "" || !errors.Is(err, io.EOF) {
			t.Errorf("error %v, - read, + written and read again:\n%s", err, diff)
		}
	})
}

// FuzzRecords reads any plain block, since the fuzzer won't find the checksums of packed ones.
func FuzzRecords(f *testing.F) {
	w := Writer{texts: map[string]uint64{}}
	for _, c := range some(30) {
		w.add(&c)
	}
	f.Add(w.block)
	f.Fuzz(func(t *testing.T, block []byte) {
		r := Reader{block: block}
		for len(r.block) > 0 {
			left := len(r.block)
			var c Call
			if err := r.record(&c); err != nil {
				return
			}
			if err := c.Check(); err != nil || len(r.block) >= left {
				t.Fatalf("call %+v: %v, %d bytes left of %d", c, err, len(r.block), left)
			}
		}
	})
}
