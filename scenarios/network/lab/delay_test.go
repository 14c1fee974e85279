// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"io"
	"net"
	"net/netip"
	"testing"
	"time"
)

// TestDelay wants a byte and its answer to take twice the delay at least, with IPv4 and IPv6, and nothing to be left of the cable.
func TestDelay(t *testing.T) {
	const delay = 20 * time.Millisecond
	l := newLab(t, Options{Delay: delay})
	for _, to := range []netip.Addr{l.Receiver.IPv4, l.Receiver.IPv6} {
		var listener net.Listener
		in(t, l.Receiver, func() (err error) {
			listener, err = net.Listen("tcp", netip.AddrPortFrom(to, 0).String())
			return err
		})
		go echo(listener)
		var sender net.Conn
		in(t, l.Sender, func() (err error) {
			sender, err = net.DialTimeout("tcp", listener.Addr().String(), 5*time.Second)
			return err
		})
		for range 3 {
			begin := time.Now()
			if _, err := sender.Write([]byte("x")); err != nil {
				t.Fatal(err)
			}
			if _, err := io.ReadFull(sender, make([]byte, 1)); err != nil {
				t.Fatal(err)
			}
			if took := time.Since(begin); took < 2*delay {
				t.Errorf("%s: a round trip took %s, want %s at least", to, took, 2*delay)
			}
		}
		for _, c := range []io.Closer{listener, sender} {
			if err := c.Close(); err != nil {
				t.Error(err)
			}
		}
	}
	if n, err := l.Overrun(); n != 0 || err != nil {
		t.Errorf("%d packets overran the cable, %v", n, err)
	}
}

// echo sends back what the first connection sends.
func echo(listener net.Listener) {
	c, err := listener.Accept()
	if err != nil {
		return
	}
	defer c.Close()
	io.Copy(c, c) //nolint:errcheck // the test sees what is missing
}

// TestDelayCloses closes a lab with packets on their way at once.
func TestDelayCloses(t *testing.T) {
	l := newLab(t, Options{Delay: time.Hour})
	in(t, l.Sender, func() error {
		c, err := net.Dial("udp", netip.AddrPortFrom(l.Receiver.IPv4, 9).String())
		if err != nil {
			return err
		}
		defer c.Close()
		_, err = c.Write([]byte("x"))
		return err
	})
}
