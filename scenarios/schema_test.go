// SPDX-License-Identifier: Apache-2.0

package scenarios_test

import (
	"flag"
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/assaylab/assay/scenarios"
)

var update = flag.Bool("update", false, "write docs/reference/scenario.schema.json anew")

// TestSchema wants the published schema to be that of the kinds.
func TestSchema(t *testing.T) {
	const path = "../docs/reference/scenario.schema.json"
	want, err := scenarios.Schema(kinds)
	if err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := os.WriteFile(path, want, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s is not that of the kinds (go test ./scenarios -update writes it); - want, + got:\n%s", path, diff)
	}
}
