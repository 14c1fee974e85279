// SPDX-License-Identifier: Apache-2.0

package scenarios

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/goccy/go-yaml/ast"
)

// maxFile is how long a scenario may be, in bytes.
const maxFile = 64 << 10

// maxProblems is how many problems of a file are told; who sees that many has the wrong file.
const maxProblems = 20

// A Problem is something that is wrong in a file with a scenario, and what was expected. Lines and columns count from 1, columns in characters.
type Problem struct {
	File         string
	Line, Column int
	Text         string // in one line
}

func (p *Problem) Error() string {
	return fmt.Sprintf("%s:%d:%d: %s", p.File, p.Line, p.Column, p.Text)
}

// The names of the fields that have more than a text.
const (
	kindField      = "kind"
	paramsField    = "params"
	isolationField = "isolation"
	cpusField      = "cpus"
	cpuLimitField  = "cpu_limit"
	memLimitField  = "memory_limit"
	slosField      = "slos"
	metricField    = "metric"
)

// isolationFields are those of the isolation.
var isolationFields = []string{cpusField, cpuLimitField, memLimitField}

// ReadFile parses a scenario in a file.
func ReadFile(path string, kinds []Kind) (*Scenario, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, err
	}
	return Parse(path, text, kinds)
}

// Parse reads a scenario in YAML, whose kind is one of kinds and has to outlive it. The file's name is for errors. An error is one
// [Problem] or several, joined in the order of their lines. Text is hostile: it may be anything.
func Parse(file string, text []byte, kinds []Kind) (*Scenario, error) {
	r := &reader{file: file, kinds: kinds}
	s := r.scenario(text)
	if len(r.problems) == 0 {
		return s, nil
	}
	slices.SortStableFunc(r.problems, func(a, b *Problem) int { return cmp.Or(a.Line-b.Line, a.Column-b.Column) })
	var all []error
	for i, p := range r.problems {
		if i == maxProblems {
			p.Text = fmt.Sprintf("%d more problems; want these mended first", len(r.problems)-i)
			return nil, errors.Join(append(all, p)...)
		}
		all = append(all, p)
	}
	return nil, errors.Join(all...)
}

// reader collects what is wrong while it reads a file.
type reader struct {
	file     string
	kinds    []Kind
	problems []*Problem
}

func (r *reader) scenario(text []byte) *Scenario {
	root := r.document(text)
	if root == nil {
		return nil
	}
	s := &Scenario{Warmup: defaultWarmup, Duration: defaultDuration, Primary: defaultPrimary}
	top := r.fields(root, "a scenario", topFields())
	if top == nil {
		return nil
	}
	for _, name := range []string{"name", kindField} {
		if _, ok := top[name]; !ok {
			r.fail(root, "a scenario without a %s; want %s: …", name, name)
		}
	}
	for _, t := range settings {
		if f, ok := top[t.name]; ok {
			r.set(s, t, f)
		}
	}
	r.isolation(s, top)
	r.slos(s, top)
	r.work(s, top)
	return s
}

// topFields are the fields of a scenario, in the order in which they are written.
func topFields() []string {
	return []string{"name", "about", kindField, paramsField, "warmup", "duration", "primary", isolationField, slosField}
}

func (r *reader) set(s *Scenario, t setting, f field) {
	text, ok := r.scalar(f)
	if !ok {
		return
	}
	if err := t.set(s, text); err != nil {
		r.fail(f.value, "%s", err)
	}
}

func (r *reader) isolation(s *Scenario, top map[string]field) {
	f, ok := top[isolationField]
	if !ok {
		return
	}
	given := r.fields(f.value, isolationField, isolationFields)
	for _, name := range isolationFields {
		if value, ok := given[name]; ok {
			i := slices.IndexFunc(settings, func(t setting) bool { return t.name == name })
			r.set(s, settings[i], value)
		}
	}
}

func (r *reader) slos(s *Scenario, top map[string]field) {
	f, ok := top[slosField]
	if !ok {
		return
	}
	list, ok := f.value.(*ast.SequenceNode)
	if !ok {
		r.fail(f.value, "%s is %s; want a list of objectives", slosField, describe(f.value))
		return
	}
	for _, n := range list.Values {
		o, ok := r.slo(n)
		if !ok {
			continue
		}
		if err := s.addSLO(o); err != nil {
			r.fail(n, "%s", err)
		}
	}
}

// slo reads an objective: a metric and one limit.
func (r *reader) slo(n ast.Node) (SLO, bool) {
	before := len(r.problems)
	fields := r.fields(n, "an objective", []string{metricField, string(Max), string(Min)})
	name, ok := fields[metricField]
	limit, o := fields[string(Max)], SLO{Limit: Max}
	if limit.value == nil {
		limit, o.Limit = fields[string(Min)], Min
	}
	if len(r.problems) == before && (!ok || len(fields) != 2) {
		r.fail(n, "an objective with %s; want metric, and either max or min", listed(fields))
	}
	if len(r.problems) > before {
		return o, false
	}
	o.Metric, _ = r.scalar(name)
	if _, err := metricType(o.Metric); err != nil {
		r.fail(name.value, "%s", err)
		return o, false
	}
	text, ok := r.scalar(limit)
	if !ok {
		return o, false
	}
	if err := o.parseValue(text); err != nil {
		r.fail(limit.value, "%s", err)
		return o, false
	}
	return o, true
}

// work reads the kind and its parameters.
func (r *reader) work(s *Scenario, top map[string]field) {
	kind, ok := top[kindField]
	if !ok {
		return
	}
	name, ok := r.scalar(kind)
	if !ok {
		return
	}
	var err error
	if s.Kind, err = FindKind(r.kinds, name); err != nil {
		r.fail(kind.value, "%s", err)
		return
	}
	before := len(r.problems)
	params := r.params(s, top)
	if len(r.problems) > before {
		return
	}
	if _, err := s.Check(); err != nil {
		r.fail(blame(err, params, kind), "%s", err)
	}
}

// params reads the parameters, each by itself, and returns where they are.
func (r *reader) params(s *Scenario, top map[string]field) map[string]field {
	f, ok := top[paramsField]
	if !ok || isNull(f.value) { // all may be commented out
		return nil
	}
	given := r.fields(f.value, s.Kind.Name, s.Kind.paramNames())
	for name, param := range given {
		text, ok := r.scalar(param)
		if !ok {
			continue
		}
		if err := s.Kind.checkOne(name, text); err != nil {
			r.fail(param.value, "%s", err)
			continue
		}
		if s.Params == nil {
			s.Params = map[string]string{}
		}
		s.Params[name] = text
	}
	return given
}

// blame finds the place of what a kind says is wrong with its parameters together: that of the parameter it names, otherwise that of the kind.
func blame(err error, params map[string]field, kind field) ast.Node {
	if rest, ok := strings.CutPrefix(err.Error(), "parameter "); ok {
		name, _, _ := strings.Cut(rest, ":")
		if f, ok := params[name]; ok {
			return f.value
		}
	}
	return kind.value
}
