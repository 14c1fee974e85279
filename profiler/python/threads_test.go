// SPDX-License-Identifier: Apache-2.0

package python

import (
	"encoding/json"
	"path/filepath"
	"slices"
	"strconv"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// place is a frame as people read it.
type place struct {
	Name, File string
	Line       int
}

// UnmarshalJSON reads [name, file, line].
func (p *place) UnmarshalJSON(b []byte) error {
	return json.Unmarshal(b, &[]any{&p.Name, &p.File, &p.Line})
}

// below leaves out the frames that rest called: they are about waiting, and may have changed since.
func below(stack []place) []place {
	i := slices.IndexFunc(stack, func(p place) bool { return p.Name == "rest" })
	return stack[max(i, 0):]
}

// TestThreadsAgainstInterpreter compares all stacks of a program at rest with what its interpreter says of them.
func TestThreadsAgainstInterpreter(t *testing.T) {
	still, err := filepath.Abs("testdata/still.py")
	if err != nil {
		t.Fatal(err)
	}
	for _, interpreter := range interpreters(t) {
		t.Run(interpreter, func(t *testing.T) {
			t.Parallel()
			r := start(t, interpreter, still)
			var want map[string][]place
			if err := json.Unmarshal([]byte(r.said), &want); err != nil {
				t.Fatal(err)
			}
			threads, err := r.library.Layout.Threads(r.process, r.library.Runtime+r.bias)
			if err != nil {
				t.Fatal(err)
			}
			if len(threads) != len(want) || len(want) != 4 {
				t.Errorf("%d threads, the interpreter says %d", len(threads), len(want))
			}
			for _, thread := range threads {
				got := places(t, r, thread)
				if diff := cmp.Diff(below(want[strconv.FormatUint(thread.ID, 10)]), below(got)); diff != "" {
					t.Errorf("thread %#x (-interpreter +ours):\n%s", thread.ID, diff)
				}
			}
		})
	}
}

func places(t *testing.T, r *running, thread Thread) []place {
	t.Helper()
	var got []place
	for _, f := range thread.Frames {
		c, err := r.library.Layout.Code(r.process, f.Code, f.Identity)
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, place{c.Name, c.File, c.Line(f.Offset)})
	}
	return got
}
