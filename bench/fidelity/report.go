// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"io"
	"math"
	"slices"

	"github.com/assaylab/assay/scenarios/syscall/replay"
	"github.com/assaylab/assay/scenarios/syscall/trace"
)

// A cost is the calls of one name.
type cost struct {
	calls float64
	time  float64 // ns
}

// A round is a recording and its replay, by the names of calls.
type round struct {
	whole          map[string]cost // all of the recording that ended
	recorded, made map[string]cost // those that were replayed
	left, differ   int64           // not replayed; with another result
}

type rounds []round

func newRound(recording *trace.Recording, f *replay.Fidelity) round {
	r := round{whole: map[string]cost{}, recorded: map[string]cost{}, made: map[string]cost{}}
	for i := range recording.Calls {
		c := &recording.Calls[i]
		if c.Duration == trace.Unfinished || c.Name == "execve" { // whose time depends on what was started
			continue
		}
		sum := r.whole[c.Name]
		r.whole[c.Name] = cost{sum.calls + 1, sum.time + float64(c.Duration)}
	}
	for _, c := range f.Calls {
		n := float64(c.Replayed + c.Substituted)
		r.recorded[c.Name] = cost{n, float64(c.RecordedTime)}
		r.made[c.Name] = cost{n, float64(c.ReplayedTime)}
		r.left += c.LeftOut + c.Withheld
		r.differ += c.Differ
	}
	return r
}

// compare is the ratio of the times of b to those of a, and the timing error of b.
func compare(a, b map[string]cost) (ratio, off float64) {
	var timeA, timeB float64
	for name := range union(a, b) {
		timeA += a[name].time
		timeB += b[name].time
		off += math.Abs(b[name].time - a[name].time)
	}
	return timeB / timeA, off / timeA
}

func union(a, b map[string]cost) map[string]bool {
	all := map[string]bool{}
	for name := range a {
		all[name] = true
	}
	for name := range b {
		all[name] = true
	}
	return all
}

func median(xs []float64) float64 {
	sorted := slices.Sorted(slices.Values(xs))
	n := len(sorted)
	return (sorted[(n-1)/2] + sorted[n/2]) / 2
}

// medians are the costs of a name in the median round: its calls times what one took.
func (all rounds) medians(of func(round) map[string]cost) map[string]cost {
	calls, each := map[string][]float64{}, map[string][]float64{}
	for _, r := range all {
		for name, c := range of(r) {
			if c.calls > 0 {
				calls[name], each[name] = append(calls[name], c.calls), append(each[name], c.time/c.calls)
			}
		}
	}
	costs := map[string]cost{}
	for name := range calls {
		n := median(calls[name])
		costs[name] = cost{n, n * median(each[name])}
	}
	return costs
}

func recorded(r round) map[string]cost { return r.recorded }

func made(r round) map[string]cost { return r.made }

// report writes a table, and one of the calls that took longest.
func (all rounds) report(out io.Writer) error {
	var ratios, errs, ownRatios, ownErrs, counts, left, differ []float64
	for i, r := range all {
		ratio, off := compare(r.recorded, r.made)
		ratios, errs = append(ratios, ratio), append(errs, off)
		if i > 0 {
			ratio, off = compare(all[i-1].whole, r.whole)
			ownRatios, ownErrs = append(ownRatios, ratio), append(ownErrs, off)
		}
		counts, left, differ = append(counts, total(r.made)), append(left, float64(r.left)), append(differ, float64(r.differ))
	}
	before, after := all.medians(recorded), all.medians(made)
	ratio, off := compare(before, after)
	if _, err := fmt.Fprintf(out, "%d rounds, medians: %.0f calls replayed, %.0f not, %.0f with another result\n\n"+
		"| | kernel time, ratio | timing error |\n| --- | --- | --- |\n| replay to its recording | %s | %s |\n| recording to the one before | %s | %s |\n"+
		"| replays to recordings, medians of each call | %.2f | %.1f%% |\n\n",
		len(all), median(counts), median(left), median(differ), spread(ratios, 1, ""), spread(errs, 100, "%"),
		spread(ownRatios, 1, ""), spread(ownErrs, 100, "%"), ratio, 100*off); err != nil {
		return err
	}
	return calls(out, before, after)
}

func total(costs map[string]cost) (n float64) {
	for _, c := range costs {
		n += c.calls
	}
	return n
}

// spread writes a median and the range.
func spread(xs []float64, times float64, unit string) string {
	digits := 2 - min(len(unit), 1)
	return fmt.Sprintf("%.*f%s (%.*f to %.*f)", digits, times*median(xs), unit, digits, times*slices.Min(xs), digits, times*slices.Max(xs))
}

// most is how many calls are shown.
const most = 12

func calls(out io.Writer, before, after map[string]cost) error {
	names := make([]string, 0, len(before))
	for name := range before {
		names = append(names, name)
	}
	slices.SortFunc(names, func(a, b string) int { return int(before[b].time - before[a].time) })
	if _, err := fmt.Fprint(out, "| call | number | recorded, ns each | replayed |\n| --- | --- | --- | --- |\n"); err != nil {
		return err
	}
	for _, name := range names[:min(len(names), most)] {
		a, b := before[name], after[name]
		if _, err := fmt.Fprintf(out, "| %s | %.0f | %.0f | %.0f |\n", name, a.calls, a.time/a.calls, b.time/b.calls); err != nil {
			return err
		}
	}
	return nil
}
