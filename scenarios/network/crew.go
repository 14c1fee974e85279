// SPDX-License-Identifier: Apache-2.0

package network

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"
)

// A crew is the goroutines of one run, with the connections that they use. end ends all of them.
type crew struct {
	ctx    context.Context // done when the goroutines are to stop
	cancel context.CancelFunc
	forget func() bool // has the context of the run no longer stop the crew
	group  sync.WaitGroup

	mu      sync.Mutex
	expired bool
	conns   map[deadliner]struct{}
	total   tally
}

// A deadliner is a connection or a listener.
type deadliner interface {
	io.Closer
	SetDeadline(time.Time) error
}

// newCrew makes a crew that stops when ctx is done, or in end. Its own context does not pass on the deadline of ctx: a dial would fail by
// that a moment before the context is done, and would count as an error.
func newCrew(ctx context.Context) *crew {
	c := &crew{conns: map[deadliner]struct{}{}}
	c.ctx, c.cancel = context.WithCancel(context.WithoutCancel(ctx))
	c.forget = context.AfterFunc(ctx, c.stop)
	return c
}

// stop has the goroutines return, and does not wait for them.
func (c *crew) stop() {
	c.cancel() // first, so that nobody takes an expired connection for an error
	c.expire()
}

// past is a deadline that makes what waits for a connection return at once.
var past = time.Unix(1, 0)

// expire makes reads, writes and accepts return, those of connections to come too.
func (c *crew) expire() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.expired = true
	for conn := range c.conns {
		c.note(conn.SetDeadline(past))
	}
}

// own takes a connection over: it will be closed by drop, or in the end.
func (c *crew) own(conn deadliner) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.conns[conn] = struct{}{}
	if c.expired {
		c.note(conn.SetDeadline(past))
	}
}

// drop closes a connection before the end.
func (c *crew) drop(conn deadliner) error {
	c.mu.Lock()
	delete(c.conns, conn)
	c.mu.Unlock()
	return conn.Close()
}

// note counts an error of the crew itself, unless a connection was closed meanwhile. c.mu is held.
func (c *crew) note(err error) {
	if err != nil && !errors.Is(err, net.ErrClosed) {
		c.total.fail(err)
	}
}

// start runs f in a goroutine, which has to return once the crew's context is done. Errors that f returns after that mean nothing.
func (c *crew) start(f func(*tally) error) {
	c.group.Go(func() {
		var t tally
		if err := f(&t); err != nil && c.ctx.Err() == nil {
			t.fail(err)
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		c.total.add(&t)
	})
}

// wait lets others work for d, or until the context is done, and says how long that was.
func wait(ctx context.Context, d time.Duration) time.Duration {
	start := time.Now()
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
	return time.Since(start)
}

// end stops the goroutines, waits for them, closes the connections, and says what all did together. A second end does nothing.
func (c *crew) end() *tally {
	c.forget()
	c.stop()
	c.group.Wait()
	c.mu.Lock()
	defer c.mu.Unlock()
	for conn := range c.conns {
		if tcp, ok := conn.(*net.TCPConn); ok {
			c.note(tcp.SetLinger(0)) // what wasn't sent yet is not to come after the end
		}
		c.note(conn.Close())
	}
	clear(c.conns)
	return &c.total
}

// pairs makes the workload's TCP connections, and returns their ends in the sender's and in the receiver's space, in any order.
func (c *crew) pairs(w *workload) (senders, receivers []net.Conn, err error) {
	listener, err := w.listenTCP(c.ctx)
	if err != nil {
		return nil, nil, fmt.Errorf("listen: %w", err)
	}
	c.own(listener)
	dialed := make(chan error, w.connections)
	senders = make([]net.Conn, w.connections)
	for i := range senders { // at once, because with loss each may take seconds
		c.group.Go(func() {
			conn, err := w.dial(c.ctx, w.dialer(), listener.Addr())
			if err == nil {
				c.own(conn)
				senders[i] = conn
			} else {
				c.stop() // so that Accept does not wait for it
			}
			dialed <- err
		})
	}
	receivers, acceptErr := c.accept(listener, w.connections)
	for range w.connections {
		err = cmp.Or(err, <-dialed) // the first is the reason, the others were canceled
	}
	if err = cmp.Or(err, acceptErr); err != nil {
		return nil, nil, err
	}
	return senders, receivers, c.drop(listener)
}

// accept takes n connections. After an error it stops the crew.
func (c *crew) accept(listener net.Listener, n int) ([]net.Conn, error) {
	var conns []net.Conn
	for range n {
		conn, err := listener.Accept()
		if err != nil {
			c.stop()
			return nil, err
		}
		c.own(conn)
		conns = append(conns, conn)
	}
	return conns, nil
}
