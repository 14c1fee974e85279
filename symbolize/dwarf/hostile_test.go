// SPDX-License-Identifier: Apache-2.0

package dwarf

import (
	"bytes"
	"encoding/binary"
	"errors"
	"strings"
	"testing"

	"github.com/assaylab/assay/internal/elfx"
)

// lying is debug information of version 4 that was written by hand: a unit with a function from 0x1000 to 0x2000, of a kind with the attributes in
// function, whose entry ends with the bytes of them.
func lying(t testing.TB, function, values []byte) *Data {
	t.Helper()
	abbrev := []byte{1, 0x11, 1, 0x11, 0x01, 0x12, 0x07, 0, 0, 2, 0x2e, 1, 0x11, 0x01, 0x12, 0x07}
	abbrev = append(append(abbrev, function...), 0, 0, 0)
	u64 := binary.LittleEndian.AppendUint64
	entry := func(code byte) []byte { return u64(u64([]byte{code}, 0x1000), 0x1000) }
	body := append([]byte{4, 0, 0, 0, 0, 0, 8}, entry(1)...)
	body = append(append(append(body, entry(2)...), values...), 0, 0)
	info := append(binary.LittleEndian.AppendUint32(nil, uint32(len(body))), body...)
	contents := make([][]byte, len(fuzzedSections))
	contents[0], contents[1] = info, abbrev
	b := fakeELF(fuzzedSections, contents)
	f, err := elfx.Open(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		t.Fatal(err)
	}
	d, err := Open(f, nil)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// TestLies: each is an error for its addresses.
func TestLies(t *testing.T) {
	const self = 28 // offset of the function's entry
	for _, tc := range []struct {
		name, want       string
		function, values []byte
	}{
		{"its own origin", "entries away", []byte{0x31, 0x13}, []byte{self, 0, 0, 0}},
		{"origin outside the unit", "", []byte{0x31, 0x13}, []byte{0xff, 0xff, 0xff, 0x7f}},
		{"origin in no unit", "entry in no unit", []byte{0x31, 0x10}, []byte{0xff, 0xff, 0, 0}},
		{"name beyond the strings", "string beyond the end", []byte{0x03, 0x0e}, []byte{0xff, 0xff, 0, 0}},
		{"unknown form", "unknown form", []byte{0x03, 0x7f}, nil},
		{"form of a form", "indirect form", []byte{0x03, 0x16}, []byte{0x16}},
		{"block without end", "ends behind its unit", []byte{0x40, 0x0a}, []byte{0xff}},
		{"back to itself", "", []byte{0x01, 0x13}, []byte{self, 0, 0, 0}},
	} {
		d := lying(t, tc.function, tc.values)
		_, err := d.Frames(nil, 0x1800)
		if (err == nil) != (tc.want == "") || err != nil && !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: error %v, want %q in it", tc.name, err, tc.want)
		}
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	}
}

// TestOneTableForAll: units that each search a long table for their abbreviation, from another place on, are stopped.
func TestOneTableForAll(t *testing.T) {
	var abbrev []byte
	for range 1 << 14 {
		abbrev = append(abbrev, 2, 0x2e, 0, 0, 0)
	}
	abbrev = append(abbrev, 1, 0x11, 0, 0, 0, 0)
	contents := make([][]byte, len(fuzzedSections))
	contents[1] = abbrev
	for i := range 1 << 12 {
		contents[0] = append(contents[0], 9, 0, 0, 0, 4, 0, byte(5*i), byte(5*i>>8), 0, 0, 8, 1, 0)
	}
	b := fakeELF(fuzzedSections, contents)
	f, err := elfx.Open(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		t.Fatal(err)
	}
	d, err := Open(f, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := d.Frames(nil, 0x1000); !errors.Is(err, errWork) {
		t.Errorf("error %v, want %v", err, errWork)
	}
	if err := d.Close(); err != nil {
		t.Error(err)
	}
}
