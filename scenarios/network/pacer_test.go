// SPDX-License-Identifier: Apache-2.0

package network

import (
	"context"
	"testing"
	"time"
)

func TestPacerTotal(t *testing.T) {
	for _, c := range []struct {
		rate  int
		limit time.Duration
		want  int64
	}{
		{rate: 10, limit: 0, want: 0},
		{rate: 10, limit: 1, want: 1},
		{rate: 10, limit: time.Second, want: 10},
		{rate: 10, limit: time.Second + 1, want: 11},
		{rate: 3, limit: time.Second, want: 3},
		{rate: 1, limit: time.Hour, want: 3600},
		{rate: 10e6, limit: 1000 * time.Hour, want: 36e12},
	} {
		p := newPacer(c.rate, c.limit)
		if p.total != c.want {
			t.Errorf("%d per second for %s: %d, want %d", c.rate, c.limit, p.total, c.want)
		}
		if p.total > 0 && p.due(p.total-1) >= c.limit {
			t.Errorf("%d per second for %s: the last is due at %s", c.rate, c.limit, p.due(p.total-1))
		}
	}
}

// TestPacerBehind starts in the past: what is due by now comes at once, as late as it is, and what the time is over for is missed.
func TestPacerBehind(t *testing.T) {
	p := newPacer(1000, time.Hour)
	start := time.Now().Add(-2 * time.Second)
	for want := range int64(2000) {
		number, due, ok := p.next(context.Background(), start)
		if number != want || due != time.Duration(want)*time.Millisecond || !ok {
			t.Fatalf("%d at %s, %t; want %d", number, due, ok, want)
		}
	}
	if first := time.Duration(p.lateness.Max()); first < 1990*time.Millisecond {
		t.Errorf("lateness of the first is %s, want 2 s", first)
	}
	p.limit = time.Second
	if _, _, ok := p.next(context.Background(), start); ok {
		t.Error("one more after the time is over")
	}
	if missed := p.missed(); missed != p.total-2000 {
		t.Errorf("%d missed, want %d", missed, p.total-2000)
	}
}

// TestPacerNeverEarly holds each against the clock.
func TestPacerNeverEarly(t *testing.T) {
	p := newPacer(1000, 20*time.Millisecond)
	start := time.Now()
	for {
		number, due, ok := p.next(context.Background(), start)
		if !ok {
			break
		}
		if now := time.Since(start); now < due {
			t.Errorf("%d is due at %s, came at %s", number, due, now)
		}
	}
	if p.given+p.missed() != p.total {
		t.Errorf("%d given, %d missed of %d", p.given, p.missed(), p.total)
	}
}

func TestPacerCanceled(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	p := newPacer(1000, time.Hour)
	if _, _, ok := p.next(ctx, time.Now().Add(time.Hour)); ok || p.missed() != 0 {
		t.Errorf("one came though the context was done, %d missed", p.missed())
	}
}
