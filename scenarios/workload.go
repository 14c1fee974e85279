// SPDX-License-Identifier: Apache-2.0

package scenarios

import (
	"context"
	"runtime"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// A Kind is a way to work.
type Kind struct {
	Name   string  // such as "syscall/storm"
	About  string  // what it does, in a sentence
	Params []Param // in the order in which they are shown
	Needs  []Need  // what has to be there
	// New makes a workload; values have been checked against Params. It says what is wrong with them together, and touches nothing:
	// a workload that was never prepared needs no Close.
	New func(Values) (Workload, error)
	// InSpace runs f on a thread in a network namespace that is like those of its workloads, which are [Spaced], and ends with f. It is nil
	// for a kind that works in the namespace where it is.
	InSpace func(f func() error) error
}

// A Workload is work that can be done again and again. Its methods are called by one goroutine at a time.
type Workload interface {
	// Prepare makes what the work needs: files, sockets, namespaces. Close takes all of it back, also after an error.
	Prepare(context.Context) error
	// Run works for as long as is asked, or until the context is done, and says what it did. It may be called several times.
	Run(context.Context, time.Duration) (*Outcome, error)
	// Close ends what still runs and removes what Prepare made.
	Close() error
}

// A Spaced workload works in network namespaces that it makes.
type Spaced interface {
	Workload
	// Inside runs f in each of them, on a thread that is there, between Prepare and Close. What is set there ends with Close.
	Inside(f func() error) error
}

// An Outcome is what a workload did.
type Outcome struct {
	Elapsed    time.Duration
	Operations int64
	Errors     int64 // operations that failed; not among Operations
	// Latency has the time of each operation in nanoseconds, to three digits, from its intended start; nil where operations are too
	// short to be timed one by one.
	Latency *hdrhistogram.Histogram
	// Lateness is how far behind its schedule a load generator started operations, in nanoseconds; nil for work without a schedule.
	Lateness *hdrhistogram.Histogram
	// Values are further figures, by name; the unit is the name's end: _bytes, _ns, _count, _ratio.
	Values map[string]float64
	// Notes are what to know before believing the figures, with the cure: "the generator could not keep up: …".
	Notes []string
}

// NewHistogram makes a histogram of nanoseconds up to ten minutes, to three digits.
func NewHistogram() *hdrhistogram.Histogram {
	return hdrhistogram.New(1, int64(10*time.Minute), 3)
}

// Note records a time in a histogram; one that is longer than it goes counts as the longest.
func Note(h *hdrhistogram.Histogram, d time.Duration) {
	h.RecordValue(min(max(d.Nanoseconds(), 0), h.HighestTrackableValue())) //nolint:errcheck // only values beyond these bounds fail
}

// UseThreads lets n goroutines have a thread each until undo: otherwise the runtime shares as many processors among them as there are
// CPUs, and neither would the kernel see that there are more who want to work, nor could a generator wake while all are busy. It is for the whole
// process; two at a time must end in reverse order.
func UseThreads(n int) (undo func()) {
	before := runtime.GOMAXPROCS(0)
	if before >= n {
		return func() {}
	}
	runtime.GOMAXPROCS(n)
	return func() { runtime.GOMAXPROCS(before) }
}
