// SPDX-License-Identifier: Apache-2.0

package scenarios

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/assaylab/assay/internal/lazyregexp"
)

// YAML writes the scenario as [Parse] reads it: what was given, and the settings.
func (s *Scenario) YAML() []byte { return s.write(false) }

// Manual writes the scenario as [Parse] reads it, with all parameters of the kind, and what each means in comments.
func (s *Scenario) Manual() []byte { return s.write(true) }

// writer writes YAML, with comments or without.
type writer struct {
	bytes.Buffer
	comments bool
}

// Comments are broken at this many characters.
const lineWidth = 100

func (s *Scenario) write(comments bool) []byte {
	w := &writer{comments: comments}
	w.field("name", s.Name)
	if s.About != "" {
		w.field("about", s.About)
	}
	if s.About != s.Kind.About || len(s.Kind.Needs) > 0 {
		w.comment("", s.Kind.About+needs(s.Kind))
	}
	w.field(kindField, s.Kind.Name)
	w.params(s)
	w.comment("", "Work before each measurement, and the length of one.")
	w.field("warmup", s.Warmup.String())
	w.field("duration", s.Duration.String())
	w.comment("", "The metric that decides: "+strings.Join(metricNames(), ", ")+", or a value of the outcome.")
	w.field("primary", s.Primary)
	w.isolation(s.Isolation)
	if len(s.SLOs) > 0 {
		fmt.Fprintf(w, "%s:\n", slosField)
	}
	for _, o := range s.SLOs {
		w.field("  - "+metricField, o.Metric)
		w.field("    "+string(o.Limit), o.text())
	}
	return w.Bytes()
}

// params writes the parameters in the order of the kind.
func (w *writer) params(s *Scenario) {
	if len(s.Params) == 0 && (!w.comments || len(s.Kind.Params) == 0) {
		return
	}
	fmt.Fprintf(w, "%s:\n", paramsField)
	for _, p := range s.Kind.Params {
		value, given := s.Params[p.Name]
		if !given && !w.comments {
			continue
		}
		if !given {
			value = p.Default
		}
		w.comment("  ", fmt.Sprintf("%s (%s; default %s)", p.About, p.Allowed(), cmp.Or(p.Default, "none")))
		w.field("  "+p.Name, value)
	}
}

// Allowed says in words what a parameter may be.
func (p *Param) Allowed() string {
	if p.Type == Choice {
		return strings.Join(p.Choices, ", ")
	}
	if bounds := p.Bounds(); p.Min == 0 && p.Max == 0 {
		return bounds
	}
	return string(p.Type) + " " + p.Bounds()
}

func needs(k *Kind) string {
	if len(k.Needs) == 0 {
		return ""
	}
	names := make([]string, len(k.Needs))
	for i, n := range k.Needs {
		names[i] = string(n)
	}
	return " (needs " + strings.Join(names, ", ") + ")"
}

// isolation writes what the workload gets for itself, if anything is said of it.
func (w *writer) isolation(i Isolation) {
	head := isolationField + ":\n"
	for n, value := range i.fields() {
		if value != "" {
			fmt.Fprint(w, head)
			head = ""
			w.field("  "+isolationFields[n], value)
		}
	}
}

func (w *writer) field(name, value string) { fmt.Fprintf(w, "%s: %s\n", name, quote(value)) }

// comment writes text, broken into lines.
func (w *writer) comment(indent, text string) {
	if !w.comments {
		return
	}
	line := indent + "#"
	for word := range strings.FieldsSeq(text) {
		if len(line)+1+len(word) > lineWidth && len(line) > len(indent)+1 {
			fmt.Fprintln(w, line)
			line = indent + "#"
		}
		line += " " + word
	}
	fmt.Fprintln(w, line)
}

// plain is text that is the same in YAML without quotes. It may look like a number: see text.
var plain = lazyregexp.New(`^[A-Za-z0-9/][A-Za-z0-9µ./=,+@%()_'-]*( [A-Za-z0-9µ./=,+@%()_';-]+)*$`)

func quote(text string) string {
	if null := []string{"null", "Null", "NULL"}; plain().MatchString(text) && !slices.Contains(null, text) {
		return text
	}
	return strconv.Quote(text) // what can be shown is the same in Go and YAML
}

// document is a scenario for other programs, in the form of the schema.
type document struct {
	Name      string              `json:"name"`
	About     string              `json:"about,omitempty"`
	Kind      string              `json:"kind"`
	Params    map[string]string   `json:"params,omitempty"`
	Warmup    string              `json:"warmup"`
	Duration  string              `json:"duration"`
	Primary   string              `json:"primary"`
	Isolation map[string]string   `json:"isolation,omitempty"`
	SLOs      []map[string]string `json:"slos,omitempty"`
}

// MarshalJSON writes the scenario as the schema has it. That is YAML too.
func (s *Scenario) MarshalJSON() ([]byte, error) {
	d := document{
		Name: s.Name, About: s.About, Kind: s.Kind.Name, Params: s.Params,
		Warmup: s.Warmup.String(), Duration: s.Duration.String(), Primary: s.Primary,
	}
	for i, value := range s.Isolation.fields() {
		if value == "" {
			continue
		}
		if d.Isolation == nil {
			d.Isolation = map[string]string{}
		}
		d.Isolation[isolationFields[i]] = value
	}
	for _, o := range s.SLOs {
		d.SLOs = append(d.SLOs, map[string]string{metricField: o.Metric, string(o.Limit): o.text()})
	}
	return json.Marshal(d)
}
