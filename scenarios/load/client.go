// SPDX-License-Identifier: Apache-2.0

package load

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"syscall"
	"time"
	"unsafe"

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
	timeout   time.Duration // for one request and its answer, to a tenth
	dialog    dialog
	conn      net.Conn        // nil: not connected
	raw       syscall.RawConn // of conn
	deadline  time.Time       // of conn
	reader    *bufio.Reader
	received  int64       // bytes
	quiet     func() bool // forgets about the context

	request []byte // that the first reading of its answer sends
	// Of that reading:
	step   func(fd uintptr) bool // exchangeStep
	answer []byte
	sent   bool
	n      int
	err    error
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

// errUnasked is what comes of a server that says more than it was asked: its answers don't belong to the requests any more.
var errUnasked = errors.New("the server sent more than an answer")

func (c *client) exchange(ctx context.Context, n int) (last bool, err error) {
	// To set a deadline costs as much as to read the clock some times, so it isn't set anew for each request.
	if now := time.Now(); c.deadline.Sub(now) < c.timeout {
		c.deadline = now.Add(c.timeout + c.timeout/10)
		if err := c.conn.SetDeadline(c.deadline); err != nil {
			return false, err
		}
	}
	if ctx.Err() != nil { // it may have set its own deadline just before
		return false, ctx.Err()
	}
	c.request = c.dialog.request(n)
	last, err = c.dialog.answer(c.reader)
	if c.request != nil && err == nil {
		return true, errUnasked
	}
	return last, err
}

// Read reads from the connection, for the reader of answers, and counts. The first reading sends the request.
func (c *client) Read(p []byte) (n int, err error) {
	if c.request != nil {
		n, err = c.ask(p)
	} else {
		n, err = c.conn.Read(p)
	}
	c.received += int64(n)
	return n, err
}

// ask sends the request, waits for the answer and reads what there is of it into p. A Read of a net.Conn would look first whether the answer
// is there, which it can't be yet: a system call for nothing.
func (c *client) ask(p []byte) (n int, err error) {
	c.answer, c.sent, c.n, c.err = p, false, 0, nil
	err = c.raw.Read(c.step)
	c.request, c.answer = nil, nil
	switch {
	case err != nil:
		return 0, err
	case c.err != nil:
		return 0, c.err
	case c.n == 0:
		return 0, io.EOF
	}
	return c.n, nil
}

// exchangeStep sends the request when it is first called, and reads when the runtime has seen that there is something; true when that is done.
func (c *client) exchangeStep(fd uintptr) bool {
	if !c.sent {
		c.sent = true
		c.err = c.send(fd, c.request)
		return c.err != nil
	}
	n, errno := raw(unix.SYS_READ, fd, c.answer)
	if errno == unix.EAGAIN {
		return false
	}
	if c.n = n; errno != 0 {
		c.err = os.NewSyscallError("read", errno)
	}
	return true
}

// send writes to the connection. What has no room at once takes the usual way, which waits.
func (c *client) send(fd uintptr, request []byte) error {
	n, errno := raw(unix.SYS_WRITE, fd, request)
	if errno != 0 && errno != unix.EAGAIN {
		return os.NewSyscallError("write", errno)
	}
	if n < len(request) {
		_, err := c.conn.Write(request[n:])
		return err
	}
	return nil
}

// raw reads or writes without a word to the runtime, for a call that doesn't wait. The runtime's watcher of calls, which takes the processor
// from those that last longer than 20 µs, took 6% of a generator's CPU.
func raw(call, fd uintptr, p []byte) (int, syscall.Errno) {
	for {
		n, _, errno := unix.RawSyscall(call, fd, uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p))) //nolint:gosec // as x/sys/unix calls it
		switch {
		case errno == unix.EINTR:
		case errno != 0:
			return 0, errno
		default:
			return int(n), 0 //nolint:gosec // at most len(p)
		}
	}
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
		tcp, ok := conn.(*net.TCPConn)
		if !ok {
			return errors.Join(fmt.Errorf("%s: not a TCP connection", address), conn.Close())
		}
		if c.raw, err = tcp.SyscallConn(); err != nil {
			return errors.Join(err, conn.Close())
		}
		c.conn, c.deadline, c.request, c.step = conn, time.Time{}, nil, c.exchangeStep
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
