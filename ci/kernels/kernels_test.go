// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/assaylab/assay/ci/kernels/report"
)

func TestCompareNumbers(t *testing.T) {
	check := func(older, newer string) {
		t.Helper()
		if compareNumbers(older, newer) >= 0 || compareNumbers(newer, older) <= 0 || compareNumbers(newer, newer) != 0 {
			t.Errorf("%s isn't before %s", older, newer)
		}
	}
	check("linux-image-6.1.0-9-cloud-amd64", "linux-image-6.1.0-10-cloud-amd64")
	check("linux-image-6.12.99+deb12-cloud-amd64", "linux-image-6.12.100+deb12-cloud-amd64")
	check("linux-image-6.1.0-56-cloud-amd64", "linux-image-6.12.1+deb12-cloud-amd64")
}

// TestVerdict checks that nothing that went wrong passes.
func TestVerdict(t *testing.T) {
	good := report.Result{Check: "load"}
	bad := report.Result{Check: "load", Error: "no"}
	for _, test := range []struct {
		name   string
		trials []trial
		failed bool
	}{
		{"all well", []trial{{results: []report.Result{good}}, {results: []report.Result{good}}}, false},
		{"one check failed", []trial{{results: []report.Result{good}}, {results: []report.Result{good, bad}}}, true},
		{"one guest died", []trial{{results: []report.Result{good}}, {err: errors.New("panic")}}, true},
	} {
		if err := verdict(test.trials); (err != nil) != test.failed {
			t.Errorf("%s: %v", test.name, err)
		}
	}
}

// TestTable has a guest that died after its first check.
func TestTable(t *testing.T) {
	trials := []trial{
		{kernel: kernel{name: "old"}, results: []report.Result{{Check: "boot"}}},
		{kernel: kernel{name: "new"}, results: []report.Result{{Check: "boot"}, {Check: "load", Error: "no"}}},
	}
	var out strings.Builder
	if err := printTable(&out, trials); err != nil {
		t.Fatal(err)
	}
	want := "\ncheck  old  new\nboot   ok   ok\nload   -    FAIL\n"
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Errorf("table (-want +got):\n%s", diff)
	}
}
