// SPDX-License-Identifier: Apache-2.0

package network

import (
	"context"
	"encoding/binary"
	"fmt"
	"net"
	"sync/atomic"
	"time"

	"github.com/assaylab/assay/scenarios"
)

// A datagram starts with its number, from 0, and when it was to be sent, in nanoseconds since the sender began.
const headerBytes = 16

// flows is one run of network/udp: a paced sender that takes its sockets in turn, and a receiver.
type flows struct {
	w     *workload
	crew  *crew // not stopped by the run's context: it has to receive what was sent until then
	start time.Time

	sent     tally
	pace     *pacer
	dropped  int64 // by the loss program
	received atomic.Int64
	latest   []int64 // for each of the sender's sockets the highest number received; -1 for none
	late     int64   // datagrams that came after one of a higher number from the same socket
}

// datagrams is the runner of network/udp.
func datagrams(ctx context.Context, w *workload, d time.Duration) (*scenarios.Outcome, error) {
	before, err := w.lab.Counts()
	if err != nil {
		return nil, err
	}
	f := &flows{w: w, crew: newCrew(context.WithoutCancel(ctx)), pace: newPacer(w.rate, d)}
	defer f.crew.end()
	senders, receiver, err := f.connect()
	if err != nil {
		return nil, err
	}
	f.start = time.Now()
	f.crew.start(func(t *tally) error { return f.receive(receiver, t) })
	err = w.lab.Sender.Do(func() error { return f.send(ctx, senders) }) // its own thread, which it makes precise
	wait(ctx, d-time.Since(f.start))
	elapsed := time.Since(f.start)
	if err == nil {
		err = f.drain(before.Dropped)
	}
	t := f.crew.end()
	if err != nil {
		return nil, err
	}
	return f.outcome(t, elapsed), nil
}

// connect makes the sockets.
func (f *flows) connect() ([]net.Conn, *net.UDPConn, error) {
	receiver, err := f.w.listenUDP(f.crew.ctx)
	if err != nil {
		return nil, nil, fmt.Errorf("listen: %w", err)
	}
	f.crew.own(receiver)
	senders := make([]net.Conn, f.w.connections)
	for i := range senders {
		if senders[i], err = f.w.dial(f.crew.ctx, &net.Dialer{}, receiver.LocalAddr()); err != nil {
			return nil, nil, err
		}
		f.crew.own(senders[i])
		f.latest = append(f.latest, -1)
	}
	return senders, receiver, nil
}

// send sends datagrams when the pacer says so. It changes the thread's timers.
func (f *flows) send(ctx context.Context, senders []net.Conn) error {
	if err := preciseTimers(); err != nil {
		return err
	}
	message := make([]byte, f.w.size)
	for {
		number, due, ok := f.pace.next(ctx, f.start)
		if !ok {
			return nil
		}
		binary.LittleEndian.PutUint64(message, uint64(number))
		binary.LittleEndian.PutUint64(message[8:], uint64(due))
		if _, err := senders[number%int64(len(senders))].Write(message); err != nil {
			f.sent.fail(err)
			continue
		}
		f.sent.operations++
	}
}

// receive counts datagrams until the crew ends.
func (f *flows) receive(from *net.UDPConn, t *tally) error {
	message := make([]byte, f.w.size)
	for {
		n, err := from.Read(message)
		if err != nil {
			return err
		}
		now := time.Since(f.start)
		if n != f.w.size {
			return fmt.Errorf("a datagram of %d bytes arrived, all were sent with %d", n, f.w.size)
		}
		number, due := int64(binary.LittleEndian.Uint64(message)), time.Duration(binary.LittleEndian.Uint64(message[8:]))
		latest := &f.latest[number%int64(len(f.latest))]
		if number < *latest {
			f.late++
		}
		*latest = max(*latest, number)
		t.done(now - due)
		f.received.Add(1)
	}
}

// How long to wait for datagrams that are still under way after the last one arrived, and how often to look. A rate limit holds packets
// for 50 ms.
const (
	quiet = 200 * time.Millisecond
	look  = 2 * time.Millisecond
)

// drain waits until all datagrams are accounted for, or none has come for a while.
func (f *flows) drain(droppedBefore uint64) error {
	last, since := f.received.Load(), time.Now()
	for {
		counts, err := f.w.lab.Counts()
		if err != nil {
			return err
		}
		f.dropped = int64(counts.Dropped - droppedBefore)
		received := f.received.Load()
		if received != last {
			last, since = received, time.Now()
		}
		if received+f.dropped >= f.sent.operations || time.Since(since) > quiet {
			return nil
		}
		time.Sleep(look)
	}
}

// outcome joins what receiver and sender did.
func (f *flows) outcome(received *tally, elapsed time.Duration) *scenarios.Outcome {
	sent := f.sent.operations
	lost := sent - received.operations
	received.add(&tally{errors: f.sent.errors, example: f.sent.example})
	o := received.outcome(elapsed)
	o.Lateness = f.pace.lateness
	o.Values["sent_count"] = float64(sent)
	o.Values["lost_count"] = float64(lost)
	o.Values["reordered_count"] = float64(f.late)
	if missed := f.pace.missed(); missed > 0 {
		o.Notes = append(o.Notes, fmt.Sprintf("the sender could not keep up: %d of %d datagrams were not sent before the time was over; lower the rate",
			missed, f.pace.total))
	}
	if other := lost - f.dropped; other > 0 {
		o.Notes = append(o.Notes, fmt.Sprintf("%d datagrams were lost other than by the loss program, at the rate limit or in the receiver's full buffer; "+
			"lower the rate", other))
	}
	return o
}
