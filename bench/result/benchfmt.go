// SPDX-License-Identifier: Apache-2.0

package result

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/perf/benchfmt"
)

// WriteBenchfmt writes records as Go's benchmark format (https://go.dev/design/14313-benchmark-format), one line a trial:
//
//	BenchmarkTcp_echo/arm=baseline 1 182000 op/s 5200 p50-ns
//
// so that `benchstat -col /arm` compares them. Scenario, kind, seed, environment and the environment's facts are configuration lines. In a name
// or arm, what the format would take apart is percent-encoded (the arm a/a is a%2Fa); the scenario line has the name as it is.
//
// A metric's unit begins with its name less "latency_" and "_per_op", as in p99-ns and cpu-ns/op; the throughput's is op/s or B/s alone, and
// that of time_per_op ns/op. The line "Unit … better=…" tells which way is good where all records agree on it. Each record has to pass
// [Record.Check]. One that failed becomes a comment. Parameters, counters, histograms and warnings are left to the JSON lines: benchstat would
// make a table of its own for each.
func WriteBenchfmt(w io.Writer, environments []Environment, records []Record) error {
	out := benchfmt.NewWriter(w)
	facts := map[string]map[string]string{}
	for _, e := range environments {
		facts[e.ID] = e.Facts
	}
	if err := writeUnits(out, records); err != nil {
		return err
	}
	for i := range records {
		r := &records[i]
		if err := r.Check(); err != nil {
			return err
		}
		if err := r.writeBenchfmt(w, out, facts[r.Environment]); err != nil {
			return fmt.Errorf("write block %d, arm %s as benchfmt: %w", r.Block, r.Arm, err)
		}
	}
	return nil
}

func (r *Record) writeBenchfmt(w io.Writer, out *benchfmt.Writer, facts map[string]string) error {
	if len(r.Metrics) == 0 {
		_, err := fmt.Fprintf(w, "# block %d, arm %s has no figures: %s\n", r.Block, r.Arm, r.Failed)
		return err
	}
	values, err := r.benchValues()
	if err != nil {
		return err
	}
	return out.Write(&benchfmt.Result{Config: r.benchConfig(facts), Name: benchfmt.Name(r.benchName()), Iters: 1, Values: values})
}

// benchName is the name after "Benchmark". The format wants it to begin with a capital.
func (r *Record) benchName() string {
	name := benchEscape(r.Scenario)
	first, size := utf8.DecodeRuneInString(name)
	return string(unicode.ToUpper(first)) + name[size:] + "/arm=" + benchEscape(r.Arm)
}

// benchEscape percent-encodes what ends a name or a part of it: space, /, %, and a last "-" before digits, which would be GOMAXPROCS.
func benchEscape(name string) string {
	stem := strings.TrimRight(name, "0123456789")
	dash := len(stem) - 1
	if dash < 0 || stem[dash] != '-' || len(stem) == len(name) {
		dash = -1
	}
	var b strings.Builder
	for i, c := range name {
		if unicode.IsSpace(c) || c == '/' || c == '%' || i == dash {
			for _, octet := range []byte(string(c)) {
				fmt.Fprintf(&b, "%%%02X", octet)
			}
			continue
		}
		b.WriteRune(c)
	}
	return b.String()
}

// benchConfig is the configuration of r, in an order of its own.
func (r *Record) benchConfig(facts map[string]string) []benchfmt.Config {
	values := []string{r.Scenario, r.Kind, strconv.FormatUint(r.Seed, 10), r.Environment}
	var config []benchfmt.Config
	add := func(key, value string) {
		if value = strings.TrimSpace(value); value != "" { // no value would take the key away
			config = append(config, benchfmt.Config{Key: key, Value: []byte(value), File: true})
		}
	}
	for i, key := range configKeys {
		add(key, values[i])
	}
	for _, key := range slices.Sorted(maps.Keys(facts)) {
		add(key, facts[key])
	}
	return config
}

// benchValues are the metrics of r, the primary one first.
func (r *Record) benchValues() ([]benchfmt.Value, error) {
	names := slices.SortedFunc(maps.Keys(r.Metrics), func(a, b string) int {
		if r.Metrics[a].Main != r.Metrics[b].Main {
			return map[bool]int{true: -1, false: 1}[r.Metrics[a].Main]
		}
		return strings.Compare(a, b)
	})
	var values []benchfmt.Value
	taken := map[string]string{}
	for _, name := range names {
		m := r.Metrics[name]
		unit := benchUnit(name, m.Unit)
		if other, ok := taken[unit]; ok {
			return nil, fmt.Errorf("metrics %s and %s have the same unit %s", other, name, unit)
		}
		taken[unit] = name
		values = append(values, benchfmt.Value{Value: m.Value, Unit: unit})
	}
	return values, nil
}

// benchUnit is the unit of a metric in benchfmt, where it names the metric too.
func benchUnit(name, unit string) string {
	if name == "throughput" || name == "time_per_op" {
		return unit
	}
	short := strings.TrimPrefix(name, "latency_")
	if strings.HasSuffix(unit, "/op") {
		short = strings.TrimSuffix(short, "_per_op")
	}
	return short + "-" + unit
}

// writeUnits says of each unit whether more or less of it is better, unless records contradict each other.
func writeUnits(out *benchfmt.Writer, records []Record) error {
	better := map[string]string{}
	for _, r := range records {
		for name, m := range r.Metrics {
			unit, way := benchUnit(name, m.Unit), "lower"
			if m.More {
				way = "higher"
			}
			if known, ok := better[unit]; ok && known != way {
				way = ""
			}
			better[unit] = way
		}
	}
	for _, unit := range slices.Sorted(maps.Keys(better)) {
		if better[unit] == "" {
			continue
		}
		m := benchfmt.UnitMetadata{UnitMetadataKey: benchfmt.UnitMetadataKey{Unit: unit, Key: "better"}, OrigUnit: unit, Value: better[unit]}
		if err := out.Write(&m); err != nil {
			return err
		}
	}
	return nil
}
