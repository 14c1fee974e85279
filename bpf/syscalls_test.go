// SPDX-License-Identifier: Apache-2.0

package bpf

import (
	"bytes"
	"encoding/binary"
	"testing"
	"unsafe"
)

// FuzzCallRecord reads any bytes as a record of a system call: it takes those that are as long as their paths need, and finds the paths
// in what it was given.
func FuzzCallRecord(f *testing.F) {
	var r CallRecord
	head := int(unsafe.Offsetof(r.Paths))
	record := func(first, second uint16, paths string) []byte {
		b := make([]byte, head, head+len(paths))
		at := unsafe.Offsetof(r.PathLen)
		binary.NativeEndian.PutUint16(b[at:], first)
		binary.NativeEndian.PutUint16(b[at+2:], second)
		return append(b, paths...)
	}
	f.Add(record(0, 0, ""))
	f.Add(record(5, 3, "/etc\x00/a\x00"))
	f.Add(record(6, 3, "/etc\x00/a\x00"))
	f.Add(record(0xffff, 0xffff, "/etc"))
	f.Add(record(0, 0, "")[:head-1])
	f.Add(make([]byte, unsafe.Sizeof(r)+1))
	f.Fuzz(func(t *testing.T, b []byte) {
		var r CallRecord
		err := parseCall(&r, b)
		if len(b) < head {
			if err == nil {
				t.Errorf("%d bytes taken for a record, whose head has %d", len(b), head)
			}
			return
		}
		a := int(binary.NativeEndian.Uint16(b[unsafe.Offsetof(r.PathLen):]))
		z := a + int(binary.NativeEndian.Uint16(b[unsafe.Offsetof(r.PathLen)+2:]))
		if whole := len(b) <= int(unsafe.Sizeof(r)) && z <= len(b)-head; whole != (err == nil) {
			t.Fatalf("%d bytes with paths of %d: %v", len(b), z, err)
		}
		if err != nil {
			return
		}
		first, second := RecordPaths(&r)
		if !bytes.Equal(first, b[head:head+a]) || !bytes.Equal(second, b[head+a:head+z]) {
			t.Errorf("paths %q and %q of %q", first, second, b[head:])
		}
	})
}
