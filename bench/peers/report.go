// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"runtime"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// A Report is what --json writes.
type Report struct {
	Environment Environment `json:"environment"`
	Seed        uint64      `json:"seed"`
	Rounds      int         `json:"rounds"`
	Results     []Result    `json:"results"`
}

// An Environment is where it was measured, and what.
type Environment struct {
	Date     string `json:"date"`
	Kernel   string `json:"kernel"`
	Arch     string `json:"arch"`
	CPUs     int    `json:"cpus"`
	Assay    string `json:"assay"`
	Perf     string `json:"perf"`
	Bpftrace string `json:"bpftrace"`
}

// A Result is one benchmark's.
type Result struct {
	Benchmark string        `json:"benchmark"`
	About     string        `json:"about"`
	Arms      []ArmResult   `json:"arms"`
	Claims    []ClaimResult `json:"claims"`
	Failures  []string      `json:"failures,omitempty"` // of runs that were then tried again
	metrics   []string
}

// An ArmResult has the metrics of an arm.
type ArmResult struct {
	Name    string             `json:"name"`
	Metrics map[string]Summary `json:"metrics"`
}

// A ClaimResult is a comparison: the median of an arm's metric, or of its ratio to another arm's, with its 95% interval.
type ClaimResult struct {
	Metric  string  `json:"metric"`
	Arm     string  `json:"arm"`
	Over    string  `json:"over,omitempty"`
	Rounds  int     `json:"rounds"` // that had both
	Median  float64 `json:"median"`
	Low     float64 `json:"low"`
	High    float64 `json:"high"`
	Limit   float64 `json:"limit,omitempty"` // 0: only reported
	AtLeast bool    `json:"at_least,omitempty"`
	Reached bool    `json:"reached"`
}

func environment(l *lab) Environment {
	e := Environment{Date: time.Now().Format(time.DateOnly), Arch: runtime.GOARCH, CPUs: runtime.NumCPU()}
	var u unix.Utsname
	if err := unix.Uname(&u); err == nil {
		e.Kernel = unix.ByteSliceToString(u.Release[:])
	}
	e.Assay = versionOf(l.assay, "version")
	e.Perf = versionOf("perf", "--version")
	e.Bpftrace = versionOf("bpftrace", "--version")
	return e
}

// versionOf is what a program says of itself, or why it doesn't.
func versionOf(program, flag string) string {
	out, err := output(program, flag)
	if err != nil {
		return err.Error()
	}
	return firstLine(out)
}

func (r *Report) json(w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(r)
}

func (r *Report) markdown(w io.Writer) error {
	var b strings.Builder
	e := r.Environment
	fmt.Fprintf(&b, "%s, Linux %s %s, %d CPUs; %s, %s, %s; %d rounds, seed %d. Medians, with the lowest and highest round.\n",
		e.Date, e.Kernel, e.Arch, e.CPUs, e.Assay, e.Perf, e.Bpftrace, r.Rounds, r.Seed)
	for i := range r.Results {
		r.Results[i].markdown(&b)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func (r *Result) markdown(b *strings.Builder) {
	fmt.Fprintf(b, "\n### %s\n\n%s\n\n", r.Benchmark, r.About)
	fmt.Fprintf(b, "| arm | %s |\n|%s\n", strings.Join(r.metrics, " | "), strings.Repeat(" --- |", len(r.metrics)+1))
	for _, a := range r.Arms {
		fmt.Fprintf(b, "| %s |", a.Name)
		for _, m := range r.metrics {
			fmt.Fprintf(b, " %s |", cell(a.Metrics, m))
		}
		b.WriteByte('\n')
	}
	b.WriteByte('\n')
	for _, c := range r.Claims {
		fmt.Fprintf(b, "- %s\n", c)
	}
	for _, f := range r.Failures {
		fmt.Fprintf(b, "- failed, and tried again up to twice: %s\n", f)
	}
}

func cell(metrics map[string]Summary, name string) string {
	s, ok := metrics[name]
	if !ok {
		return "–"
	}
	return fmt.Sprintf("%s (%s–%s)", number(s.Median), number(s.Min), number(s.Max))
}

// String says the claim in words, and what became of it.
func (c ClaimResult) String() string {
	what := c.Metric + ", " + c.Arm
	if c.Over != "" {
		what += " / " + c.Over
	}
	if c.Rounds == 0 {
		return what + ": not measured"
	}
	unit := ""
	if c.Over != "" {
		unit = "×"
	}
	s := fmt.Sprintf("%s: %s%s [%s, %s]", what, number(c.Median), unit, number(c.Low), number(c.High))
	if c.Limit == 0 {
		return s
	}
	return s + c.outcome(unit)
}

// outcome says whether a limit was reached, and how far off it is.
func (c ClaimResult) outcome(unit string) string {
	bound, word := "at most", "**missed**"
	if c.AtLeast {
		bound = "at least"
	}
	if c.Reached {
		word = "reached"
	}
	return fmt.Sprintf("; %s %s%s: %s (%s of the limit)", bound, number(c.Limit), unit, word, number(c.Median/c.Limit)+"×")
}

// number shows three digits, or all before the point.
func number(x float64) string {
	if x >= 100 || x <= -100 {
		return strconv.FormatFloat(x, 'f', 0, 64)
	}
	return strconv.FormatFloat(x, 'g', 3, 64)
}

// verdict is an error if a limit was missed, or if nobody knows.
func (r *Report) verdict() error {
	var errs []error
	for _, result := range r.Results {
		for _, c := range result.Claims {
			if c.Limit != 0 && !c.Reached {
				errs = append(errs, fmt.Errorf("%s: %s", result.Benchmark, c))
			}
		}
	}
	return errors.Join(errs...)
}
