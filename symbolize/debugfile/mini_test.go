// SPDX-License-Identifier: Apache-2.0

package debugfile

import (
	"bytes"
	"encoding/binary"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/assaylab/assay/internal/elfx"
)

// compress is xz.
func compress(t testing.TB, b []byte, flags ...string) []byte {
	t.Helper()
	cmd := exec.Command("xz", append(flags, "-c")...)
	cmd.Stdin = bytes.NewReader(b)
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// withMini is a file that carries some bytes as its compressed symbols.
func withMini(b []byte) *elfx.File {
	const names = "\x00.gnu_debugdata\x00"
	le := binary.LittleEndian
	file := make([]byte, 64+3*64)
	copy(file, "\x7fELF\x02\x01\x01")
	le.PutUint16(file[16:], 2)
	le.PutUint16(file[18:], 62)
	le.PutUint64(file[40:], 64)
	le.PutUint16(file[58:], 64)
	le.PutUint16(file[60:], 3)
	le.PutUint16(file[62:], 2)
	for i, content := range []string{string(b), names} {
		h := file[64+64*(i+1):]
		le.PutUint32(h, uint32(1-i))
		le.PutUint32(h[4:], 1)
		le.PutUint64(h[24:], uint64(len(file)))
		le.PutUint64(h[32:], uint64(len(content)))
		file = append(file, content...)
	}
	f, err := elfx.Open(bytes.NewReader(file), int64(len(file)))
	if err != nil {
		panic(err) // the bytes above are ours
	}
	return f
}

func TestMini(t *testing.T) {
	whole, err := os.ReadFile("/bin/true")
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		name, want string
		content    []byte
	}{
		{"good", "", compress(t, whole)},
		{"no ELF", "no magic number", compress(t, bytes.Repeat([]byte("text"), 100))},
		{"no xz", "xz", bytes.Repeat([]byte("text"), 100)},
		{"cut", "truncated", compress(t, whole)[:1000]},
		{"bomb", "more than", compress(t, make([]byte, maxMini+2), "-0")},
		{"huge dictionary", "dict", compress(t, whole, "--lzma2=dict=64MiB")},
		{"empty", "", nil},
	} {
		f, err := Mini(withMini(tc.content))
		switch {
		case tc.want == "" && tc.name == "good" && (err != nil || f.BuildID() == ""):
			t.Errorf("%s: %v", tc.name, err)
		case tc.want != "" && (err == nil || !strings.Contains(strings.ToLower(err.Error()), strings.ToLower(tc.want))):
			t.Errorf("%s: error %v, want %q in it", tc.name, err, tc.want)
		}
	}
}

// FuzzMini: whatever a program carries, memory and time are bounded.
func FuzzMini(f *testing.F) {
	f.Add(compress(f, []byte("\x7fELF")))
	f.Add(compress(f, bytes.Repeat([]byte("text"), 1000), "--check=none"))
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := Mini(withMini(b))
		if err == nil && m != nil && m.Size() > maxMini {
			t.Errorf("%d bytes", m.Size())
		}
	})
}
