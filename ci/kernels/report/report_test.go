// SPDX-License-Identifier: Apache-2.0

package report

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestRoundTrip writes results between kernel messages and reads them back.
func TestRoundTrip(t *testing.T) {
	sent := []Result{{Check: "boot", Detail: "6.1", Seconds: 0.5}, {Check: "load", Error: "two\nlines", Output: "{}\n"}}
	var log strings.Builder
	write := func(r Result) {
		t.Helper()
		log.WriteString("[    0.1] random: crng init done")
		if err := Write(&log, r); err != nil {
			t.Fatal(err)
		}
	}
	for _, r := range sent {
		write(r)
	}
	check := func(wantWhole bool) {
		t.Helper()
		got, whole, err := Read(strings.NewReader(strings.ReplaceAll(log.String(), "\n", "\r\n")))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(sent, got); diff != "" || whole != wantWhole {
			t.Errorf("whole: %v, want %v; results (-sent +read):\n%s", whole, wantWhole, diff)
		}
	}
	check(false)
	write(Result{})
	check(true)
}

// TestBroken checks that a line cut by a crash is an error, not a missing result.
func TestBroken(t *testing.T) {
	if _, _, err := Read(strings.NewReader(mark + `{"Check":"bo`)); err == nil {
		t.Error("a cut line was read without error")
	}
}
