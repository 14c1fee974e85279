// SPDX-License-Identifier: Apache-2.0

package scenarios_test

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"github.com/assaylab/assay/scenarios"
	"github.com/assaylab/assay/scenarios/library"
)

// FuzzParse never panics. What it accepts is right, and is the same after it was written in each form; what it refuses, it says in lines.
func FuzzParse(f *testing.F) {
	all, err := library.All(kinds)
	if err != nil {
		f.Fatal(err)
	}
	for _, s := range all {
		f.Add(s.YAML())
		f.Add(s.Manual())
	}
	for _, text := range []string{
		whole, "{name: a, kind: load/exec, params: {command: \"a\\n\\t'b #c'\", pattern: \"- x: \\\"\"}}", "name: a\nkind: load/exec\nparams:\n  command: |\n    a\n",
		"a: [", "? a\n: b", "<<: *a", "!!x", "%YAML 1.2\n---\na", "name: ~\nkind: load/cpu\nslos:\n- a\n",
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		s, err := scenarios.Parse("f", text, kinds)
		if err != nil {
			for line := range strings.SplitSeq(err.Error(), "\n") {
				if !strings.HasPrefix(line, "f:") {
					t.Errorf("%q: error %q", text, line)
				}
			}
			return
		}
		checkRoundTrips(t, s)
	})
}

func checkRoundTrips(t *testing.T, s *scenarios.Scenario) {
	t.Helper()
	values, err := s.Check()
	if err != nil {
		t.Fatalf("accepted: %v\n%s", err, s.YAML())
	}
	asJSON, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	for form, text := range map[string][]byte{"YAML": s.YAML(), "JSON": asJSON} {
		if again, err := scenarios.Parse("f", text, kinds); err != nil || !reflect.DeepEqual(s, again) {
			t.Errorf("%s: %v\n%s\nfrom\n%+v", form, err, text, s)
		}
	}
	again, err := scenarios.Parse("f", s.Manual(), kinds)
	if err != nil {
		t.Fatalf("manual: %v\n%s", err, s.Manual())
	}
	if got, err := again.Check(); err != nil || !reflect.DeepEqual(got, values) || again.Name != s.Name || again.About != s.About {
		t.Errorf("manual: %v, %v\n%s\nfrom\n%+v", got, err, s.Manual(), s)
	}
}
