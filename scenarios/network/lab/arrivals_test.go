// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"errors"
	"net"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestArrivals sends frames, more than there are places for times, and wants of each the time between before it was sent and after it was received.
func TestArrivals(t *testing.T) {
	l := newLab(t, Options{Silent: true})
	sender, receiver := packetSocket(t, l.Sender), packetSocket(t, l.Receiver)
	a, err := l.TimeArrivals()
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := a.Close(); err != nil {
			t.Error(err)
		}
	}()
	frame := make([]byte, 60)
	for i := range MaxArrivals + 5 {
		before := clock(t)
		_, err := unix.Write(sender, frame)
		_, err2 := unix.Read(receiver, frame)
		at, err3 := a.Next()
		if err := errors.Join(err, err2, err3); err != nil || at < before || at > clock(t) {
			t.Fatalf("frame %d, sent at %s: %s, %v", i, before, at, err)
		}
	}
	if at, err := a.Next(); at != 0 || err != nil {
		t.Errorf("nothing more was sent: %s, %v", at, err)
	}
}

// packetSocket sends and receives whole frames at an end of the cable.
func packetSocket(t *testing.T, s *Space) (fd int) {
	t.Helper()
	in(t, s, func() (err error) {
		const all = unix.ETH_P_ALL<<8&0xff00 | unix.ETH_P_ALL>>8
		fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, all)
		end, err2 := net.InterfaceByName(device)
		if err := errors.Join(err, err2); err != nil {
			return err
		}
		t.Cleanup(func() { unix.Close(fd) }) //nolint:errcheck // nothing waits to be written
		return unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: all, Ifindex: end.Index})
	})
	return fd
}

// clock is CLOCK_MONOTONIC.
func clock(t *testing.T) time.Duration {
	t.Helper()
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &now); err != nil {
		t.Fatal(err)
	}
	return time.Duration(now.Nano())
}
