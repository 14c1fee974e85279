// SPDX-License-Identifier: Apache-2.0

package network

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/assaylab/assay/scenarios"
)

// roundTrips is the runner of network/rr.
func roundTrips(ctx context.Context, w *workload, d time.Duration) (*scenarios.Outcome, error) {
	c := newCrew(ctx)
	defer c.end()
	senders, receivers, err := c.pairs(w)
	if err != nil {
		return nil, err
	}
	for i := range senders {
		c.start(func(*tally) error { respond(receivers[i], w.size); return nil })
		c.start(func(t *tally) error { return requestAll(senders[i], w.size, t) })
	}
	elapsed := wait(c.ctx, d)
	return c.end().outcome(elapsed), nil
}

// requestAll makes round trips until the connection ends.
func requestAll(over net.Conn, size int, t *tally) error {
	message := make([]byte, size)
	for {
		start := time.Now()
		if err := request(over, message); err != nil {
			return err
		}
		t.done(time.Since(start))
	}
}

// request makes one round trip. The message becomes the response.
func request(over net.Conn, message []byte) error {
	if _, err := over.Write(message); err != nil {
		return err
	}
	_, err := io.ReadFull(over, message)
	return err
}

// respond sends requests back until the connection ends. When it breaks, the operation of its sender fails, and is counted there.
func respond(over net.Conn, size int) {
	message := make([]byte, size)
	for {
		if _, err := io.ReadFull(over, message); err != nil {
			return
		}
		if _, err := over.Write(message); err != nil {
			return
		}
	}
}

// connectRoundTrips is the runner of network/crr.
//
// A goroutine that holds a thread changes threads whenever it waits, which is in the latencies. Blocking system calls instead took 0.6 of
// the time with one connection, but with two they kept both processors of Go's scheduler from the receiver, for milliseconds at times.
func connectRoundTrips(ctx context.Context, w *workload, d time.Duration) (*scenarios.Outcome, error) {
	c := newCrew(ctx)
	defer c.end()
	listener, err := w.listenTCP(c.ctx)
	if err != nil {
		return nil, fmt.Errorf("listen: %w", err)
	}
	c.own(listener)
	c.start(func(*tally) error { return c.serve(listener, w.size) })
	for range w.connections {
		c.start(func(t *tally) error {
			return w.lab.Sender.Do(func() error { return c.connectAll(w, listener.Addr(), t) })
		})
	}
	elapsed := wait(c.ctx, d)
	return c.end().outcome(elapsed), nil
}

// serve accepts connections, each with a goroutine that responds, until the crew ends.
func (c *crew) serve(listener net.Listener, size int) error {
	for {
		conn, err := listener.Accept()
		if err != nil {
			return err
		}
		c.own(conn)
		c.start(func(*tally) error {
			respond(conn, size)
			return c.drop(conn)
		})
	}
}

// connectAll connects, makes a round trip and closes, until the crew ends. It must run in the sender's space. An operation that fails, for
// want of a free port too, counts as an error, and the next one starts.
func (c *crew) connectAll(w *workload, to net.Addr, t *tally) error {
	dialer, message := w.dialer(), make([]byte, w.size)
	for {
		start := time.Now()
		err := c.connectOnce(dialer, to, message)
		switch {
		case c.ctx.Err() != nil:
			return nil
		case err != nil:
			t.fail(err)
		default:
			t.done(time.Since(start))
		}
	}
}

func (c *crew) connectOnce(d *net.Dialer, to net.Addr, message []byte) error {
	conn, err := d.DialContext(c.ctx, to.Network(), to.String())
	if err != nil {
		return err
	}
	c.own(conn)
	return errors.Join(request(conn, message), c.drop(conn))
}
