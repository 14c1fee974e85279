// SPDX-License-Identifier: Apache-2.0

package elfx

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
)

// TestContent: a section is the same however it is compressed, and never larger than allowed.
func TestContent(t *testing.T) {
	dir := t.TempDir()
	plain := filepath.Join(dir, "plain")
	if err := os.WriteFile(plain, build(t, "-g"), 0o755); err != nil {
		t.Fatal(err)
	}
	const limit = 1 << 20
	var want []byte
	for _, how := range []string{"plain", "zlib", "zstd"} {
		path := filepath.Join(dir, how)
		if path != plain {
			run(t, "llvm-objcopy-19", "--compress-debug-sections="+how, plain, path)
		}
		f := open(t, read(t, path))
		s, ok := f.Section(".debug_str")
		if !ok {
			t.Fatal("no .debug_str")
		}
		got, err := f.Content(s, limit)
		if err != nil {
			t.Fatal(err)
		}
		if how == "plain" {
			want = got
		}
		if len(got) == 0 || !bytes.Equal(got, want) {
			t.Errorf("%s: %d bytes, want the %d of an uncompressed section", how, len(got), len(want))
		}
		if _, err := f.Content(s, uint64(len(want)-1)); err == nil {
			t.Errorf("%s: larger than allowed, and read", how)
		}
	}
}
