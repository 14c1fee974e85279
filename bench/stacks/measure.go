// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/assaylab/assay/internal/facts"
	"github.com/assaylab/assay/internal/pprofio"
	"github.com/assaylab/assay/profiler"
)

// patience is how long a case may take, with its compiler, before it is killed.
const patience = 2 * time.Minute

// A lab has what all cases need.
type lab struct {
	*settings
	folder string
}

// A row is what is known of a case. Shares are of the recorded CPU time, by the quality of its stack.
type row struct {
	Case    string             `json:"case"`
	Samples int64              `json:"samples"`
	Shares  map[string]float64 `json:"shares,omitempty"`
	Failed  string             `json:"failed,omitempty"` // why it could not be measured
}

// timePrefix is what the keys of time by quality of stack begin with, see docs/reference/facts.md.
const timePrefix = "time_ns."

// measure builds and records one case.
func (l *lab) measure(ctx context.Context, c program) row {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	r := row{Case: c.name}
	f, err := l.record(ctx, c)
	if err == nil {
		err = r.fill(f)
	}
	if err != nil {
		r.Failed = err.Error()
	}
	return r
}

// prepare builds the case in a folder of its own, and returns that.
func (l *lab) prepare(ctx context.Context, c program) (string, error) {
	work, err := os.MkdirTemp(l.folder, "case-")
	if err != nil || c.build == "" {
		return work, err
	}
	return work, l.command(ctx, work, l.words(c.build)...)
}

// record returns the facts of a recording of the case.
func (l *lab) record(ctx context.Context, c program) (facts.Facts, error) {
	work, err := l.prepare(ctx, c)
	if err != nil {
		return facts.Facts{}, err
	}
	profile := filepath.Join(work, "profile.pb.gz")
	args := append([]string{l.assay, "record", "--mode", "cpu", "--freq", "997", "-o", profile}, l.options...)
	if err := l.command(ctx, work, append(append(args, "--"), l.words(c.run)...)...); err != nil {
		return facts.Facts{}, err
	}
	return readFacts(profile)
}

func (l *lab) words(command string) []string {
	return strings.Fields(strings.NewReplacer("{seconds}", strconv.Itoa(l.seconds), "{programs}", filepath.Join(l.folder, "programs")).Replace(command))
}

// command runs a program in a folder; its error has the last line that it said.
func (l *lab) command(ctx context.Context, folder string, args ...string) error {
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Dir = folder
	cmd.WaitDelay = time.Second
	if said, err := cmd.CombinedOutput(); err != nil {
		lines := strings.Split(strings.TrimSpace(string(said)), "\n")
		return fmt.Errorf("%s: %w: %s", filepath.Base(args[0]), err, lines[len(lines)-1])
	}
	return nil
}

func readFacts(path string) (facts.Facts, error) {
	file, err := os.Open(path)
	if err != nil {
		return facts.Facts{}, err
	}
	defer file.Close()
	p, err := pprofio.Read(file)
	if err != nil {
		return facts.Facts{}, err
	}
	return facts.Parse(p.Comments)
}

// fill takes from the facts of a recording how many samples it has, and divides the time of all stacks by their quality.
func (r *row) fill(f facts.Facts) error {
	const samples = "samples_taken"
	var ok bool
	if r.Samples, ok = f.Int(samples); !ok {
		return fmt.Errorf("the profile has no fact %s", samples)
	}
	r.Shares = map[string]float64{}
	var all float64
	for _, fact := range f.Group(timePrefix) {
		ns, ok := f.Float(timePrefix + fact.Key)
		if !ok {
			return fmt.Errorf("fact %s%s is %q: want a number", timePrefix, fact.Key, fact.Value)
		}
		r.Shares[fact.Key] = ns
		all += ns
	}
	for quality := range r.Shares {
		r.Shares[quality] /= max(all, 1)
	}
	return nil
}

// qualities returns those that occur in the rows, by their time. Whole stacks are always among them.
func qualities(rows []row) []string {
	sums := map[string]float64{string(profiler.Whole): 0}
	for _, r := range rows {
		for quality, share := range r.Shares {
			sums[quality] += share
		}
	}
	var all []string
	for quality := range sums {
		all = append(all, quality)
	}
	slices.SortFunc(all, func(a, b string) int {
		return cmp.Or(-cmp.Compare(sums[a], sums[b]), strings.Compare(a, b))
	})
	return all
}
