// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/pprof/profile"

	"github.com/assaylab/assay/ci/kernels/report"
	"github.com/assaylab/assay/internal/facts"
)

// recording is a profile that is taken of a program with known truth.
type recording struct {
	mode       string // of assay record
	flags      []string
	sampleType string // in the profile, in nanoseconds; its neighbour before it is the count
	program    program
	// within says whether the recorded times agree with the truth.
	within func(recorded map[string]measure, truth map[string]report.Span) error
}

// program says itself how much it did of what.
type program struct {
	command []string // how long it is to work follows
	// says reads what it printed.
	says func(out string) (map[string]report.Span, error)
	// right says whether the samples that have one of its functions are right in all but their number.
	right func(p *profile.Profile, truth map[string]report.Span) error
}

// goTruth is the truth program, by one of its names.
func goTruth(name, work string) program {
	return program{command: []string{"/bin/" + name, work}, says: readSpans, right: checkLabels}
}

// readSpans reads what the truth program says.
func readSpans(out string) (truth map[string]report.Span, err error) {
	err = json.Unmarshal([]byte(out), &truth)
	return truth, err
}

// measure is what the profile has for one function.
type measure struct {
	samples int64
	time    time.Duration
}

// recordSeconds is how long a command works.
const recordSeconds = "4"

// recordHz gives the sampled comparison some two thousand samples, so that its interval is a few percent wide.
const recordHz = 499

// attempts bounds how often a recording is made until it agrees with the truth: one right one in some thousands is outside of its interval
// by chance, an emulator that is starved for a while falls behind its timers, and a defect of the recorder shows in every attempt.
const attempts = 3

// check records the work and compares.
func (r recording) check() (seen observation, err error) {
	for range attempts {
		if seen, err = r.attempt(); err == nil {
			return seen, nil
		}
	}
	return seen, err
}

func (r recording) attempt() (observation, error) {
	file := "/tmp/" + r.mode + ".pb.gz"
	args := append([]string{"record", "--mode", r.mode, "--freq", strconv.Itoa(recordHz), "--output", file}, r.flags...)
	args = append(append(args, "--"), r.program.command...)
	out, complaints, err := assay(append(args, recordSeconds)...)
	seen := observation{output: complaints}
	if err != nil {
		return seen, err
	}
	truth, err := r.program.says(out)
	if err != nil {
		return seen, fmt.Errorf("truth %q: %w", out, err)
	}
	p, err := readProfile(file)
	if err != nil {
		return seen, err
	}
	recorded, err := measures(p, r.sampleType, truth)
	if err != nil {
		return seen, err
	}
	if err := addMissing(p, recorded); err != nil {
		return seen, err
	}
	seen.detail = describe(recorded, truth)
	return seen, errors.Join(r.within(recorded, truth), r.program.right(p, truth))
}

// checkLabels wants the samples of a function to have its name as label, once the recorder has found out that the program is by Go, which
// takes it a while here: at least half of them, and none to have that of another.
func checkLabels(p *profile.Profile, functions map[string]report.Span) error {
	var problems []error
	for name := range functions {
		var right, wrong, all int64
		for _, s := range p.Sample {
			if !onStack(s, name) {
				continue
			}
			n := s.Value[0]
			all += n
			switch work := s.Label["work"]; {
			case slices.Equal(work, []string{name}):
				right += n
			case work != nil:
				wrong += n
			}
		}
		if wrong > 0 || right*2 < all {
			problems = append(problems, fmt.Errorf("%s: of %d samples %d have its label, and %d that of another", name, all, right, wrong))
		}
	}
	return errors.Join(problems...)
}

// addMissing gives the times the samples that the profile says it lacks: a timer that an emulator serves late skips some, which is no
// fault of the recorder as long as it says so. Times that are accounted, not sampled, stay as they are.
func addMissing(p *profile.Profile, recorded map[string]measure) error {
	known, err := facts.Parse(p.Comments)
	if err != nil {
		return err
	}
	expected, ok := known.Int("samples_expected")
	taken, _ := known.Int("samples_taken")
	if !ok || taken == 0 || taken >= expected {
		return nil
	}
	for name, m := range recorded {
		m.time = time.Duration(float64(m.time) * float64(expected) / float64(taken))
		recorded[name] = m
	}
	return nil
}

func readProfile(file string) (*profile.Profile, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	p, err := profile.ParseData(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return p, p.CheckValid()
}

// measures adds up the samples that have one of the functions in their stack.
func measures(p *profile.Profile, sampleType string, functions map[string]report.Span) (map[string]measure, error) {
	index := slices.IndexFunc(p.SampleType, func(t *profile.ValueType) bool { return t.Type == sampleType && t.Unit == "nanoseconds" })
	if index < 1 {
		return nil, fmt.Errorf("the profile has no sample type %s/nanoseconds behind its count", sampleType)
	}
	sums := map[string]measure{}
	for _, s := range p.Sample {
		for name := range functions {
			if onStack(s, name) {
				sum := sums[name]
				sums[name] = measure{sum.samples + s.Value[index-1], sum.time + time.Duration(s.Value[index])}
			}
		}
	}
	return sums, nil
}

// onStack looks at the thread's own frames: those of who woke it stand before them.
func onStack(s *profile.Sample, function string) bool {
	own := s.Location[1+slices.IndexFunc(s.Location, isWoken):]
	return slices.ContainsFunc(own, func(l *profile.Location) bool {
		return slices.ContainsFunc(l.Line, func(l profile.Line) bool { return l.Function != nil && l.Function.Name == function })
	})
}

func isWoken(l *profile.Location) bool {
	return len(l.Line) > 0 && strings.HasPrefix(l.Line[0].Function.Name, "[woken by ")
}

// describe is one line: what was recorded of each function, and the truth.
func describe(recorded map[string]measure, truth map[string]report.Span) string {
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(truth)) {
		parts = append(parts, fmt.Sprintf("%s %d ms of %d–%d", name, recorded[name].time.Milliseconds(), truth[name].Least.Milliseconds(), truth[name].Most.Milliseconds()))
	}
	return strings.Join(parts, ", ")
}

// sampled compares shares: n independent samples of a function with share p have a standard deviation of √(p(1−p)/n), and four of them
// hold all but one comparison in sixteen thousand. The sum may be off by as much as n samples can: a relative 4/√n, with the n that are due,
// lest a recording that missed nearly all passes.
func sampled(recorded map[string]measure, truth map[string]report.Span) error {
	var all measure
	var whole time.Duration
	for name := range truth {
		all = measure{all.samples + recorded[name].samples, all.time + recorded[name].time}
		whole += truth[name].Most
	}
	n := float64(all.samples)
	if n == 0 {
		return errors.New("no sample has one of the functions")
	}
	var problems []error
	compare := func(what string, got, want, margin float64) {
		if math.Abs(got-want) > margin {
			problems = append(problems, fmt.Errorf("%s: %.4f recorded, %.4f ± %.4f true, %d samples", what, got, want, margin, all.samples))
		}
	}
	for name, span := range truth {
		p := span.Most.Seconds() / whole.Seconds()
		compare(name, recorded[name].time.Seconds()/all.time.Seconds(), p, 4*math.Sqrt(p*(1-p)/n))
	}
	compare("sum in seconds", all.time.Seconds(), whole.Seconds(), 4*whole.Seconds()/math.Sqrt(whole.Seconds()*recordHz))
	return errors.Join(problems...)
}

// exactly wants each recorded time within what the program knows of itself.
func exactly(recorded map[string]measure, truth map[string]report.Span) error {
	var problems []error
	for name, span := range truth {
		if got := recorded[name].time; got < span.Least || got > span.Most {
			problems = append(problems, fmt.Errorf("%s: %s recorded, %s to %s true", name, got, span.Least, span.Most))
		}
	}
	return errors.Join(problems...)
}
