// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"net"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestListenOverflows has more connections come than a server that accepts none has room for, and wants the kernel's counter to tell.
func TestListenOverflows(t *testing.T) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd) //nolint:errcheck // nothing was written to it
	if err := unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	if err := unix.Listen(fd, 1); err != nil {
		t.Fatal(err)
	}
	name, err := unix.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	address, ok := name.(*unix.SockaddrInet4)
	if !ok {
		t.Fatalf("%T", name)
	}
	before, err := readCounters()
	if err != nil {
		t.Fatal(err)
	}
	for range 6 {
		c, err := net.DialTimeout("tcp", (&net.TCPAddr{IP: address.Addr[:], Port: address.Port}).String(), 50*time.Millisecond)
		if err == nil {
			defer c.Close()
		}
	}
	after, err := readCounters()
	if err != nil {
		t.Fatal(err)
	}
	gained := after.since(before)
	if gained["tcp_listen_overflows_count"] < 1 || gained["tcp_listen_drops_count"] < gained["tcp_listen_overflows_count"] {
		t.Errorf("%v overflows, %v drops", gained["tcp_listen_overflows_count"], gained["tcp_listen_drops_count"])
	}
}
