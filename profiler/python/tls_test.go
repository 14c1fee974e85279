// SPDX-License-Identifier: Apache-2.0

package python

import (
	"encoding/binary"
	"testing"

	"github.com/assaylab/assay/internal/elfx/elfxtest"
)

// TestSpecific goes from the address of each thread, as the kernel side does, to the state that the interpreter's list has for it.
func TestSpecific(t *testing.T) {
	libc, err := InspectLibc(elfxtest.Open(t, "/lib/x86_64-linux-gnu/libc.so.6"))
	if err != nil || libc == nil {
		t.Fatalf("the C library says nothing of its keys: %v", err)
	}
	for _, interpreter := range interpreters(t) {
		t.Run(interpreter, func(t *testing.T) {
			t.Parallel()
			r := start(t, interpreter, "testdata/still.py")
			l := r.library.Layout
			threads, err := l.Threads(r.process, r.library.Runtime+r.bias)
			if err != nil {
				t.Fatal(err)
			}
			var key [8]byte
			if err := r.process.Read(key[:], r.library.Runtime+r.bias+uint64(l.AutoTSSKey)); err != nil {
				t.Fatal(err)
			}
			if binary.LittleEndian.Uint32(key[:]) == 0 {
				t.Fatal("the interpreter has no key")
			}
			k := binary.LittleEndian.Uint32(key[4:])
			for _, thread := range threads {
				block, err := readWord(r.process, thread.ID+uint64(libc.Array+k/libc.Block*8))
				if err != nil {
					t.Fatal(err)
				}
				state, err := readWord(r.process, block+uint64(k%libc.Block*libc.Stride+libc.Value))
				if err != nil || state != thread.State {
					t.Errorf("thread %#x: state %#x, the list says %#x (%v)", thread.ID, state, thread.State, err)
				}
			}
		})
	}
}
