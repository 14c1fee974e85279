// SPDX-License-Identifier: Apache-2.0

package facts

import (
	"errors"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestRoundTrip(t *testing.T) {
	var f Facts
	f.AddDuration("duration_ns", 10*time.Second)
	f.AddInt("lost.throttled", 2)
	f.AddInt("lost.throttled", 3)
	f.AddInt("acct.residual_ns", math.MinInt64)
	f.AddFloat("ratio", 0.1)
	f.Add("targets", "pid 7, comm a=b")
	f.Add("warning.1", "two\nlines")
	f.Add("warning.2", ` "spaced" `)
	f.Add("empty", "")
	f.Add("bytes", "\xff é")
	f.Add("Bad Key=\n", "kept")
	const want = `assay-facts v1
duration_ns=10000000000
lost.throttled=3
acct.residual_ns=-9223372036854775808
ratio=0.1
targets=pid 7, comm a=b
warning.1="two\nlines"
warning.2=" \"spaced\" "
empty=
bytes="\xff é"
bad_key__=kept`
	if diff := cmp.Diff(want, f.Comment()); diff != "" {
		t.Error(diff)
	}
	got, err := Parse([]string{"another comment", f.Comment(), "assay-factsheet"})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(f, got); diff != "" {
		t.Error(diff)
	}
}

func TestGetters(t *testing.T) {
	f := Facts{{"n", "12"}, {"x", "1.5"}, {"nan", "NaN"}, {"inf", "1e999"}, {"s", "word"}}
	type answer struct {
		Get         string
		Int         int64
		Float       float64
		Duration    time.Duration
		Is, I, F, D bool
	}
	for key, want := range map[string]answer{
		"n":    {Get: "12", Int: 12, Float: 12, Duration: 12, Is: true, I: true, F: true, D: true},
		"x":    {Get: "1.5", Float: 1.5, Is: true, F: true},
		"nan":  {Get: "NaN", Is: true},
		"inf":  {Get: "1e999", Is: true},
		"s":    {Get: "word", Is: true},
		"none": {},
	} {
		var got answer
		got.Get, got.Is = f.Get(key)
		if n, ok := f.Int(key); ok {
			got.Int, got.I = n, ok
		}
		if x, ok := f.Float(key); ok {
			got.Float, got.F = x, ok
		}
		if d, ok := f.Duration(key); ok {
			got.Duration, got.D = d, ok
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: %s", key, diff)
		}
	}
}

func TestGroup(t *testing.T) {
	f := Facts{{"lost.b", "1"}, {"lost_ns.b", "2"}, {"lost.a", "3"}}
	if diff := cmp.Diff(Facts{{"b", "1"}, {"a", "3"}}, f.Group("lost.")); diff != "" {
		t.Error(diff)
	}
}

func TestParse(t *testing.T) {
	for _, test := range []struct {
		comment string
		want    Facts
		err     string
	}{
		{"assay-facts v1", Facts{}, ""},
		{"assay-facts v1\na=b\n", Facts{{"a", "b"}}, ""},
		{"assay-facts v2\na=b", nil, `facts: header "assay-facts v2" is not "assay-facts v1"`},
		{"assay-facts v1\r\na=b", nil, `facts: header "assay-facts v1\r" is not "assay-facts v1"`},
		{"assay-facts v1\n\na=b", nil, "facts: line 2: no ="},
		{"assay-facts v1\na=b\n=c", nil, `facts: line 3: bad key ""`},
		{"assay-facts v1\nA=b", nil, `facts: line 2: bad key "A"`},
		{"assay-facts v1\na=b\na=c", nil, "facts: line 3: a again"},
		{"assay-facts v1\na=\"b", nil, "facts: line 2: a: unfinished quote"},
		{"assay-facts v1\na=" + strings.Repeat("b", MaxBytes), nil, "facts: more than 1048576 bytes"},
	} {
		got, err := Parse([]string{test.comment})
		if text(err) != test.err {
			t.Errorf("%.40q: error %q, want %q", test.comment, text(err), test.err)
		}
		if diff := cmp.Diff(test.want, got); diff != "" {
			t.Errorf("%.40q: %s", test.comment, diff)
		}
	}
}

func text(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

func TestParseNoneAndSeveral(t *testing.T) {
	if f, err := Parse([]string{"a comment", ""}); f != nil || err != nil {
		t.Errorf("no facts: %v, %v", f, err)
	}
	if f, err := Parse([]string{Header, Header + "\na=b"}); f != nil || !errors.Is(err, ErrMerged) {
		t.Errorf("several: %v, %v", f, err)
	}
}

// FuzzParse: what is parsed comes back the same from its own comment.
func FuzzParse(f *testing.F) {
	f.Add("assay-facts v1\na=b\nlost.x=\"\\xff\"")
	f.Fuzz(func(t *testing.T, comment string) {
		first, err := Parse([]string{comment})
		if err != nil || first == nil {
			return
		}
		again, err := Parse([]string{first.Comment()})
		if err != nil {
			t.Fatalf("own comment refused: %v", err)
		}
		if diff := cmp.Diff(first, again); diff != "" {
			t.Error(diff)
		}
	})
}

// FuzzAdd: any key and value make a comment that holds the value.
func FuzzAdd(f *testing.F) {
	f.Add("key", "value")
	f.Add("a=\n", "\"\xff\n")
	f.Fuzz(func(t *testing.T, key, value string) {
		if len(key)+4*len(value) > MaxBytes/4 {
			return
		}
		var facts Facts
		facts.Add(key, value)
		got, err := Parse([]string{facts.Comment()})
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(facts, got); diff != "" {
			t.Error(diff)
		}
	})
}
