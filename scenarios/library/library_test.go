// SPDX-License-Identifier: Apache-2.0

package library_test

import (
	"bytes"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/assaylab/assay/scenarios"
	"github.com/assaylab/assay/scenarios/catalog"
	"github.com/assaylab/assay/scenarios/library"
)

// TestLibrary wants each scenario to be right by the kinds that there are, and its file to look like what we write.
func TestLibrary(t *testing.T) {
	all, err := library.All(catalog.Kinds())
	if err != nil {
		t.Fatal(err)
	}
	covered := map[string]bool{"load/exec": true, "syscall/replay": true, "network/replay": true, "load/replay": true} // they run what users have
	for i, s := range all {
		name := library.Names()[i]
		if s.Name != name || s.About == "" {
			t.Errorf("%s.yaml: name %s, about %q", name, s.Name, s.About)
		}
		text, err := os.ReadFile(name + ".yaml")
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(text, s.YAML()) {
			t.Errorf("%s.yaml: want it as we write it:\n%s", name, s.YAML())
		}
		covered[s.Kind.Name] = true
	}
	for _, k := range catalog.Kinds() {
		if !covered[k.Name] {
			t.Errorf("no scenario of kind %s", k.Name)
		}
	}
}

// TestWork does the work of each scenario for a moment: what it is judged by is measured.
func TestWork(t *testing.T) {
	all, err := library.All(catalog.Kinds())
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range all {
		t.Run(s.Name, func(t *testing.T) {
			values, err := s.Check()
			if err != nil {
				t.Fatal(err)
			}
			if o := work(t, s.Kind, values); o.Operations == 0 || o.Errors > 0 || !has(o, s.Primary) {
				t.Errorf("%d operations, %d errors, primary %s among %v: %t", o.Operations, o.Errors, s.Primary, o.Values, has(o, s.Primary))
			}
		})
	}
}

// work prepares, works for a moment, and takes all back.
func work(t *testing.T, k *scenarios.Kind, values scenarios.Values) *scenarios.Outcome {
	t.Helper()
	w, err := k.New(values)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := w.Close(); err != nil {
			t.Error(err)
		}
	}()
	if err := w.Prepare(t.Context()); err != nil {
		t.Fatal(err)
	}
	o, err := w.Run(t.Context(), 50*time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	return o
}

// has says whether an outcome has what a metric is made of.
func has(o *scenarios.Outcome, metric string) bool {
	_, ok := o.Values[metric]
	return ok || metric == "throughput" || strings.HasPrefix(metric, "latency_") && o.Latency != nil
}

// TestFind finds a scenario by its name only, and says what was meant.
func TestFind(t *testing.T) {
	for name, want := range map[string]string{
		"getpid":      "",
		"get-pid":     "want getpid",
		"":            "want one of cpu-burn",
		"getpid.yaml": "there is no scenario",
		"../library":  "there is no scenario",
		"a\nb":        `"a\nb"`,
	} {
		s, err := library.Find(name, catalog.Kinds())
		if want == "" && (err != nil || s.Name != name) || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%q: %v, want %q", name, err, want)
		}
	}
}
