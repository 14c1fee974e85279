// SPDX-License-Identifier: Apache-2.0

package network

import (
	"fmt"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
	"golang.org/x/sys/unix"

	"github.com/assaylab/assay/scenarios"
	"github.com/assaylab/assay/scenarios/network/lab"
)

// punctuality is how late packets reach the receiver's stack: they arrive in the order in which they were sent, so the next that arrives is the first that
// was sent of those that didn't arrive yet. One that is lost makes nonsense of that.
// A nil one takes note of nothing.
type punctuality struct {
	arrivals *lab.Arrivals
	start    time.Duration   // on CLOCK_MONOTONIC
	awaited  []time.Duration // when packets that were sent were due, after start
	errors   *hdrhistogram.Histogram
	// lost: more were awaited than can be on the way.
	lost bool
}

// newPunctuality is for packets that are due after start. What arrived before is forgotten.
func newPunctuality(arrivals *lab.Arrivals, start time.Time) (*punctuality, error) {
	p := &punctuality{arrivals: arrivals, errors: scenarios.NewHistogram()}
	for at := time.Duration(1); at > 0; {
		var err error
		if at, err = arrivals.Next(); err != nil {
			return nil, err
		}
	}
	now, err := monotonic()
	p.start = now - time.Since(start)
	return p, err
}

// monotonic is the clock of eBPF programs.
func monotonic() (time.Duration, error) {
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &now); err != nil {
		return 0, fmt.Errorf("CLOCK_MONOTONIC: %w", err)
	}
	return time.Duration(now.Nano()), nil
}

// sent takes note of a packet that was due at a time after the start.
func (p *punctuality) sent(due time.Duration) {
	if p == nil {
		return
	}
	if p.lost = p.lost || len(p.awaited) == lab.MaxArrivals; !p.lost {
		p.awaited = append(p.awaited, due)
	}
}

// look takes note of what arrived.
func (p *punctuality) look() error {
	if p == nil {
		return nil
	}
	arrived := 0
	for ; arrived < len(p.awaited); arrived++ {
		at, err := p.arrivals.Next()
		if err != nil {
			return err
		}
		if at == 0 {
			break
		}
		scenarios.Note(p.errors, at-p.start-p.awaited[arrived])
	}
	p.awaited = append(p.awaited[:0], p.awaited[arrived:]...)
	return nil
}

// underWay is how long a packet may be on the way after the last was sent.
const underWay = 100 * time.Millisecond

// finish waits for what is still on the way.
func (p *punctuality) finish() error {
	if p == nil {
		return nil
	}
	for begin := time.Now(); len(p.awaited) > 0 && time.Since(begin) < underWay; time.Sleep(time.Millisecond) {
		if err := p.look(); err != nil {
			return err
		}
	}
	p.lost = p.lost || len(p.awaited) > 0
	return nil
}

// tell adds to an outcome what is known. all: as many packets arrived as were sent.
func (p *punctuality) tell(o *scenarios.Outcome, all bool) {
	switch {
	case p == nil:
	case p.lost || !all:
		o.Notes = append(o.Notes, "how late packets arrived is not known, because not all did")
	default:
		o.Values["arrival_error_p50_ns"] = float64(p.errors.ValueAtQuantile(50))
		o.Values["arrival_error_p99_ns"] = float64(p.errors.ValueAtQuantile(99))
	}
}
