// SPDX-License-Identifier: Apache-2.0

package replay

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"github.com/assaylab/assay/scenarios"
	"github.com/assaylab/assay/scenarios/syscall/trace"
)

// A Fidelity says how near a replay came to its recording.
type Fidelity struct {
	Passes  int                     // of which it is the sum
	Elapsed time.Duration           // of the replays
	Span    time.Duration           // of the recording, as often
	Cut     int                     // passes that the watchdog ended
	Calls   []CallFidelity          // by recorded time, longest first
	Empty   time.Duration           // of a call that does next to nothing, taken away from each of the replay's
	Latency *hdrhistogram.Histogram // of the calls that were made
}

// A CallFidelity is that of the calls of one name.
type CallFidelity struct {
	Name        string
	Recorded    int64 // all in the recording
	Replayed    int64 // as they are
	Substituted int64 // by a harmless call
	LeftOut     int64 // that can't be replayed
	Withheld    int64 // whose wait would not have ended, or that weren't reached
	Differ      int64 // replayed with another result
	// Of those replayed or substituted:
	RecordedTime, ReplayedTime time.Duration
	Distance                   float64 // Wasserstein's between the two distributions of times, in ns
	Waits                      bool    // its time is that of waiting for others
}

// compare adds up what the threads did.
func (p *plan) compare(all []*runner, elapsed, empty time.Duration, cut bool) *Fidelity {
	f := &Fidelity{Passes: 1, Elapsed: elapsed, Span: p.span(), Empty: empty, Latency: scenarios.NewHistogram()}
	if cut {
		f.Cut = 1
	}
	by := map[string]*CallFidelity{}
	at := func(name string) *CallFidelity {
		if by[name] == nil {
			by[name] = &CallFidelity{Name: name}
		}
		return by[name]
	}
	for name, n := range p.left {
		at(name).LeftOut, at(name).Recorded = n, n
	}
	recorded, live := map[string][]float64{}, map[string][]float64{}
	base := p.recording.Header.Empty
	for _, r := range all {
		for i := range r.schedule.ops {
			o, m := &r.schedule.ops[i], &r.marks[i]
			if o.only != noChore {
				continue
			}
			c := at(o.call.Name)
			c.Recorded++
			c.count(o, m)
			if m.fate != replayed {
				continue
			}
			took := max(m.took-f.Empty+base, 0)
			c.RecordedTime += o.call.Duration
			c.ReplayedTime += took
			recorded[c.Name] = append(recorded[c.Name], float64(o.call.Duration))
			live[c.Name] = append(live[c.Name], float64(took))
			scenarios.Note(f.Latency, took)
		}
	}
	for name, c := range by {
		c.Distance = wasserstein(recorded[name], live[name])
		f.Calls = append(f.Calls, *c)
	}
	f.sort()
	return f
}

func (f *Fidelity) sort() {
	slices.SortFunc(f.Calls, func(a, b CallFidelity) int {
		return cmp.Or(cmp.Compare(b.RecordedTime, a.RecordedTime), cmp.Compare(a.Name, b.Name))
	})
}

// Add adds another pass of the same recording; distances are averaged.
func (f *Fidelity) Add(g *Fidelity) {
	if f.Passes == 0 {
		*f = *g
		return
	}
	f.Elapsed += g.Elapsed
	f.Span += g.Span
	f.Cut += g.Cut
	f.Latency.Merge(g.Latency)
	for _, c := range g.Calls {
		i := slices.IndexFunc(f.Calls, func(other CallFidelity) bool { return other.Name == c.Name })
		f.Calls[i].add(c, float64(f.Passes))
	}
	f.Passes++
	f.sort()
}

func (c *CallFidelity) add(d CallFidelity, passes float64) {
	c.Recorded += d.Recorded
	c.Replayed += d.Replayed
	c.Substituted += d.Substituted
	c.LeftOut += d.LeftOut
	c.Withheld += d.Withheld
	c.Differ += d.Differ
	c.RecordedTime += d.RecordedTime
	c.ReplayedTime += d.ReplayedTime
	c.Distance += (d.Distance - c.Distance) / (passes + 1)
}

// Made is how many calls were made, and Withheld how many weren't that should have been.
func (f *Fidelity) Made() (n int64) {
	for _, c := range f.Calls {
		n += c.Replayed + c.Substituted
	}
	return n
}

// Withheld is how many calls should have been made and weren't.
func (f *Fidelity) Withheld() (n int64) {
	for _, c := range f.Calls {
		n += c.Withheld
	}
	return n
}

// Values are the figures of an outcome. Times are compared over the calls that were made.
func (f *Fidelity) Values() map[string]float64 {
	recorded, live := f.Times()
	v := map[string]float64{
		"passes_count":             float64(f.Passes),
		"recorded_kernel_ns":       float64(recorded) / float64(f.Passes),
		"replayed_kernel_ns":       float64(live) / float64(f.Passes),
		"kernel_time_ratio":        ratio(float64(live), float64(recorded)),
		"timing_error_ratio":       f.TimingError(),
		"distribution_error_ratio": f.distance(),
		"rate_ratio":               ratio(float64(f.Span), float64(f.Elapsed)),
		"recorded_calls_count":     0, "replayed_calls_count": 0, "substituted_calls_count": 0, "left_out_calls_count": 0,
		"withheld_calls_count": 0, "differing_results_count": 0,
	}
	for _, c := range f.Calls {
		v["recorded_calls_count"] += float64(c.Recorded)
		v["replayed_calls_count"] += float64(c.Replayed)
		v["substituted_calls_count"] += float64(c.Substituted)
		v["left_out_calls_count"] += float64(c.LeftOut)
		v["withheld_calls_count"] += float64(c.Withheld)
		v["differing_results_count"] += float64(c.Differ)
	}
	for name := range v {
		if strings.HasSuffix(name, "_calls_count") || name == "differing_results_count" {
			v[name] /= float64(f.Passes)
		}
	}
	return v
}

func ratio(a, b float64) float64 {
	if b == 0 {
		return 0
	}
	return a / b
}

// distance is Wasserstein's distance of the times of each call, in parts of their mean, weighted by recorded time.
func (f *Fidelity) distance() float64 {
	var sum, total float64
	for _, c := range f.Calls {
		sum += c.Distance * float64(c.Replayed+c.Substituted)
		total += float64(c.RecordedTime)
	}
	return ratio(sum, total)
}

// Notes name the calls that were not made as they were recorded.
func (f *Fidelity) Notes() []string {
	list := func(about string, count func(CallFidelity) int64) string {
		var parts []string
		for _, c := range f.Calls {
			if n := count(c); n > 0 {
				parts = append(parts, fmt.Sprintf("%s %d", c.Name, n))
			}
		}
		if len(parts) == 0 {
			return ""
		}
		return about + ": " + strings.Join(parts, ", ")
	}
	notes := []string{
		list("calls left out, which can't be replayed or had not ended", func(c CallFidelity) int64 { return c.LeftOut }),
		list("calls for which a harmless one was made", func(c CallFidelity) int64 { return c.Substituted }),
		list("calls not made, since what they would have waited for didn't come", func(c CallFidelity) int64 { return c.Withheld }),
		list("calls whose result was another than in the recording", func(c CallFidelity) int64 { return c.Differ }),
	}
	if f.Cut > 0 {
		notes = append(notes, fmt.Sprintf("%d of %d replays took much longer than the recording and were ended", f.Cut, f.Passes))
	}
	return slices.DeleteFunc(notes, func(s string) bool { return s == "" })
}

func (c *CallFidelity) count(o *op, m *mark) {
	switch {
	case m.fate != replayed:
		c.Withheld++
		return
	case o.stands:
		c.Substituted++
	default:
		c.Replayed++
		if differs(o.call, m.result) {
			c.Differ++
		}
	}
	if o.wait == forTime || o.wait == forEvents {
		c.Waits = true
	}
}

// differs compares results: failures by their error, and what is returned if it's a count. Descriptors, addresses and IDs are others.
func differs(c *trace.Call, got int64) bool {
	if c.Result < 0 && c.Result >= -4095 || got < 0 && got >= -4095 {
		return c.Result != got
	}
	switch c.Name {
	case "read", "write", "pread64", "pwrite64", "readv", "writev", "recvfrom", "recvmsg", "sendto", "sendmsg", "getdents64", "lseek":
		return c.Result != got
	}
	return false
}

// wasserstein is the distance between two samples of the same size: the mean difference between their sorted values.
func wasserstein(a, b []float64) float64 {
	if len(a) == 0 {
		return 0
	}
	slices.Sort(a)
	slices.Sort(b)
	sum := 0.0
	for i := range a {
		sum += math.Abs(a[i] - b[i])
	}
	return sum / float64(len(a))
}

// Times are the recorded and the replayed kernel time of all calls that were made.
func (f *Fidelity) Times() (recorded, replayed time.Duration) {
	for _, c := range f.Calls {
		recorded += c.RecordedTime
		replayed += c.ReplayedTime
	}
	return recorded, replayed
}

// TimingError is the difference between the mean recorded and replayed time of a call, in parts of the recorded, each call weighted by
// its recorded time.
func (f *Fidelity) TimingError() float64 {
	var off, total float64
	for _, c := range f.Calls {
		off += math.Abs(float64(c.ReplayedTime - c.RecordedTime))
		total += float64(c.RecordedTime)
	}
	return ratio(off, total)
}
