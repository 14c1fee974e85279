// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/google/pprof/profile"

	"github.com/assaylab/assay/internal/facts"
)

// stackDepth is how deep the programs called deep call, from the one that main calls; stackSeconds how long each works.
const (
	stackDepth   = 30
	stackSeconds = 2
)

// leastWhole is the share of time with whole stacks that a recording has to have. Of those none may be wrong; what isn't whole is counted
// as such by the recorder, and is mostly the time until it has the tables of the program, which takes longer when a CPU is emulated.
const leastWhole = 0.95

// rightStacks say whether the stacks in the profile of a program are right, by its source.
var rightStacks = map[string]func(*profile.Profile) error{"deep": rightDepths, "forced": rightLevels}

// steps are the functions that call each other in the programs called deep.
var steps = []string{"plain", "wide", "aligned", "dynamic", "many"}

// wholeStacks records programs whose stacks have a known depth, and that were compiled for this architecture without our walker in mind.
func wholeStacks() (seen observation, err error) {
	files, err := filepath.Glob("/stacks/*")
	if err == nil && len(files) == 0 {
		err = errors.New("no program was packed")
	}
	var details []string
	for _, file := range files {
		for range attempts {
			var detail string
			if detail, seen.output, err = stacksOf(file); err == nil {
				details = append(details, detail)
				break
			}
		}
		if err != nil {
			break
		}
	}
	seen.detail = strings.Join(details, ", ")
	return seen, err
}

// stacksOf records one program and says how much of it was whole.
func stacksOf(file string) (detail, complaints string, err error) {
	name, out := filepath.Base(file), "/tmp/stacks.pb.gz"
	_, complaints, err = assay("record", "--mode", "cpu", "--freq", strconv.Itoa(recordHz), "--output", out, "--",
		file, strconv.Itoa(stackSeconds), strconv.Itoa(stackDepth))
	if err != nil {
		return "", complaints, err
	}
	p, err := readProfile(out)
	if err != nil {
		return "", complaints, err
	}
	share, err := wholeShare(p)
	if err != nil {
		return "", complaints, err
	}
	detail = fmt.Sprintf("%s %.1f%% whole", name, 100*share)
	if share < leastWhole {
		return detail, complaints, fmt.Errorf("%s, want %.0f%% at least", detail, 100*leastWhole)
	}
	source, _, _ := strings.Cut(name, "-")
	if right := rightStacks[source]; right != nil {
		err = right(p)
	}
	return detail, complaints, err
}

// wholeShare is the share of all time with a stack whose stack is whole, as the profile says.
func wholeShare(p *profile.Profile) (float64, error) {
	const prefix = "time_ns."
	known, err := facts.Parse(p.Comments)
	if err != nil {
		return 0, err
	}
	var whole, all float64
	for _, f := range known.Group(prefix) {
		ns, ok := known.Float(prefix + f.Key)
		if !ok {
			return 0, fmt.Errorf("fact %s%s is %q: want a number", prefix, f.Key, f.Value)
		}
		if all += ns; f.Key == "whole" {
			whole = ns
		}
	}
	if all == 0 {
		return 0, errors.New("no time of stacks in the profile")
	}
	return whole / all, nil
}

// rightDepths wants each stack from main to work to have all calls between.
func rightDepths(p *profile.Profile) error {
	var right, wrong int64
	for _, s := range p.Sample {
		names := functionsOf(s)
		if !slices.Contains(names, "work") || !slices.Contains(names, "main") {
			continue
		}
		calls := 0
		for _, name := range names {
			if slices.Contains(steps, name) {
				calls++
			}
		}
		if calls == stackDepth+1 {
			right += s.Value[0]
		} else {
			wrong += s.Value[0]
		}
	}
	if right == 0 || wrong > 0 {
		return fmt.Errorf("%d stacks from main to work have %d calls between, %d another number", right, stackDepth+1, wrong)
	}
	return nil
}

// levels are how many functions called level0, level1 and so on call each other in the program called forced.
const levels = 10

// rightLevels wants each level to be called by the one before, and level0 by main.
func rightLevels(p *profile.Profile) error {
	var right, wrong int64
	var seen [levels]bool
	var example []string
	for _, s := range p.Sample {
		names := functionsOf(s)
		at := slices.IndexFunc(names, func(name string) bool { return strings.HasPrefix(name, "level") })
		if at < 0 {
			continue
		}
		if called, level := callers(names[at:]); called {
			right += s.Value[0]
			seen[level] = true
		} else {
			wrong += s.Value[0]
			example = names
		}
	}
	if wrong > 0 || slices.Contains(seen[:], false) {
		return fmt.Errorf("%d stacks are right, %d are not, as %v; the innermost levels: %v", right, wrong, example, seen)
	}
	return nil
}

// callers gives the level of the first of some functions, and says whether all levels before it are its callers. Of a broken stack the rest is missing.
func callers(names []string) (right bool, level int) {
	if _, err := fmt.Sscanf(names[0], "level%d", &level); err != nil || level < 0 || level >= levels {
		return false, 0
	}
	for i, name := range names {
		want := "main"
		if i <= level {
			want = fmt.Sprintf("level%d", level-i)
		}
		if name != want && !strings.HasPrefix(name, want+".") { // gcc calls a part level0.cold
			return false, level
		}
		if want == "main" {
			break
		}
	}
	return true, level
}

// functionsOf are the names of a sample's frames.
func functionsOf(s *profile.Sample) []string {
	var names []string
	for _, l := range s.Location {
		for _, line := range l.Line {
			names = append(names, line.Function.Name)
		}
	}
	return names
}
