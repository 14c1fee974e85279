// SPDX-License-Identifier: Apache-2.0

package load

import (
	"bufio"
	"context"
	"errors"
	"net"
	"time"
)

// A dialog is what a client and its server say to each other on one connection.
type dialog interface {
	// request returns the n-th request of a run, as it goes over the wire. It is good until the next.
	request(n int) []byte
	// answer reads its answer. last says that the server closes the connection. An answer that says that the request failed is a
	// refusal; after any other error the connection is of no use.
	answer(r *bufio.Reader) (last bool, err error)
}

// refusal is an answer that says that the request failed.
type refusal string

func (e refusal) Error() string { return string(e) }

func isRefusal(err error) bool {
	var r refusal
	return errors.As(err, &r)
}

// A client is one persistent connection to a server, and so an operator.
type client struct {
	addresses []string      // of the server, to try in turn
	timeout   time.Duration // for one request and its answer
	dialog    dialog
	conn      net.Conn // nil: not connected
	wire      *wire
	reader    *bufio.Reader
	received  int64       // bytes
	deadline  time.Time   // that the connection has
	quiet     func() bool // forgets about the context
}

// operate sends a request and reads its answer. A connection that was lost is made anew, which is part of the operation.
func (c *client) operate(ctx context.Context, n int) error {
	if c.conn == nil {
		if err := c.connect(ctx); err != nil {
			return err
		}
	}
	last, err := c.exchange(ctx, n)
	if last || err != nil && !isRefusal(err) {
		err = errors.Join(err, c.close())
	}
	return err
}

func (c *client) exchange(ctx context.Context, n int) (last bool, err error) {
	if err := c.hurry(); err != nil {
		return false, err
	}
	if ctx.Err() != nil { // it may have set its own deadline just before
		return false, ctx.Err()
	}
	if err := c.wire.ask(c.dialog.request(n)); err != nil {
		return false, err
	}
	return c.dialog.answer(c.reader)
}

// hurry sees to it that the connection has a deadline, between the timeout and a 64th of it more away. To set one for each operation
// takes longer than to make a request of it.
func (c *client) hurry() error {
	if time.Until(c.deadline) >= c.timeout {
		return nil
	}
	c.deadline = time.Now().Add(c.timeout + c.timeout/64)
	return c.conn.SetDeadline(c.deadline)
}

// Read reads from the connection, for the reader of answers, and counts.
func (c *client) Read(p []byte) (int, error) {
	n, err := c.wire.Read(p)
	c.received += int64(n)
	return n, err
}

// connect connects; the end of the context ends what is waited for on the connection.
func (c *client) connect(ctx context.Context) error {
	dialer := net.Dialer{Timeout: c.timeout}
	var err error
	for _, address := range c.addresses {
		var conn net.Conn
		if conn, err = dialer.DialContext(ctx, "tcp", address); err != nil {
			continue
		}
		if c.wire, err = newWire(conn); err != nil {
			return errors.Join(err, conn.Close())
		}
		c.conn, c.deadline = conn, time.Time{}
		c.reader = bufio.NewReader(c)
		c.quiet = context.AfterFunc(ctx, func() {
			conn.SetDeadline(time.Unix(1, 0)) //nolint:errcheck // on a closed connection nobody waits
		})
		return nil
	}
	return err
}

// close closes the connection, if there is one.
func (c *client) close() error {
	if c.conn == nil {
		return nil
	}
	c.quiet()
	err := c.conn.Close()
	c.conn = nil
	return err
}
