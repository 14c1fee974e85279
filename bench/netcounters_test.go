// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"errors"
	"runtime"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/assaylab/assay/scenarios"
)

// spaced is work in the network namespace of the thread that calls it, and in that once more.
type spaced struct{ scenarios.Workload }

func (spaced) Inside(f func() error) error { return errors.Join(f(), f()) }

// TestWorkCounters has connections turned away in a network namespace, whose counters say so.
func TestWorkCounters(t *testing.T) {
	gained := make(chan counters, 1)
	go func() {
		defer close(gained)
		runtime.LockOSThread() // and never unlocked: the thread ends with the goroutine
		if err := enterNewNetwork(); err != nil {
			t.Error(err)
			return
		}
		before := workCounters(spaced{})
		if err := overflow(3); err != nil {
			t.Error(err)
		}
		gained <- workCounters(spaced{}).since(before)
	}()
	c := <-gained
	if c["tcp_listen_overflows_count"] != 2*3 || c["tcp_listen_drops_count"] != 2*3 {
		t.Errorf("3 turned away, seen twice: %v", c)
	}
	for _, name := range []string{"tcp_retransmits_count", "tcp_timeouts_count", "udp_receive_buffer_errors_count"} {
		if value, ok := c[name]; !ok || value != 0 {
			t.Errorf("%s is %g, %v; want 0", name, value, ok)
		}
	}
}

func enterNewNetwork() error {
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		return err
	}
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		return err
	}
	return netlink.LinkSetUp(lo)
}

// overflow connects to a socket that nobody accepts from and that has room for one: so many more are turned away, each on its first try, for the
// sockets are closed before they try again.
func overflow(tooMany int) (err error) {
	open := func() (fd int) {
		fd, socketErr := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
		err = errors.Join(err, socketErr)
		return fd
	}
	fds := []int{open()}
	defer func() {
		for _, fd := range fds {
			err = errors.Join(err, unix.Close(fd))
		}
	}()
	server := &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}, Port: 7}
	err = errors.Join(err, unix.Bind(fds[0], server), unix.Listen(fds[0], 0))
	for range 1 + tooMany {
		fd := open()
		fds = append(fds, fd)
		if connectErr := unix.Connect(fd, server); !errors.Is(connectErr, unix.EINPROGRESS) {
			err = errors.Join(err, connectErr)
		}
	}
	return err
}
