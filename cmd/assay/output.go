// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/google/pprof/profile"

	"github.com/assaylab/assay/internal/atomicfile"
	"github.com/assaylab/assay/internal/pprofio"
	"github.com/assaylab/assay/profiler"
	"github.com/assaylab/assay/reports"
)

// job is a file to write: with a mode, only the sample types of that one go into it.
type job struct {
	mode profiler.Mode // "": all
	path string
}

// modeTypes are the sample types of each mode.
var modeTypes = map[profiler.Mode][]string{
	profiler.CPU:    {"samples", "cpu"},
	profiler.OffCPU: {"off_cpu_events", "off_cpu", "runqueue"},
	profiler.Wall:   {"wall"},
}

var extensions = map[string]string{"pprof": ".pb.gz", "folded": ".folded", "text": ".txt", "flamegraph": ".html"}

// plan checks the flags that are not the recorder's, and says what will be written.
func (f *recordFlags) plan(now time.Time) ([]job, error) {
	var err error
	if f.opts.Modes, err = profiler.ParseModes(f.modes); err != nil {
		return nil, err
	}
	if f.opts.Freq == 0 {
		return nil, errors.New("frequency 0: want 1 to " + fmt.Sprint(profiler.MaxFreq) + " samples a second")
	}
	ext, ok := extensions[f.format]
	if !ok {
		return nil, fmt.Errorf("format %q: want pprof, folded, text or flamegraph", f.format)
	}
	if f.json && f.output == "-" {
		return nil, errors.New("--json and --output -: both want stdout; give the profile a file")
	}
	jobs := f.jobs(now, ext)
	return jobs, checkOutputs(jobs)
}

func (f *recordFlags) jobs(now time.Time, ext string) []job {
	stamp := now.Format("20060102-150405")
	if !f.split {
		path := f.output
		if path == "" {
			path = "assay-" + strings.ReplaceAll(f.modes, ",", "+") + "-" + stamp + ext
		}
		return []job{{path: path}}
	}
	var jobs []job
	for _, m := range f.opts.Modes {
		path := "assay-" + string(m) + "-" + stamp + ext
		if f.output != "" {
			path = insertMode(f.output, string(m))
		}
		jobs = append(jobs, job{m, path})
	}
	return jobs
}

// insertMode puts a mode before the extension of a file name: run.pb.gz becomes run-cpu.pb.gz.
func insertMode(path, mode string) string {
	slash := strings.LastIndexByte(path, '/') + 1
	if dot := strings.IndexByte(path[slash:], '.'); dot > 0 {
		return path[:slash+dot] + "-" + mode + path[slash+dot:]
	}
	return path + "-" + mode
}

// part is what goes into the file of a job.
func (j job) part(p *profile.Profile) *profile.Profile {
	if j.mode == "" {
		return p
	}
	return onlyTypes(p, modeTypes[j.mode])
}

// onlyTypes is p with some sample types only, and without the samples that have no value in them.
func onlyTypes(p *profile.Profile, types []string) *profile.Profile {
	out := p.Copy()
	var keep []int
	out.SampleType = nil
	for i, t := range p.SampleType {
		if slices.Contains(types, t.Type) {
			keep = append(keep, i)
			out.SampleType = append(out.SampleType, t)
		}
	}
	out.DefaultSampleType = types[len(types)-1]
	if slices.Contains(types, "off_cpu") {
		out.DefaultSampleType = "off_cpu"
	}
	samples := out.Sample[:0]
	for _, s := range out.Sample {
		values, any := make([]int64, len(keep)), false
		for i, k := range keep {
			values[i] = s.Value[k]
			any = any || values[i] != 0
		}
		if s.Value = values; any {
			samples = append(samples, s)
		}
	}
	out.Sample = samples
	if !slices.Contains(types, "wall") {
		dropThreadRoots(out)
	}
	return out.Compact()
}

// dropThreadRoots takes away the frame of the thread that wall mode puts under each stack.
func dropThreadRoots(p *profile.Profile) {
	for _, s := range p.Sample {
		if n := len(s.Location); n > 1 && isThreadRoot(s.Location[n-1]) {
			s.Location = s.Location[:n-1]
		}
	}
}

func isThreadRoot(l *profile.Location) bool {
	return l.Mapping == nil && len(l.Line) == 1 && strings.HasPrefix(l.Line[0].Function.Name, "thread ")
}

// write writes the file of a job in the format that was asked for.
func (f *recordFlags) write(j job, p *profile.Profile, out io.Writer) error {
	p = j.part(p)
	if f.format == "pprof" {
		if j.path == "-" {
			return pprofio.Write(out, p)
		}
		return pprofio.WriteFile(j.path, p)
	}
	render := func(w io.Writer) error {
		switch f.format {
		case "folded":
			return reports.Folded(w, p, reports.FoldedOptions{})
		case "text":
			return reports.Text(w, p, reports.TextOptions{Color: w == out && isTerminal(out)})
		}
		return reports.FlameGraph(w, p, reports.FlameGraphOptions{})
	}
	if j.path == "-" {
		return render(out)
	}
	return atomicfile.Write(j.path, 0o644, render)
}
