// SPDX-License-Identifier: Apache-2.0

package network

import (
	"context"
	"errors"
	"os"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
	"golang.org/x/sys/unix"

	"github.com/assaylab/assay/scenarios"
)

// A pacer says when to do what is due at a steady rate: the n-th at n/rate seconds, whatever became of those before, so that a delay makes
// lateness and not a lower rate.
type pacer struct {
	rate     int64 // per second
	limit    time.Duration
	total    int64 // how many are due before limit
	given    int64 // how many next has given
	late     bool  // next gave up because the time was over
	lateness *hdrhistogram.Histogram
}

func newPacer(rate int, limit time.Duration) *pacer {
	p := &pacer{rate: int64(rate), limit: limit, lateness: scenarios.NewHistogram()}
	seconds, rest := int64(limit/time.Second), int64(limit%time.Second)
	p.total = seconds*p.rate + (rest*p.rate+int64(time.Second)-1)/int64(time.Second)
	return p
}

// due says when the n-th is due, after the start.
func (p *pacer) due(n int64) time.Duration {
	return time.Duration(n/p.rate)*time.Second + time.Duration(n%p.rate)*time.Second/time.Duration(p.rate)
}

// next waits until the next one is due, and returns its number and that time. It is false at the end: none is left, the time is over, or
// the context is done.
func (p *pacer) next(ctx context.Context, start time.Time) (number int64, due time.Duration, ok bool) {
	if p.given >= p.total {
		return 0, 0, false
	}
	number, due = p.given, p.due(p.given)
	now := time.Since(start)
	for ; now < due && ctx.Err() == nil; now = time.Since(start) {
		nap(due - now)
	}
	p.late = now >= p.limit
	if p.late || ctx.Err() != nil {
		return 0, 0, false
	}
	p.given++
	scenarios.Note(p.lateness, now-due)
	return number, due, true
}

// missed says how many were due, but not done in time.
func (p *pacer) missed() int64 {
	if !p.late {
		return 0
	}
	return p.total - p.given
}

// longestNap bounds how long a done context goes unseen.
const longestNap = 10 * time.Millisecond

// nap sleeps for d, or for less. Go's own timers are a millisecond apart when nothing else happens.
func nap(d time.Duration) {
	t := unix.NsecToTimespec(int64(min(d, longestNap)))
	if err := unix.Nanosleep(&t, nil); err != nil && !errors.Is(err, unix.EINTR) {
		panic(err) // a time that makes no sense
	}
}

// preciseTimers lets this thread sleep to the microsecond; by default the kernel adds up to 50 µs to join wake-ups.
func preciseTimers() error {
	return os.NewSyscallError("prctl PR_SET_TIMERSLACK", unix.Prctl(unix.PR_SET_TIMERSLACK, 1, 0, 0, 0))
}
