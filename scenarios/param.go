// SPDX-License-Identifier: Apache-2.0

package scenarios

import (
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Type is what a parameter's text means.
type Type string

// The types of parameters.
const (
	Int      Type = "int"
	Float    Type = "float"
	Duration Type = "duration" // as time.ParseDuration reads it: 10ms, 2s
	Size     Type = "size"     // bytes, with K, M or G for powers of 1024
	Text     Type = "text"
	Path     Type = "path"   // of a file or folder; a relative one is taken from the working folder
	Choice   Type = "choice" // one of Choices
	Flag     Type = "flag"   // true or false
)

// A Param is one parameter of a kind. Min and Max bound numbers, durations (seconds) and sizes (bytes); both 0 means no bound.
type Param struct {
	Name    string
	Type    Type
	Default string
	Min     float64
	Max     float64
	Choices []string
	About   string
}

// Values are checked parameters, by name.
type Values map[string]string

// Check completes given values with defaults, and says which one is unknown or impossible, and what was expected.
func (k *Kind) Check(given map[string]string) (Values, error) {
	values := Values{}
	for name := range given {
		if !slices.ContainsFunc(k.Params, func(p Param) bool { return p.Name == name }) {
			return nil, fmt.Errorf("parameter %s: %s has none of that name; want one of %s", name, k.Name, strings.Join(k.paramNames(), ", "))
		}
	}
	for _, p := range k.Params {
		text, ok := given[p.Name]
		if !ok {
			text = p.Default
		}
		if err := p.check(text); err != nil {
			return nil, fmt.Errorf("parameter %s: %w", p.Name, err)
		}
		var err error
		if values[p.Name], err = p.whole(text); err != nil {
			return nil, fmt.Errorf("parameter %s: %w", p.Name, err)
		}
	}
	return values, nil
}

// whole makes a path absolute, so that it is the same file for whoever works elsewhere or later.
func (p *Param) whole(text string) (string, error) {
	if p.Type != Path || text == "" {
		return text, nil
	}
	return filepath.Abs(text)
}

func (k *Kind) paramNames() []string {
	names := make([]string, len(k.Params))
	for i, p := range k.Params {
		names[i] = p.Name
	}
	return names
}

func (p *Param) check(text string) error {
	number, err := p.number(text)
	switch {
	case err != nil:
		return err
	case p.Type == Choice && !slices.Contains(p.Choices, text):
		return fmt.Errorf("%q: want one of %s", text, strings.Join(p.Choices, ", "))
	case (p.Min != 0 || p.Max != 0) && (number < p.Min || number > p.Max):
		return fmt.Errorf("%q: want %s", text, p.Bounds())
	}
	return nil
}

// Bounds says in words what is allowed.
func (p *Param) Bounds() string {
	if p.Min == 0 && p.Max == 0 {
		return "any " + string(p.Type)
	}
	return fmt.Sprintf("%s to %s", p.write(p.Min), p.write(p.Max))
}

func (p *Param) write(x float64) string {
	if p.Type == Duration {
		return time.Duration(x * float64(time.Second)).String()
	}
	return strconv.FormatFloat(x, 'f', -1, 64)
}

// number is the value by which bounds are checked; 0 for text.
func (p *Param) number(text string) (float64, error) {
	switch p.Type {
	case Int:
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			return 0, fmt.Errorf("%q: want a whole number", text)
		}
		return float64(n), nil
	case Float:
		x, err := strconv.ParseFloat(text, 64)
		if err != nil || x != x {
			return 0, fmt.Errorf("%q: want a number", text)
		}
		return x, nil
	case Duration:
		d, err := time.ParseDuration(text)
		if err != nil {
			return 0, fmt.Errorf("%q: want a duration such as 10ms or 2s", text)
		}
		return d.Seconds(), nil
	case Size:
		n, err := parseSize(text)
		return float64(n), err
	case Flag:
		if _, err := strconv.ParseBool(text); err != nil {
			return 0, fmt.Errorf("%q: want true or false", text)
		}
	}
	return 0, nil
}

func parseSize(text string) (int64, error) {
	digits := strings.TrimRight(text, "KMG")
	shift := map[string]uint{"": 0, "K": 10, "M": 20, "G": 30}
	s, ok := shift[text[len(digits):]]
	n, err := strconv.ParseInt(digits, 10, 64)
	if err != nil || !ok || n < 0 || n > (1<<62)>>s {
		return 0, fmt.Errorf("%q: want a size such as 64 or 16K", text)
	}
	return n << s, nil
}

// mustNumber is for values that Check has passed: anything else is a defect of the program.
func (v Values) mustNumber(name string, t Type) float64 {
	text, ok := v[name]
	p := Param{Type: t}
	x, err := p.number(text)
	if !ok || err != nil {
		panic(fmt.Sprintf("scenarios: parameter %s was not checked: %v", name, err))
	}
	return x
}

// Int returns a parameter of type Int.
func (v Values) Int(name string) int { return int(v.mustNumber(name, Int)) }

// Float returns a parameter of type Float.
func (v Values) Float(name string) float64 { return v.mustNumber(name, Float) }

// Duration returns a parameter of type Duration.
func (v Values) Duration(name string) time.Duration {
	return time.Duration(v.mustNumber(name, Duration) * float64(time.Second))
}

// Size returns a parameter of type Size, in bytes.
func (v Values) Size(name string) int { return int(v.mustNumber(name, Size)) }

// Flag returns a parameter of type Flag.
func (v Values) Flag(name string) bool { return v[name] == "true" || v[name] == "1" || v[name] == "t" }

// Text returns a parameter as it was given.
func (v Values) Text(name string) string { return v[name] }
