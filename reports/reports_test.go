// SPDX-License-Identifier: Apache-2.0

package reports

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"math"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"github.com/google/pprof/profile"

	"github.com/assaylab/assay/internal/facts"
	"github.com/assaylab/assay/internal/pprofio"
)

func TestGoldens(t *testing.T) {
	p, plain := recording(t), bare(t)
	empty := newBuilder("cpu/nanoseconds").p
	for name, report := range map[string]func(io.Writer) error{
		"text.txt":        func(w io.Writer) error { return Text(w, p, TextOptions{}) },
		"text-offcpu.txt": func(w io.Writer) error { return Text(w, p, TextOptions{SampleType: "off_cpu", Top: 2, Color: true}) },
		"text-bare.txt":   func(w io.Writer) error { return Text(w, plain, TextOptions{}) },
		"text-empty.txt":  func(w io.Writer) error { return Text(w, empty, TextOptions{}) },
		"folded.txt":      func(w io.Writer) error { return Folded(w, p, FoldedOptions{}) },
		"folded-wall.txt": func(w io.Writer) error { return Folded(w, p, FoldedOptions{SampleType: "wall"}) },
		"summary.txt":     func(w io.Writer) error { return Summary(w, p, SummaryOptions{File: "assay-cpu.pb.gz"}) },
		"summary-color.txt": func(w io.Writer) error {
			return Summary(w, p, SummaryOptions{File: "assay-cpu.pb.gz", Color: true})
		},
		"summary-bare.txt":   func(w io.Writer) error { return Summary(w, plain, SummaryOptions{}) },
		"summary-empty.txt":  func(w io.Writer) error { return Summary(w, empty, SummaryOptions{}) },
		"summary.json":       func(w io.Writer) error { return SummaryJSON(w, p, SummaryOptions{File: "assay-cpu.pb.gz"}) },
		"summary-bare.json":  func(w io.Writer) error { return SummaryJSON(w, plain, SummaryOptions{}) },
		"summary-empty.json": func(w io.Writer) error { return SummaryJSON(w, empty, SummaryOptions{}) },
	} {
		t.Run(name, func(t *testing.T) { golden(t, name, report) })
	}
}

// allReports are the reports with their zero options.
var allReports = map[string]func(io.Writer, *profile.Profile) error{
	"text":    func(w io.Writer, p *profile.Profile) error { return Text(w, p, TextOptions{}) },
	"folded":  func(w io.Writer, p *profile.Profile) error { return Folded(w, p, FoldedOptions{}) },
	"summary": func(w io.Writer, p *profile.Profile) error { return Summary(w, p, SummaryOptions{}) },
	"json":    func(w io.Writer, p *profile.Profile) error { return SummaryJSON(w, p, SummaryOptions{}) },
	"flame":   func(w io.Writer, p *profile.Profile) error { return FlameGraph(w, p, FlameGraphOptions{}) },
}

type brokenWriter struct{}

var errBroken = errors.New("broken")

func (brokenWriter) Write([]byte) (int, error) { return 0, errBroken }

func TestFailedWritesAreReported(t *testing.T) {
	p := recording(t)
	for name, report := range allReports {
		if err := report(brokenWriter{}, p); !errors.Is(err, errBroken) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestUnknownSampleType(t *testing.T) {
	for name, err := range map[string]error{
		"text":   Text(io.Discard, recording(t), TextOptions{SampleType: "nonsense"}),
		"folded": Folded(io.Discard, recording(t), FoldedOptions{SampleType: "nonsense"}),
		"none":   Text(io.Discard, &profile.Profile{}, TextOptions{}),
	} {
		if err == nil || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestSummaryKeepsItsWidth(t *testing.T) {
	p := recording(t)
	p.Function[0].Name = strings.Repeat("äß", 200)
	var b strings.Builder
	if err := Summary(&b, p, SummaryOptions{}); err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(b.String()) {
		if n := utf8.RuneCountInString(strings.TrimSuffix(line, "\n")); n > summaryWidth {
			t.Errorf("%d columns: %s", n, line)
		}
	}
	if strings.Count(b.String(), "ß…") == 0 {
		t.Error("the long name isn't there")
	}
}

// TestHostileText: nothing from the profile reaches a terminal unescaped.
func TestHostileText(t *testing.T) {
	const evil = "\x1b]0;owned\a\u202e\r\n\xff"
	b := newBuilder("cpu/nanoseconds", evil+"/"+evil)
	b.add(evil, 1, []string{evil, "?"}, 1, 1)
	b.p.Mapping[0].File = "/" + evil
	var f facts.Facts
	for _, key := range []string{"targets", "event", "modes", "kernel", "warning.1", "degraded.1", "new", "lost.x"} {
		f.Add(key, evil)
	}
	b.p.Comments = []string{f.Comment()}
	for name, report := range allReports {
		var out strings.Builder
		if err := report(&out, b.p); err != nil {
			t.Fatal(err)
		}
		active := "\x1b\a\r\u202e"
		if name == "json" { // carries facts as they are, in the escapes of JSON
			active = "\x1b\a\r"
		}
		if i := strings.IndexAny(out.String(), active); i >= 0 || !utf8.ValidString(out.String()) {
			t.Errorf("%s: raw bytes near %q", name, out.String()[max(i-20, 0):])
		}
	}
}

func TestFactsOfSeveralRecordings(t *testing.T) {
	p := recording(t)
	p.Comments = append(p.Comments, facts.Facts{{Key: "a", Value: "b"}}.Comment())
	r := newRecord(p, "")
	want := []string{"merged from several recordings: what each says of its completeness and cost is left out"}
	if diff := cmp.Diff(want, r.Warnings); diff != "" || r.Cost != (Cost{}) {
		t.Errorf("cost %v, %s", r.Cost, diff)
	}
}

// TestEveryFactHasItsField: the fixture has each fact that is known, none of them ends among the unknown, and no field stays empty.
func TestEveryFactHasItsField(t *testing.T) {
	r := newRecord(recording(t), "")
	want := map[string]string{"future.fact": "tells\nsomething", "samples_late": "12"}
	if diff := cmp.Diff(want, r.More); diff != "" {
		t.Errorf("facts without a field: %s", diff)
	}
	for key, field := range r.fields() {
		switch v := field.(type) {
		case **int64:
			if *v == nil {
				t.Errorf("%s: no value", key)
			}
		case **string:
			if *v == nil {
				t.Errorf("%s: no value", key)
			}
		}
	}
}

func TestWrongTypeOfFactGoesToMore(t *testing.T) {
	b := newBuilder("cpu/nanoseconds")
	var f facts.Facts
	f.Add("duration_ns", "long")
	f.Add("lost.x", "many")
	f.Add("acct.max_thread_residual_ratio", "NaN")
	b.p.Comments = []string{f.Comment()}
	r := newRecord(b.p, "")
	want := map[string]string{"duration_ns": "long", "lost.x": "many", "acct.max_thread_residual_ratio": "NaN"}
	if diff := cmp.Diff(want, r.More); diff != "" {
		t.Error(diff)
	}
	if _, err := json.Marshal(r); err != nil {
		t.Error(err)
	}
}

func TestSumsSaturate(t *testing.T) {
	b := newBuilder("cpu/nanoseconds")
	for range 3 {
		b.add("a", 1, []string{"f"}, math.MaxInt64)
	}
	if got := totalOf(b.p, 0); got != math.MaxInt64 {
		t.Errorf("total %d", got)
	}
	if got := topFunctions(b.p, 0)[0].cum; got != math.MaxInt64 {
		t.Errorf("cum %d", got)
	}
	if got := addSaturating(math.MinInt64, -1); got != math.MinInt64 {
		t.Errorf("%d", got)
	}
}

// FuzzReports: no profile that can be read makes a report panic.
func FuzzReports(f *testing.F) {
	for _, p := range []*profile.Profile{recording(f), bare(f)} {
		var b bytes.Buffer
		if err := p.WriteUncompressed(&b); err != nil {
			f.Fatal(err)
		}
		f.Add(b.Bytes())
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		p, err := pprofio.Read(bytes.NewReader(data))
		if err != nil {
			return
		}
		for name, report := range allReports {
			if err := report(io.Discard, p); err != nil && len(p.SampleType) > 0 {
				t.Errorf("%s: %v", name, err)
			}
		}
	})
}
