// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestVerdict feeds recorded events of go test and compares what is printed, up to the closing line.
func TestVerdict(t *testing.T) {
	const (
		pass     = `{"Action":"output","Package":"p","Test":"TestA","Output":"noise\n"}` + "\n" + `{"Action":"pass","Package":"p","Test":"TestA"}` + "\n"
		fail     = `{"Action":"output","Package":"p","Test":"TestB","Output":"why\n"}` + "\n" + `{"Action":"fail","Package":"p","Test":"TestB"}` + "\n"
		skip     = `{"Action":"output","Package":"p","Test":"TestC","Output":"no root\n"}` + "\n" + `{"Action":"skip","Package":"p","Test":"TestC"}` + "\n"
		ok       = `{"Action":"output","Package":"p","Output":"PASS\n"}` + "\n" + `{"Action":"output","Package":"p","Output":"ok p\n"}` + "\n" + `{"Action":"pass","Package":"p"}` + "\n"
		bad      = `{"Action":"output","Package":"p","Output":"FAIL p\n"}` + "\n" + `{"Action":"fail","Package":"p"}` + "\n"
		empty    = `{"Action":"skip","Package":"q"}` + "\n"
		unbuilt  = `{"Action":"build-output","ImportPath":"p","Output":"p.go:1: syntax\n"}` + "\n" + `{"Action":"build-fail","ImportPath":"p"}` + "\n" + bad
		notEvent = "go: no such tool\n"
	)
	for _, test := range []struct {
		name   string
		events string
		strict bool
		want   string
		failed bool
	}{
		{name: "passes quietly", events: pass + ok, want: "ok p\n1 passed, 0 failed\n"},
		{name: "failure is shown, once", events: pass + fail + bad, want: "why\nFAIL p\n1 passed, 1 failed\n", failed: true},
		{name: "skip at home", events: skip + ok, want: "no root\nok p\nskipped: p TestC\n0 passed, 0 failed\n"},
		{name: "skip in CI", events: pass + skip + ok, strict: true, want: "no root\nok p\nskipped: p TestC\n1 passed, 1 failed\n", failed: true},
		{name: "package without tests", events: empty, strict: true, want: "0 passed, 0 failed\n"},
		{name: "package that doesn't build", events: unbuilt, want: "p.go:1: syntax\nFAIL p\n0 passed, 1 failed\n", failed: true},
		{name: "package that dies after its tests", events: pass + bad, want: "FAIL p\n1 passed, 1 failed\n", failed: true},
		{name: "plain text", events: notEvent + pass + ok, want: "go: no such tool\nok p\n1 passed, 0 failed\n"},
	} {
		t.Run(test.name, func(t *testing.T) {
			var out strings.Builder
			tally, err := count(strings.NewReader(test.events), &out)
			if err != nil {
				t.Fatal(err)
			}
			if err := tally.close(test.strict, &out); errors.Is(err, errFailed) != test.failed {
				t.Errorf("close: %v, want failure: %v", err, test.failed)
			}
			if diff := cmp.Diff(test.want, out.String()); diff != "" {
				t.Errorf("printed (-want +got):\n%s", diff)
			}
		})
	}
}
