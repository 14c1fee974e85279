// SPDX-License-Identifier: Apache-2.0

package load

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// A wire asks and reads on a connection with fewer system calls than the connection itself, and without telling the runtime of them.
// None of them can block, so it need not know; to tell it would wake its monitor at each call after all was idle, which took a fifth of
// the generator's CPU time. Deadlines of the connection hold.
type wire struct {
	conn net.Conn
	raw  syscall.RawConn

	// What the functions below work on; made once, so that nothing is allocated for a call:
	text  []byte // to write or to fill
	n     int    // bytes of it that were
	errno syscall.Errno
	said  bool
	say   func(fd uintptr) (done bool)
	hear  func(fd uintptr) (done bool)
}

func newWire(conn net.Conn) (*wire, error) {
	c, ok := conn.(syscall.Conn)
	if !ok {
		return nil, fmt.Errorf("%T has no file descriptor", conn)
	}
	raw, err := c.SyscallConn()
	w := &wire{conn: conn, raw: raw}
	w.say, w.hear = w.sayOnce, w.hearOnce
	return w, err
}

// ask sends a request, which isn't empty, and waits until there is something to read. To the runtime that is one read: it forgets what it knew of
// the connection, has say send, and waits for news, which is the answer. A write and a read would be three system calls, of which one is
// a read that comes too early.
func (w *wire) ask(request []byte) error {
	w.text, w.n, w.errno, w.said = request, 0, 0, false
	if err := w.raw.Read(w.say); err != nil {
		return err
	}
	if w.errno != 0 {
		return os.NewSyscallError("write", w.errno)
	}
	if w.n == len(request) {
		return nil
	}
	_, err := w.conn.Write(request[w.n:]) // what the socket had no room for
	return err
}

// sayOnce sends what can be sent at once, when it is first called. It is done when that was not all, or when it is called again.
func (w *wire) sayOnce(fd uintptr) (done bool) {
	if w.said {
		return true
	}
	w.said = true
	w.call(unix.SYS_WRITE, fd)
	if w.errno == unix.EAGAIN {
		w.errno = 0
	}
	return w.n < len(w.text)
}

// Read reads what has come, or waits for it.
func (w *wire) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	w.text = p
	err := w.raw.Read(w.hear)
	switch {
	case err != nil:
		return 0, err
	case w.errno != 0:
		return 0, os.NewSyscallError("read", w.errno)
	case w.n == 0:
		return 0, io.EOF
	}
	return w.n, nil
}

func (w *wire) hearOnce(fd uintptr) (done bool) {
	w.call(unix.SYS_READ, fd)
	return w.errno != unix.EAGAIN
}

// call reads or writes the text.
func (w *wire) call(number, fd uintptr) {
	for {
		n, _, errno := unix.RawSyscall(number, fd, uintptr(unsafe.Pointer(unsafe.SliceData(w.text))), uintptr(len(w.text)))
		if errors.Is(errno, unix.EINTR) {
			continue
		}
		if w.n, w.errno = int(n), errno; errno != 0 {
			w.n = 0
		}
		return
	}
}
