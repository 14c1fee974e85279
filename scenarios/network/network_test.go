// SPDX-License-Identifier: Apache-2.0

package network_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/assaylab/assay/scenarios"
	"github.com/assaylab/assay/scenarios/network"
	"github.com/assaylab/assay/scenarios/network/lab/leaktest"
)

const runFor = 150 * time.Millisecond

// newWorkload makes a workload of a kind, by its name without network/.
func newWorkload(kind string, params map[string]string) (scenarios.Workload, error) {
	for _, k := range network.Kinds() {
		if k.Name != "network/"+kind {
			continue
		}
		values, err := k.Check(params)
		if err != nil {
			return nil, err
		}
		return k.New(values)
	}
	return nil, fmt.Errorf("no kind %s", kind)
}

// prepare makes a workload ready to run, and sees to it that nothing is left of it.
func prepare(t *testing.T, kind string, params map[string]string) scenarios.Workload {
	t.Helper()
	leaktest.Check(t)
	w, err := newWorkload(kind, params)
	if err == nil {
		err = w.Prepare(context.Background())
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		for range 2 { // the second does nothing
			if err := w.Close(); err != nil {
				t.Error(err)
			}
		}
	})
	return w
}

// run runs a workload for runFor, and wants operations.
func run(t *testing.T, w scenarios.Workload) *scenarios.Outcome {
	t.Helper()
	o, err := w.Run(context.Background(), runFor)
	if err != nil {
		t.Fatal(err)
	}
	if o.Operations == 0 || o.Elapsed < runFor {
		t.Errorf("%d operations in %s: want some, and %s or more", o.Operations, o.Elapsed, runFor)
	}
	return o
}

// TestKinds runs each kind twice, for no two runs are to be in each other's way.
func TestKinds(t *testing.T) {
	const size = 1000
	kinds := []struct {
		name  string
		check func(*testing.T, *scenarios.Outcome)
	}{
		{"stream", func(t *testing.T, o *scenarios.Outcome) {
			if whole := float64(o.Operations * size); o.Values["received_bytes"] < whole || o.Values["received_bytes"] >= whole+3*size {
				t.Errorf("%g bytes received in %d messages", o.Values["received_bytes"], o.Operations)
			}
		}},
		{"rr", timed},
		{"crr", timed},
		{"udp", func(t *testing.T, o *scenarios.Outcome) {
			timed(t, o)
			sent, lost := int64(o.Values["sent_count"]), int64(o.Values["lost_count"])
			if sent != o.Operations+lost || o.Lateness.TotalCount() != sent {
				t.Errorf("%d sent, %d times of lateness, %d received, %d lost", sent, o.Lateness.TotalCount(), o.Operations, lost)
			}
		}},
	}
	for _, k := range kinds {
		for _, family := range []string{"ipv4", "ipv6"} {
			t.Run(k.name+"/"+family, func(t *testing.T) {
				w := prepare(t, k.name, map[string]string{"family": family, "size": fmt.Sprint(size), "connections": "3"})
				for range 2 {
					o := run(t, w)
					k.check(t, o)
					if o.Errors != 0 || o.Values["dropped_count"] != 0 {
						t.Errorf("%d errors, values %v, notes %q", o.Errors, o.Values, o.Notes)
					}
				}
			})
		}
	}
}

// timed wants the time of each operation.
func timed(t *testing.T, o *scenarios.Outcome) {
	t.Helper()
	if o.Latency == nil || o.Latency.TotalCount() != o.Operations {
		t.Errorf("latency %v of %d operations", o.Latency, o.Operations)
	}
}

// TestLossUDP holds the kind's counts against the loss program's: each datagram sent was received or dropped.
func TestLossUDP(t *testing.T) {
	w := prepare(t, "udp", map[string]string{"loss": "0.5", "rate": "5000", "connections": "2"})
	for range 2 {
		o := run(t, w)
		sent, lost, dropped := int64(o.Values["sent_count"]), int64(o.Values["lost_count"]), int64(o.Values["dropped_count"])
		if sent != o.Operations+dropped || lost != dropped || dropped == 0 {
			t.Errorf("%d sent, %d received, %d lost, %d dropped by the program, notes %q", sent, o.Operations, lost, dropped, o.Notes)
		}
	}
}

func TestLossTCP(t *testing.T) {
	o := run(t, prepare(t, "stream", map[string]string{"loss": "0.05", "congestion": "cubic"}))
	if o.Values["dropped_count"] == 0 || o.Values["retransmits_count"] == 0 {
		t.Errorf("values %v: want drops, and retransmits for them", o.Values)
	}
}

// TestRateLimit wants no more bytes than the limit lets pass, with what may be under way when the clock starts.
func TestRateLimit(t *testing.T) {
	const bytesPerSecond, underWay = 1e6, 128 << 10
	o := run(t, prepare(t, "stream", map[string]string{"rate_limit": "8mbit", "size": "1K"}))
	if most := bytesPerSecond*o.Elapsed.Seconds() + underWay; o.Values["received_bytes"] > most {
		t.Errorf("%g bytes received in %s, want %g or fewer", o.Values["received_bytes"], o.Elapsed, most)
	}
}

// TestUDPOverload sends more than the limit lets pass: what is lost has a note.
func TestUDPOverload(t *testing.T) {
	o := run(t, prepare(t, "udp", map[string]string{"rate_limit": "1mbit", "size": "1000", "rate": "5000"}))
	if o.Values["lost_count"] == 0 || !strings.Contains(strings.Join(o.Notes, "\n"), "lost other than by the loss program") {
		t.Errorf("values %v, notes %q", o.Values, o.Notes)
	}
}

// TestCancel cancels runs that would take long; with much loss some of them are still connecting.
func TestCancel(t *testing.T) {
	for _, kind := range []string{"stream", "rr", "crr", "udp"} {
		for _, loss := range []string{"0", "0.5"} {
			t.Run(kind+"/"+loss, func(t *testing.T) {
				w := prepare(t, kind, map[string]string{"loss": loss, "connections": "8"})
				ctx, cancel := context.WithTimeout(context.Background(), 200*time.Millisecond)
				defer cancel()
				start := time.Now()
				o, err := w.Run(ctx, time.Hour)
				if time.Since(start) > time.Minute {
					t.Errorf("the run went on for %s", time.Since(start))
				}
				if (o == nil) == (err == nil) || (err != nil && !errors.Is(err, context.DeadlineExceeded)) {
					t.Errorf("outcome %v, error %v", o, err)
				}
				if loss == "0" && (err != nil || o.Operations == 0 || o.Errors != 0) {
					t.Errorf("outcome %+v, error %v", o, err)
				}
			})
		}
	}
}

// TestNotPrepared wants errors where there is no lab, and Close to do without.
func TestNotPrepared(t *testing.T) {
	leaktest.Check(t)
	w, err := newWorkload("rr", nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Run(context.Background(), runFor); err == nil {
		t.Error("a run without Prepare")
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := w.Prepare(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("Prepare with a context that is done: %v", err)
	}
	if err := w.Close(); err != nil {
		t.Error(err)
	}
}

func TestBadParams(t *testing.T) {
	for _, c := range []struct {
		kind, name, value, error string
	}{
		{"stream", "rate_limit", "fast", "want a rate such as 100mbit"},
		{"stream", "rate_limit", "1kbit", "8kbit to 100gbit"},
		{"rr", "loss", "0.6", "want 0 to 0.5"},
		{"rr", "family", "ipx", "want one of ipv4, ipv6"},
		{"crr", "connections", "0", "want 1 to 256"},
		{"udp", "size", "15", "want 16 to 1452"},
		{"udp", "size", "1453", "want 16 to 1452"},
		{"udp", "congestion", "reno", "has none of that name"},
	} {
		_, err := newWorkload(c.kind, map[string]string{c.name: c.value})
		if err == nil || !strings.Contains(err.Error(), "parameter "+c.name) || !strings.Contains(err.Error(), c.error) {
			t.Errorf("%s with %s=%s: %v; want the parameter and %q", c.kind, c.name, c.value, err, c.error)
		}
	}
}

// TestUnknownCongestion fails when the lab is there already: it has to go again.
func TestUnknownCongestion(t *testing.T) {
	leaktest.Check(t)
	w, err := newWorkload("stream", map[string]string{"congestion": "assay_none"})
	if err != nil {
		t.Fatal(err)
	}
	err = w.Prepare(context.Background())
	if err == nil || !strings.Contains(err.Error(), `congestion: "assay_none"`) || !strings.Contains(err.Error(), "want one of") {
		t.Errorf("Prepare: %v", err)
	}
}
