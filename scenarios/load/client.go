// SPDX-License-Identifier: Apache-2.0

package load

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
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

// A client is one persistent connection to a server, and so an operator.
type client struct {
	addresses []string      // of the server, to try in turn
	timeout   time.Duration // for one request and its answer
	dialog    dialog
	conn      net.Conn // nil: not connected
	line      syscall.RawConn
	reader    *bufio.Reader
	received  int64       // bytes
	deadline  time.Time   // that the connection has
	quiet     func() bool // forgets about the context

	// For say, which is made once, since the runtime would have to allocate what it knew:
	say    func(fd uintptr) (done bool)
	text   []byte // what is left of the request
	said   bool
	sayErr error
}

// operate sends a request and reads its answer. A connection that was lost is made anew, which is part of the operation.
func (c *client) operate(ctx context.Context, n int) error {
	if c.conn == nil {
		if err := c.connect(ctx); err != nil {
			return err
		}
	}
	last, err := c.exchange(ctx, n)
	if refused := refusal(""); last || err != nil && !errors.As(err, &refused) {
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
	if err := c.send(c.dialog.request(n)); err != nil {
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

// send sends a request, and waits until there is something to read. To the runtime that is one read: it forgets what it heard of the
// connection, has say send, and waits for news, which is the answer's begin. A write and a read would be three calls of the system,
// since the first read comes too early.
func (c *client) send(request []byte) error {
	c.text, c.said = request, false
	if err := c.line.Read(c.say); err != nil {
		return err
	}
	if c.sayErr != nil {
		return c.sayErr
	}
	if len(c.text) == 0 {
		return nil
	}
	_, err := c.conn.Write(c.text) // what the socket hadn't room for
	return err
}

// sayOnce sends what it can at once of the request, when it is first called. It is done when that was not all, or when it is called again.
func (c *client) sayOnce(fd uintptr) (done bool) {
	if c.said {
		return true
	}
	c.said = true
	n, err := unix.Write(int(fd), c.text)
	if errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EINTR) {
		n, err = 0, nil
	}
	c.text, c.sayErr = c.text[max(n, 0):], err
	return err != nil || len(c.text) > 0
}

// Read reads from the connection, for the reader of answers, and counts.
func (c *client) Read(p []byte) (int, error) {
	n, err := c.conn.Read(p)
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
		if c.line, err = rawConn(conn); err != nil {
			return errors.Join(err, conn.Close())
		}
		c.conn, c.say, c.deadline = conn, c.sayOnce, time.Time{}
		c.reader = bufio.NewReader(c)
		c.quiet = context.AfterFunc(ctx, func() {
			conn.SetDeadline(time.Unix(1, 0)) //nolint:errcheck // on a closed connection nobody waits
		})
		return nil
	}
	return err
}

// rawConn is the connection as one whose descriptor can be used.
func rawConn(conn net.Conn) (syscall.RawConn, error) {
	c, ok := conn.(syscall.Conn)
	if !ok {
		return nil, fmt.Errorf("%T has no descriptor", conn)
	}
	return c.SyscallConn()
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
