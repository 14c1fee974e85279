// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/assaylab/assay/bench/result"
	"github.com/assaylab/assay/scenarios"
	"github.com/assaylab/assay/scenarios/knobs"
)

// request is what the owner of a worker asks of it, a JSON line each: first to prepare, then to run, any number of times. The end of
// the input means to close.
type request struct {
	Kind   string           `json:"kind,omitempty"`
	Values scenarios.Values `json:"values,omitempty"`
	Inside []string         `json:"inside,omitempty"` // knobs to set in the namespaces that the work makes
	RunNS  int64            `json:"run_ns,omitempty"`
}

// response is the answer, a JSON line each.
type response struct {
	Error   string   `json:"error,omitempty"`
	Outcome *outcome `json:"outcome,omitempty"` // after a run
}

// outcome is a [scenarios.Outcome] with its histograms as text, and what the worker used meanwhile.
type outcome struct {
	ElapsedNS  int64              `json:"elapsed_ns"`
	Operations int64              `json:"operations"`
	Errors     int64              `json:"errors"`
	Latency    string             `json:"latency,omitempty"`
	Lateness   string             `json:"lateness,omitempty"`
	Values     map[string]float64 `json:"values,omitempty"`
	Notes      []string           `json:"notes,omitempty"`
	Usage      usage              `json:"usage"`
	Network    counters           `json:"network,omitempty"` // gained in the network namespaces of the work
}

// usage is what the kernel says that a process and the children that it waited for have used.
type usage struct {
	UserNS      int64 `json:"user_ns"`
	SystemNS    int64 `json:"system_ns"`
	Voluntary   int64 `json:"voluntary_switches"`
	Involuntary int64 `json:"involuntary_switches"`
	MinorFaults int64 `json:"minor_faults"`
	MajorFaults int64 `json:"major_faults"`
}

// Serve is the worker: it does what requests on in ask for and answers on out. find knows the kinds of work. It ends with the
// input or when ctx is done, in the middle of work too, and has then taken back what it made and
// killed what its work started and left.
func Serve(ctx context.Context, in io.Reader, out io.Writer, find func(kind string) (*scenarios.Kind, error)) (err error) {
	if err := adopt(); err != nil {
		return err
	}
	answers := json.NewEncoder(out)
	var work scenarios.Workload
	defer func() {
		if work != nil {
			err = errors.Join(err, work.Close())
		}
		err = errors.Join(err, killDescendants(os.Getpid()))
	}()
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, 1<<20)
	for ctx.Err() == nil && lines.Scan() {
		var q request
		if err := json.Unmarshal(lines.Bytes(), &q); err != nil {
			return fmt.Errorf("request: %w", err)
		}
		var a response
		var doErr error
		if q.Kind != "" {
			work, doErr = prepare(ctx, q, find)
		} else {
			a.Outcome, doErr = runOnce(ctx, work, time.Duration(q.RunNS))
		}
		if doErr != nil {
			a = response{Error: doErr.Error()}
		}
		if err := answers.Encode(a); err != nil {
			return fmt.Errorf("response: %w", err)
		}
	}
	return lines.Err()
}

func prepare(ctx context.Context, q request, find func(kind string) (*scenarios.Kind, error)) (scenarios.Workload, error) {
	kind, err := find(q.Kind)
	if err != nil {
		return nil, err
	}
	values, err := kind.Check(q.Values)
	if err != nil {
		return nil, err
	}
	work, err := kind.New(values)
	if err != nil {
		return nil, err
	}
	err = work.Prepare(ctx)
	if err == nil && len(q.Inside) > 0 {
		err = setInside(work, q.Inside)
	}
	if err != nil {
		return nil, errors.Join(err, work.Close())
	}
	return work, nil
}

// setInside sets knobs in the namespaces of a workload.
func setInside(work scenarios.Workload, settings []string) error {
	spaced, ok := work.(scenarios.Spaced)
	if !ok {
		return fmt.Errorf("%s: the work has no namespaces of its own", strings.Join(settings, " "))
	}
	return spaced.Inside(func() error { return knobs.SetInside(settings) })
}

// runOnce runs a workload once.
func runOnce(ctx context.Context, work scenarios.Workload, d time.Duration) (*outcome, error) {
	if work == nil {
		return nil, errors.New("nothing was prepared")
	}
	network := workCounters(work)
	before, err := used()
	if err != nil {
		return nil, err
	}
	o, err := work.Run(ctx, d)
	if err != nil {
		return nil, err
	}
	after, err := used()
	if err != nil {
		return nil, err
	}
	network = workCounters(work).since(network)
	latency, err1 := result.EncodeLatency(o.Latency)
	lateness, err2 := result.EncodeLatency(o.Lateness)
	return &outcome{
		ElapsedNS: o.Elapsed.Nanoseconds(), Operations: o.Operations, Errors: o.Errors, Latency: latency, Lateness: lateness,
		Values: o.Values, Notes: o.Notes, Usage: after.since(before), Network: network,
	}, errors.Join(err1, err2)
}

// used sums this process and its children.
func used() (usage, error) {
	var sum usage
	for _, who := range []int{unix.RUSAGE_SELF, unix.RUSAGE_CHILDREN} {
		var r unix.Rusage
		if err := unix.Getrusage(who, &r); err != nil {
			return sum, fmt.Errorf("usage: %w", err)
		}
		sum.UserNS += r.Utime.Nano()
		sum.SystemNS += r.Stime.Nano()
		sum.Voluntary += r.Nvcsw
		sum.Involuntary += r.Nivcsw
		sum.MinorFaults += r.Minflt
		sum.MajorFaults += r.Majflt
	}
	return sum, nil
}

func (u usage) since(before usage) usage {
	return usage{
		u.UserNS - before.UserNS, u.SystemNS - before.SystemNS, u.Voluntary - before.Voluntary,
		u.Involuntary - before.Involuntary, u.MinorFaults - before.MinorFaults, u.MajorFaults - before.MajorFaults,
	}
}
