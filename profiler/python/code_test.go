// SPDX-License-Identifier: Apache-2.0

package python

import (
	"encoding/binary"
	"encoding/json"
	"testing"
)

// codeObject is one of testdata/lines.py.
type codeObject struct {
	addr       uint64
	name, file string
	lines      [][3]int // first and last offset, line
}

// UnmarshalJSON reads [address, name, file, lines].
func (c *codeObject) UnmarshalJSON(b []byte) error {
	return json.Unmarshal(b, &[]any{&c.addr, &c.name, &c.file, &c.lines})
}

// TestCodeAgainstInterpreter compares names and lines of some thousand code objects with what the interpreter says of them.
func TestCodeAgainstInterpreter(t *testing.T) {
	for _, interpreter := range interpreters(t) {
		t.Run(interpreter, func(t *testing.T) {
			t.Parallel()
			r := start(t, interpreter, "testdata/lines.py")
			var want []codeObject
			if err := json.Unmarshal([]byte(r.said), &want); err != nil {
				t.Fatal(err)
			}
			if len(want) < 300 {
				t.Errorf("only %d code objects", len(want))
			}
			for _, w := range want {
				compareCode(t, r, w)
			}
		})
	}
}

func compareCode(t *testing.T, r *running, w codeObject) {
	t.Helper()
	c, err := r.library.Layout.code(r.process, w.addr)
	if err != nil {
		t.Errorf("%s: %v", w.name, err)
		return
	}
	if c.Name != w.name || c.File != w.file {
		t.Errorf("%s in %s, the interpreter says %s in %s", c.Name, c.File, w.name, w.file)
	}
	for _, l := range w.lines {
		for offset := l[0]; offset < l[1]; offset += instructionSize {
			if got := c.Line(offset); got != l[2] {
				t.Errorf("%s: line %d at offset %d, the interpreter says %d", w.name, got, offset, l[2])
				return
			}
		}
	}
}

func TestReplacedCode(t *testing.T) {
	mem := fakeMemory{}
	l := layouts[12]
	_, err := l.Code(mem, 0x1000, 7)
	if err == nil {
		t.Error("a code object of another identity was taken")
	}
}

// fakeMemory answers any read with bytes that depend on the address, or on what a fuzzer says.
type fakeMemory struct{ seed []byte }

func (m fakeMemory) Read(p []byte, addr uint64) error {
	seed := m.seed
	if len(seed) == 0 {
		seed = []byte{0x40}
	}
	for n := copy(p, seed[addr%uint64(len(seed)):]); n < len(p); {
		n += copy(p[n:], seed)
	}
	return nil
}

// FuzzMemory reads threads and code out of memory that lies.
func FuzzMemory(f *testing.F) {
	f.Add([]byte{}, 12)
	f.Add([]byte("\x00\x10\x00\x00\x00\x00\x00\x00"), 8)
	f.Add(binary.LittleEndian.AppendUint64(nil, 8), 11)
	f.Fuzz(func(t *testing.T, seed []byte, minor int) {
		l, err := layoutOf(minMinor + int(uint(minor)%(maxMinor-minMinor+1)))
		if err != nil {
			t.Fatal(err)
		}
		mem := fakeMemory{seed}
		thread := Thread{State: 0x1000}
		if err := l.walk(mem, &thread); err == nil && len(thread.Frames) > MaxFrames {
			t.Errorf("%d frames", len(thread.Frames))
		}
		if c, err := l.code(mem, 0x2000); err == nil {
			c.Line(100)
		}
	})
}

// FuzzLine looks lines up in tables that lie.
func FuzzLine(f *testing.F) {
	f.Add([]byte{0x80, 0x01, 0xf8 | 7, 0x7f, 0x7f, 0x7f}, 3)
	f.Fuzz(func(_ *testing.T, table []byte, offset int) {
		for minor := minMinor; minor <= maxMinor; minor++ {
			c := &Code{minor: minor, lines: table}
			c.Line(offset)
		}
	})
}
