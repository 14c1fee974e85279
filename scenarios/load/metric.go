// SPDX-License-Identifier: Apache-2.0

package load

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/perf/benchfmt"
)

// A metric finds a number in what a command printed to stdout and stderr. Its errors say what was expected.
type metric func(out, errOut []byte) (float64, error)

func newMetric(format, pattern string) (metric, error) {
	switch format {
	case "json":
		return jsonMetric(pattern)
	case "benchfmt":
		return benchMetric(pattern)
	}
	return regexpMetric(pattern)
}

// number reads a number. What isn't finite can't be compared.
func number(text string) (float64, error) {
	x, err := strconv.ParseFloat(text, 64)
	if err != nil {
		return 0, fmt.Errorf("%q: want a number", text)
	}
	return finite(x)
}

func finite(x float64) (float64, error) {
	if math.IsInf(x, 0) || math.IsNaN(x) {
		return 0, fmt.Errorf("%v: want a number that is finite", x)
	}
	return x, nil
}

// regexpMetric reads the group of the first match, in stdout or else in stderr.
func regexpMetric(pattern string) (metric, error) {
	re, err := regexp.Compile(pattern)
	if err != nil {
		return nil, err
	}
	if re.NumSubexp() != 1 {
		return nil, fmt.Errorf("%q has %d groups: want one, around the number, such as: took ([0-9.]+) ms", pattern, re.NumSubexp())
	}
	return func(out, errOut []byte) (float64, error) {
		for _, text := range [][]byte{out, errOut} {
			if found := re.FindSubmatch(text); found != nil {
				return number(string(found[1]))
			}
		}
		return 0, fmt.Errorf("nothing matches %q%s", pattern, lastLine(out))
	}, nil
}

// jsonMetric reads what a path leads to in a document on stdout: the names of members, and numbers of elements from 0, with dots between.
func jsonMetric(path string) (metric, error) {
	if path == "" {
		return nil, errors.New("want a path into the JSON, such as results.0.mean")
	}
	return func(out, _ []byte) (float64, error) {
		var at any
		decoder := json.NewDecoder(bytes.NewReader(out))
		decoder.UseNumber()
		if err := decoder.Decode(&at); err != nil {
			return 0, fmt.Errorf("want JSON: %w", err)
		}
		for _, name := range strings.Split(path, ".") {
			var err error
			if at, err = enter(at, name); err != nil {
				return 0, fmt.Errorf("path %s: %w", path, err)
			}
		}
		n, ok := at.(json.Number)
		if !ok {
			return 0, fmt.Errorf("path %s: want a number, and it leads to %s", path, kindOf(at))
		}
		return number(n.String())
	}, nil
}

// enter takes one step of a path.
func enter(at any, name string) (any, error) {
	switch v := at.(type) {
	case map[string]any:
		if member, ok := v[name]; ok {
			return member, nil
		}
		return nil, fmt.Errorf("no member %q: want one of %s", name, strings.Join(slices.Sorted(maps.Keys(v)), ", "))
	case []any:
		if i, err := strconv.Atoi(name); err == nil && i >= 0 && i < len(v) {
			return v[i], nil
		}
		return nil, fmt.Errorf("no element %q: want 0 to %d", name, len(v)-1)
	}
	return nil, fmt.Errorf("no %q in %s: want an object or an array", name, kindOf(at))
}

// kindOf says in JSON's words what a value is.
func kindOf(v any) string {
	switch v.(type) {
	case map[string]any:
		return "an object"
	case []any:
		return "an array"
	case string:
		return "a string"
	case json.Number:
		return "a number"
	case bool:
		return "true or false"
	}
	return "null"
}

// benchMetric reads the median of a benchmark's lines on stdout.
func benchMetric(pattern string) (metric, error) {
	words := strings.Fields(pattern)
	if len(words) != 2 {
		return nil, fmt.Errorf("%q: want a benchmark and its unit, such as Encode/4K ns/op", pattern)
	}
	name, unit := strings.TrimPrefix(words[0], "Benchmark"), words[1]
	return func(out, _ []byte) (float64, error) {
		found, err := benchValues(out, name, unit)
		switch {
		case err != nil:
			return 0, err
		case len(found) == 0:
			return 0, fmt.Errorf("no line of Benchmark%s in %s: want one such as: Benchmark%s-8 1000 123 %s%s", name, unit, name, unit, lastLine(out))
		}
		return finite(median(found))
	}, nil
}

// benchValues finds the values of a unit on the lines of a benchmark. A line that isn't in the format is an error only if nothing was
// found: it may be what the program printed besides.
func benchValues(out []byte, name, unit string) (found []float64, err error) {
	lines := benchfmt.NewReader(bytes.NewReader(out), "stdout")
	for lines.Scan() {
		switch record := lines.Result().(type) {
		case *benchfmt.Result:
			for _, v := range record.Values {
				v = asWritten(v)
				if v.Unit == unit && sameBenchmark(record.Name.String(), name) {
					found = append(found, v.Value)
				}
			}
		case *benchfmt.SyntaxError:
			err = cmp.Or[error](err, record)
		}
	}
	if len(found) > 0 {
		err = nil
	}
	return found, errors.Join(err, lines.Err())
}

// asWritten undoes the reader's change to base units, such as ns to sec.
func asWritten(v benchfmt.Value) benchfmt.Value {
	if v.OrigUnit == "" {
		return v
	}
	return benchfmt.Value{Value: v.OrigValue, Unit: v.OrigUnit}
}

// sameBenchmark reports whether a name is the one that is wanted, perhaps with the number of CPUs behind it.
func sameBenchmark(name, wanted string) bool {
	cpus, ok := strings.CutPrefix(name, wanted)
	if !ok || cpus == "" {
		return ok
	}
	n, err := strconv.Atoi(cpus)
	return err == nil && n < 0 // -8
}

func median(x []float64) float64 {
	slices.Sort(x)
	return (x[(len(x)-1)/2] + x[len(x)/2]) / 2
}
