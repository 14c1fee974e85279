// SPDX-License-Identifier: Apache-2.0

package elfx

import (
	"bytes"
	"debug/elf"
	"testing"
)

// TestLookup compares symbols with those that the standard library finds, stripped or not.
func TestLookup(t *testing.T) {
	for _, flags := range [][]string{nil, {"-rdynamic", "-s"}} {
		b := build(t, flags...)
		std, err := elf.NewFile(bytes.NewReader(b))
		if err != nil {
			t.Fatal(err)
		}
		symbols, err := std.Symbols()
		if len(flags) > 0 {
			symbols, err = std.DynamicSymbols()
		}
		if err != nil {
			t.Fatal(err)
		}
		want := map[string]Symbol{}
		for _, s := range symbols {
			if s.Name == "main" || s.Name == "data" {
				want[s.Name] = Symbol{s.Value, s.Size}
			}
		}
		got, err := open(t, b).Lookup("main", "data", "in", "nowhere")
		if err != nil {
			t.Fatal(err)
		}
		if len(got) != 2 || got["main"] != want["main"] || got["data"] != want["data"] {
			t.Errorf("flags %v: %v, want %v", flags, got, want)
		}
	}
}

// FuzzLookup looks for a symbol in files that lie.
func FuzzLookup(f *testing.F) {
	f.Add(build(f))
	f.Add(build(f, "-rdynamic", "-s"))
	f.Fuzz(func(_ *testing.T, b []byte) {
		if e, err := Open(bytes.NewReader(b), int64(len(b))); err == nil {
			e.Lookup("main", "data") //nolint:errcheck // any answer will do, as long as there is one
		}
	})
}
